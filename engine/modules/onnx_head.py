# SPDX-License-Identifier: GPL-3.0-or-later
"""Trained heads as ONNX files on onnxruntime, with their frozen encoders in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import WeightsError, raise_out_of_memory
from .texts import ModulesTexts

OPSET = 17
#: Metadata key: SHA-256 of the weights that the file was exported from.
MADE_FROM = "made_from"


class Flat(nn.Module):
    """A head whose forward function takes and returns tensors alone, as an export needs it.

    Args:
        head: in evaluation mode.
        call: answers the tensors with the head.
    """

    def __init__(self, head: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.head, self.call = head, call

    def forward(self, *inputs: Tensor) -> Any:
        """Return the outputs for the inputs of :func:`write`."""
        return self.call(*inputs)


def write(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: Sequence[str],
    outputs: Sequence[str],
    axes: dict[str, dict[int, str]],
    path: Path,
    made_from: str,
) -> None:
    """Trace a head to an ONNX file.

    Args:
        module: takes the inputs as separate arguments and returns the outputs.
        inputs: example values.
        names: names of the inputs.
        outputs: names of the outputs.
        axes: dynamic axes of inputs and outputs.
        path: file to write; it gets this name once it is complete.
        made_from: SHA-256 of the weights.
    """
    import onnx

    half = path.with_name(f"{path.name}.part")
    torch.onnx.export(
        module.eval(),
        inputs,
        str(half),
        input_names=list(names),
        output_names=list(outputs),
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(str(half))
    model.metadata_props.add(key=MADE_FROM, value=made_from)
    onnx.checker.check_model(model)
    onnx.save(model, str(half))
    half.replace(path)


class Session:
    """A head on onnxruntime.

    Args:
        path: file of :func:`write`.
        made_from: SHA-256 of the weights that it must have been exported from.
        device: ``"cpu"``, or ``"cuda"`` to use the GPU if this onnxruntime supports it.

    Raises:
        WeightsError: it is damaged, or was exported from other weights.
    """

    def __init__(self, path: Path, made_from: str, device: str = "cpu") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Encoder and head run in turns, so idle threads must not spin.
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        available = onnxruntime.get_available_providers()
        usable = [name for name in providers if name in available]
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, usable if device == "cuda" else providers[1:]
            )
            recorded = self._session.get_modelmeta().custom_metadata_map.get(MADE_FROM)
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise_out_of_memory(error)
            text = ModulesTexts.onnx_unreadable(file=path.name)
            raise WeightsError(text, details=str(error)) from error
        if recorded != made_from:
            raise WeightsError(ModulesTexts.onnx_outdated(file=path.name))
        # The export drops unused inputs, such as the text in an ablation without it.
        self._inputs = [entry.name for entry in self._session.get_inputs()]

    def run(self, names: Sequence[str], values: Sequence[Tensor]) -> list[Tensor]:
        """Run the head; return its outputs on the CPU."""
        inputs = {
            name: (value.float() if value.is_floating_point() else value).cpu().numpy()
            for name, value in zip(names, values, strict=True)
            if name in self._inputs
        }
        return [torch.from_numpy(answer) for answer in self._session.run(None, inputs)]
