# SPDX-License-Identifier: GPL-3.0-or-later
"""The head of MMChange as an ONNX file; its encoder runs in torch.

``changescribe build onnx mmchange mmchange.safetensors`` writes ``mmchange.onnx`` beside the
weights. The system runs that file in place of the head if it was exported from the same weights.
:func:`write` serves TextSCD too.
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


def export(head: MMChangeHead, path: Path, made_from: str = "") -> None:
    """Write a head as ONNX for any number of pairs, tiles of any multiple of 32."""
    texts = tuple(torch.randn(2, head.config.text_width) for _ in TEXTS)
    axes = {name: {0: "pairs"} for name in TEXTS}
    inputs = (*example_maps(head.config.reduced), *texts)
    flat = onnx_head.Flat(head, lambda *x: head(list(x[:4]), list(x[4:8]), *x[8:])[0])
    write(flat, inputs, (*MAPS, *TEXTS), (OUTPUT,), axes, path, made_from)


def example_maps(channels: Sequence[int]) -> tuple[Tensor, ...]:
    """Return example maps for tracing: both dates of two pairs of 64 x 96 pixels."""
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
        module: returns ``outputs``, all of them maps.
        inputs: example values.
        names: names of the inputs, starting with :data:`MAPS`.
        outputs: names of the outputs.
        axes: dynamic axes of the inputs that are not maps.
        path: file to write; it gets this name once it is complete.
        made_from: SHA-256 of the weights.
    """
    axes = dict(axes)
    for name in (*MAPS, *outputs):
        axes[name] = {0: "pairs", 2: f"height_{name}", 3: f"width_{name}"}
    onnx_head.write(module, inputs, names, outputs, axes, path, made_from)


class OnnxHead(onnx_head.Session):
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
