# SPDX-License-Identifier: GPL-3.0-or-later
"""MMChange's fusion and decoder as an ONNX file, beside the encoder in torch.

``changescribe build onnx mmchange mmchange.safetensors`` writes
``mmchange.onnx`` beside the weights; the system runs that file in the place of the
head as long as it was made from them. :func:`write` serves TextSCD as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ...weights import files
from .. import onnx_head
from .network import STRIDES, MMChangeHead, load_trained

#: Inputs of a head: four maps of each date.
MAPS = tuple(f"{date}_stride{stride}" for date in ("before", "after") for stride in STRIDES)
TEXTS = ("text_before", "text_after")
OUTPUT = "change"


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
        path: file to write; it gets this name once it is complete.
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
    """Trace a head over maps of two dates to an ONNX file; see :func:`.onnx_head.write`.

    Args:
        module: answers ``outputs``, all maps.
        inputs: example values.
        names: of the inputs, the maps of :data:`MAPS` first.
        outputs: names of the outputs.
        axes: dynamic axes of the inputs that are no maps.
        path: file to write; it gets this name once it is complete.
        made_from: SHA-256 of the weights.
    """
    axes = dict(axes)
    for name in (*MAPS, *outputs):
        axes[name] = {0: "pairs", 2: f"height_{name}", 3: f"width_{name}"}
    onnx_head.write(module, inputs, names, outputs, axes, path, made_from)


class OnnxHead(onnx_head.Session):
    """MMChange's head on onnxruntime; called like :class:`.mmchange.MMChangeHead`."""

    def __call__(
        self, before: list[Tensor], after: list[Tensor], text_before: Tensor, text_after: Tensor
    ) -> list[Tensor]:
        """Return the finest mask, logits (B, 1, H/4, W/4), as the only one."""
        return self.run((*MAPS, *TEXTS), (*before, *after, text_before, text_after))


def export_file(weights: Path) -> Path:
    """Export trained weights to the ONNX file beside them; return its path."""
    path = weights.with_suffix(".onnx")
    export(load_trained(weights).head, path, files.sha256_of(weights))
    return path
