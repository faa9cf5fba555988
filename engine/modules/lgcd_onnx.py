# SPDX-License-Identifier: GPL-3.0-or-later
"""What LG-CD trains, as an ONNX file: adapters, TFAM and V-SFD, without the frozen encoders.

``python -m changescribe.engine.modules.lgcd_onnx lg-cd.safetensors`` writes
``lg-cd.onnx`` beside the weights; the system runs that file instead of them as
long as it was made from them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..weights import files, loading
from .lgcd import LgcdHead, head_of
from .lgcd_config import LgcdConfig

OPSET = 17
STAGES = ("stride4", "stride8", "stride16", "stride32")
INPUTS = (*STAGES, "first", "second", "words", "mask", "sentence")
OUTPUT = "change"
#: Key of the file's metadata: SHA-256 of the weights that it was made from.
MADE_FROM = "made_from"
#: Of the weights of a head in a file of trained weights.
PREFIX = "head."
_MAKE_AGAIN = "Export it again, or delete it: the head then runs on PyTorch."


class HeadForExport(nn.Module):
    """The head with its inputs one by one, and of its maps the one that counts.

    Args:
        head: in evaluation mode.
    """

    def __init__(self, head: LgcdHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, *inputs: Tensor) -> Tensor:
        """Take :data:`INPUTS`; return logits (R, 1, H/4, W/4)."""
        return self.head(inputs[:4], *inputs[4:])[-1]


def load_head(path: Path) -> tuple[LgcdHead, LgcdConfig]:
    """Return a trained head in evaluation mode, and its sizes.

    Args:
        path: what ``changescribe train`` wrote for LG-CD.

    Raises:
        WeightsError: it is another file.
        InputError: it was trained with settings that this version does not know.
    """
    tensors, metadata = loading.read_head(path)
    config = LgcdConfig.from_settings(metadata["config"])
    state = {n[len(PREFIX) :]: value for n, value in tensors.items() if n.startswith(PREFIX)}
    head = head_of(state, config)
    loading.fill(head, state, path.name)
    return head.eval(), config


def export(head: LgcdHead, path: Path, made_from: str = "") -> None:
    """Write a head as ONNX: any number of images and questions, tiles of any multiple of 32.

    Args:
        head: in evaluation mode, on the CPU.
        path: of the file; written beside its name, then renamed.
        made_from: SHA-256 of the weights.
    """
    import onnx

    channels = [adapter[0].in_channels for adapter in head.adapters]
    stages = [
        torch.randn(2, count, 64 // stride, 96 // stride)
        for count, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]
    sentence = getattr(head.decoder, "language", None)
    sentence_width = sentence.sentence_in.in_features if sentence is not None else 1
    text = (
        torch.randn(3, 4, head.word_norm.normalized_shape[0]),
        torch.ones(3, 4, dtype=torch.bool),
        torch.randn(3, sentence_width),
    )
    questions = (torch.tensor([0, 1, 0]), torch.tensor([1, 0, 0]))
    axes = {name: {0: "images", 2: f"height_{name}", 3: f"width_{name}"} for name in STAGES}
    axes |= {name: {0: "questions"} for name in ("first", "second", "sentence")}
    axes |= {name: {0: "questions", 1: "length"} for name in ("words", "mask")}
    axes[OUTPUT] = {0: "questions", 2: "height", 3: "width"}
    half = path.with_name(f"{path.name}.part")
    torch.onnx.export(
        HeadForExport(head).eval(), (*stages, *questions, *text), str(half),
        input_names=list(INPUTS), output_names=[OUTPUT], dynamic_axes=axes,
        opset_version=OPSET, dynamo=False,
    )
    model = onnx.load(str(half))
    model.metadata_props.add(key=MADE_FROM, value=made_from)
    onnx.checker.check_model(model)
    onnx.save(model, str(half))
    half.replace(path)


class OnnxHead:
    """The trained part of LG-CD on onnxruntime; called like :class:`.lgcd.LgcdHead`.

    Args:
        path: what :func:`export` wrote.
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
        # Without a text in the decoder, the export leaves out the inputs that nothing reads.
        self._inputs = [entry.name for entry in self._session.get_inputs()]

    def __call__(self, features: Sequence[Tensor], *questions: Tensor) -> list[Tensor]:
        """Return the map of logits (R, 1, H/4, W/4) as the only one of the maps."""
        values = dict(zip(INPUTS, (*features, *questions), strict=True))
        inputs = {
            name: (v.float() if v.is_floating_point() else v).cpu().numpy()
            for name, v in values.items()
            if name in self._inputs
        }
        (answer,) = self._session.run(None, inputs)
        return [torch.from_numpy(answer)]


def main(path: str) -> None:
    """Export a file of trained weights to the ONNX file beside it."""
    weights = Path(path)
    export(load_head(weights)[0], weights.with_suffix(".onnx"), files.sha256_of(weights))


if __name__ == "__main__":
    main(sys.argv[1])
