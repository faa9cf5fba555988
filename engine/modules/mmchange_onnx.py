# SPDX-License-Identifier: GPL-3.0-or-later
"""MMChange's fusion and decoder as an ONNX file, beside the encoder in torch.

``python -m changescribe.engine.modules.mmchange_onnx mmchange.safetensors`` writes
``mmchange.onnx`` beside the weights; the system runs that file in the place of the
head as long as it was made from them. :func:`write` and :class:`Session` serve
TextSCD as well.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..weights import files
from .mmchange import STRIDES, MMChangeHead, load_trained

OPSET = 17
#: Inputs of a head: four maps of each date.
MAPS = tuple(f"{date}_stride{stride}" for date in ("before", "after") for stride in STRIDES)
TEXTS = ("text_before", "text_after")
OUTPUT = "change"
#: Key of the file's metadata: SHA-256 of the weights that it was made from.
MADE_FROM = "made_from"
_MAKE_AGAIN = "Export it again, or delete it: the head then runs on PyTorch."


class HeadForExport(nn.Module):
    """The head with its inputs one by one, and of its masks the finest.

    Args:
        head: in evaluation mode.
    """

    def __init__(self, head: MMChangeHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, *inputs: Tensor) -> Tensor:
        """Take :data:`MAPS` and :data:`TEXTS`; return logits (B, 1, H/4, W/4)."""
        return self.head(list(inputs[:4]), list(inputs[4:8]), *inputs[8:])[0]


def export(head: MMChangeHead, path: Path, made_from: str = "") -> None:
    """Write a head as ONNX: any number of pairs, tiles of any multiple of 32.

    Args:
        head: in evaluation mode, on the CPU.
        path: of the file; written beside its name, then renamed.
        made_from: SHA-256 of the weights.
    """
    texts = tuple(torch.randn(2, head.config.text_width) for _ in TEXTS)
    axes = {name: {0: "pairs"} for name in TEXTS}
    inputs = (*example_maps(head.config.reduced), *texts)
    write(HeadForExport(head), inputs, (*MAPS, *TEXTS), (OUTPUT,), axes, path, made_from)


def example_maps(channels: Sequence[int]) -> tuple[Tensor, ...]:
    """Return maps of both dates of two pairs of 64 x 96 pixels, for a trace."""
    return tuple(
        torch.randn(2, count, 64 // stride, 96 // stride)
        for _ in range(2)
        for count, stride in zip(channels, STRIDES, strict=True)
    )


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
        module: answers ``outputs``, all maps.
        inputs: example values.
        names: of the inputs, the maps of :data:`MAPS` first.
        outputs: names of the outputs.
        axes: dynamic axes of the inputs that are no maps.
        path: of the file; written beside its name, then renamed.
        made_from: SHA-256 of the weights.
    """
    import onnx

    axes = dict(axes)
    for name in (*MAPS, *outputs):
        axes[name] = {0: "pairs", 2: f"height_{name}", 3: f"width_{name}"}
    half = path.with_name(f"{path.name}.part")
    torch.onnx.export(
        module.eval(), inputs, str(half), input_names=list(names), output_names=list(outputs),
        dynamic_axes=axes, opset_version=OPSET, dynamo=False,
    )
    model = onnx.load(str(half))
    model.metadata_props.add(key=MADE_FROM, value=made_from)
    onnx.checker.check_model(model)
    onnx.save(model, str(half))
    half.replace(path)


class Session:
    """A head on onnxruntime.

    Args:
        path: what :func:`write` wrote.
        made_from: SHA-256 of the weights that it must have been made from.
        device: ``"cuda"``: it runs there where this onnxruntime can.

    Raises:
        WeightsError: it is damaged, or older than the weights.
    """

    def __init__(self, path: Path, made_from: str, device: str = "cpu") -> None:
        import onnxruntime

        providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        available = onnxruntime.get_available_providers()
        wanted = [name for name in providers if name in available]
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=wanted if device == "cuda" else providers[1:]
            )
            stated = self._session.get_modelmeta().custom_metadata_map.get(MADE_FROM)
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise WeightsError(f'"{path.name}" cannot be read.', _MAKE_AGAIN, str(error)) from error
        if stated != made_from:
            raise WeightsError(f'"{path.name}" was made from other weights.', _MAKE_AGAIN)
        # Without text the export leaves out the inputs that nothing reads.
        self._inputs = [entry.name for entry in self._session.get_inputs()]

    def run(self, names: Sequence[str], values: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs, on the CPU, of inputs by name."""
        inputs = {
            name: value.float().cpu().numpy()
            for name, value in zip(names, values, strict=True)
            if name in self._inputs
        }
        return [torch.from_numpy(answer) for answer in self._session.run(None, inputs)]


class OnnxHead(Session):
    """MMChange's head on onnxruntime; called like :class:`.mmchange.MMChangeHead`."""

    def __call__(
        self, before: list[Tensor], after: list[Tensor], text_before: Tensor, text_after: Tensor
    ) -> list[Tensor]:
        """Return the finest mask, logits (B, 1, H/4, W/4), as the only one."""
        return self.run((*MAPS, *TEXTS), (*before, *after, text_before, text_after))


def main(path: str) -> None:
    """Export a file of trained weights to the ONNX file beside it."""
    weights = Path(path)
    export(load_trained(weights).head, weights.with_suffix(".onnx"), files.sha256_of(weights))


if __name__ == "__main__":
    main(sys.argv[1])
