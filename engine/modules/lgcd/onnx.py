# SPDX-License-Identifier: GPL-3.0-or-later
"""The trained parts of LG-CD as an ONNX file: adapters, TFAM and V-SFD.

``changescribe build onnx lgcd lg-cd.safetensors`` writes ``lg-cd.onnx`` beside the weights. The
system runs that file in place of the head if it was exported from the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...weights import files, loading
from ..onnx_head import Flat, Session, write
from .config import LgcdConfig
from .network import LgcdHead, head_of

STAGES = ("stride4", "stride8", "stride16", "stride32")
INPUTS = (*STAGES, "first", "second", "words", "mask", "sentence")
OUTPUT = "change"
#: Prefix of the head's tensors in a file of trained weights.
PREFIX = "head."


def load_head(path: Path) -> tuple[LgcdHead, LgcdConfig]:
    """Return a trained head in evaluation mode, and its sizes.

    Raises:
        WeightsError: the file is not from such a run.
        InputError: it was trained with settings unknown to this version.
    """
    tensors, metadata = loading.read_head(path)
    config = LgcdConfig.from_settings(metadata["config"])
    state = {n[len(PREFIX) :]: value for n, value in tensors.items() if n.startswith(PREFIX)}
    head = head_of(state, config)
    loading.fill(head, state, path.name)
    return head.eval(), config


def export(head: LgcdHead, path: Path, made_from: str = "") -> None:
    """Write a head as ONNX for any number of images and queries, tiles of any multiple of 32."""
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
    inputs = (*stages, *questions, *text)
    flat = Flat(head, lambda *x: head(x[:4], *x[4:])[-1])
    write(flat, inputs, INPUTS, (OUTPUT,), axes, path, made_from)


class OnnxHead(Session):
    """The head of LG-CD on onnxruntime; called like :class:`.network.LgcdHead`."""

    def __call__(self, features: Sequence[Tensor], *questions: Tensor) -> list[Tensor]:
        """Return a list of one map, logits (R, 1, H/4, W/4), on the CPU."""
        return self.run(INPUTS, (*features, *questions))


def export_file(weights: Path) -> Path:
    """Export trained weights to the ONNX file beside them; return its path."""
    path = weights.with_suffix(".onnx")
    export(load_head(weights)[0], path, files.sha256_of(weights))
    return path
