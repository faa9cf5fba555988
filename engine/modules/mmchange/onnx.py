# SPDX-License-Identifier: GPL-3.0-or-later
"""The head of MMChange as an ONNX file; its encoder runs in torch.

``changescribe build onnx mmchange mmchange.safetensors`` writes ``mmchange.onnx`` beside the
weights. The system runs that file in place of the head if it was exported from the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...weights import files
from ..onnx_head import Flat, Session, write
from .network import STRIDES, MMChangeHead, load_trained

#: Inputs of a head: four maps of each date.
MAPS = tuple(f"{date}_stride{stride}" for date in ("before", "after") for stride in STRIDES)
TEXTS = ("text_before", "text_after")
OUTPUT = "change"


def export(head: MMChangeHead, path: Path, made_from: str = "") -> None:
    """Write a head as ONNX for any number of pairs, tiles of any multiple of 32."""
    texts = tuple(torch.randn(2, head.config.text_width) for _ in TEXTS)
    axes = map_axes(OUTPUT) | {name: {0: "pairs"} for name in TEXTS}
    inputs = (*example_maps(head.config.reduced), *texts)
    flat = Flat(head, lambda *x: head(list(x[:4]), list(x[4:8]), *x[8:])[0])
    write(flat, inputs, (*MAPS, *TEXTS), (OUTPUT,), axes, path, made_from)


def example_maps(channels: Sequence[int]) -> tuple[Tensor, ...]:
    """Return example maps for tracing: both dates of two pairs of 64 x 96 pixels."""
    return tuple(
        torch.randn(2, count, 64 // stride, 96 // stride)
        for _ in range(2)
        for count, stride in zip(channels, STRIDES, strict=True)
    )


def map_axes(*outputs: str) -> dict[str, dict[int, str]]:
    """Return the dynamic axes of :data:`MAPS` and of outputs that are maps."""
    names = (*MAPS, *outputs)
    return {name: {0: "pairs", 2: f"height_{name}", 3: f"width_{name}"} for name in names}


class OnnxHead(Session):
    """The head of MMChange on onnxruntime; called like :class:`.network.MMChangeHead`."""

    def __call__(
        self, before: list[Tensor], after: list[Tensor], text_before: Tensor, text_after: Tensor
    ) -> list[Tensor]:
        """Return a list of one mask, logits (B, 1, H/4, W/4)."""
        return self.run((*MAPS, *TEXTS), (*before, *after, text_before, text_after))


def export_file(weights: Path) -> Path:
    """Export trained weights to the ONNX file beside them; return its path."""
    path = weights.with_suffix(".onnx")
    export(load_trained(weights).head, path, files.sha256_of(weights))
    return path
