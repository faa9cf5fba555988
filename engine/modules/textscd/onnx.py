# SPDX-License-Identifier: GPL-3.0-or-later
"""The head of TextSCD as an ONNX file; its encoder runs in torch.

``changescribe build onnx textscd textscd.safetensors`` writes ``textscd.onnx`` beside the weights;
see :mod:`..mmchange.onnx`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...weights import files
from ..mmchange.onnx import MAPS, example_maps, map_axes
from ..onnx_head import Flat, Session, write
from .network import Maps, TextSCDHead, load_trained

CAPTION = ("words", "mask")


def export(head: TextSCDHead, path: Path, made_from: str = "") -> None:
    """Write a head as ONNX for any number of pairs and words, tiles of any multiple of 32."""
    caption = (torch.randn(2, 5, head.text_width), torch.ones(2, 5))
    axes = map_axes(*Maps._fields) | {name: {0: "pairs", 1: "length"} for name in CAPTION}
    inputs = (*example_maps(head.channels), *caption)
    flat = Flat(head, lambda *x: tuple(head(list(x[:4]), list(x[4:8]), *x[8:])))
    write(flat, inputs, (*MAPS, *CAPTION), Maps._fields, axes, path, made_from)


class OnnxHead(Session):
    """The head of TextSCD on onnxruntime; called like :class:`.network.TextSCDHead`."""

    def __call__(
        self, before: list[Tensor], after: list[Tensor], words: Tensor, mask: Tensor
    ) -> Maps:
        """Return the logits of :class:`Maps`, on the CPU."""
        return Maps(*self.run((*MAPS, *CAPTION), (*before, *after, words, mask)))


def export_file(weights: Path) -> Path:
    """Export trained weights to the ONNX file beside them; return its path."""
    path = weights.with_suffix(".onnx")
    export(load_trained(weights).head, path, files.sha256_of(weights))
    return path
