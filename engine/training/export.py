# SPDX-License-Identifier: GPL-3.0-or-later
"""Export of a trained model to the ONNX files that ship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..modules.bundled.network import ChangeModel, Encoded, enlarge
from ..weights.files import sha256_of, write_text
from .scenes.phrases import ABSENT, build_bank

OPSET = 17
#: Names of the parts of :class:`Encoded`, as inputs and outputs.
PARTS = Encoded._fields
#: Weights with fewer elements stay fp32, since halving them saves little.
MIN_HALF = 256


class EncoderForExport(nn.Module):
    """(B, H, W, 3) uint8 -> the parts of :class:`Encoded`."""

    def __init__(self, model: ChangeModel) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode images; normalisation is inside."""
        return tuple(self.encoder(images.permute(0, 3, 1, 2).float()))


class HeadForExport(nn.Module):
    """Features of two dates and sentences -> full-resolution logits (B, Q, H, W)."""

    def __init__(self, model: ChangeModel) -> None:
        super().__init__()
        self.head = model.head

    def forward(self, *inputs: Tensor) -> Tensor:
        """Take six parts of before, six of after, and the sentences (Q, C)."""
        before, after = Encoded(*inputs[: len(PARTS)]), Encoded(*inputs[len(PARTS) : -1])
        return enlarge(self.head(before, after, inputs[-1]))


def export(model: ChangeModel, folder: Path, *, half: bool = True) -> dict[str, str]:
    """Write ``encoder.onnx`` and ``head.onnx``; return SHA-256 by file name.

    Args:
        model: trained; it is put into evaluation mode.
        folder: for the files.
        half: store the weights as fp16; computation stays in fp32.
    """
    model = model.eval().to(memory_format=torch.contiguous_format)
    folder.mkdir(parents=True, exist_ok=True)
    images = torch.randint(0, 255, (2, 64, 96, 3), dtype=torch.uint8)
    sentences = torch.randn(3, model.config.text_width)
    with torch.no_grad():
        encoded = tuple(model.encoder(images.permute(0, 3, 1, 2).float()))
    feature_names = [f"{date}_{part}" for date in ("before", "after") for part in PARTS]
    _write(
        EncoderForExport(model),
        (images,),
        ["images"],
        list(PARTS),
        folder / "encoder.onnx",
        {"images": {0: "batch", 1: "height", 2: "width"}},
    )
    axes = {n: {0: "batch", 2: f"h_{n}", 3: f"w_{n}"} for n in feature_names}
    axes["sentence"] = {0: "queries"}
    inputs = (*encoded, *encoded, sentences)
    names = [*feature_names, "sentence"]
    _write(HeadForExport(model), inputs, names, ["change"], folder / "head.onnx", axes)
    digests = {}
    for name in ("encoder.onnx", "head.onnx"):
        if half:
            halve_weights(folder / name)
        digests[name] = sha256_of(folder / name)
    return digests


def _write(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: list[str],
    outputs: list[str],
    path: Path,
    axes: dict[str, dict[int, str]],
) -> None:
    """Trace a module to an ONNX file with dynamic sizes."""
    axes = {**axes, **{name: {0: "batch", 2: f"h_{name}", 3: f"w_{name}"} for name in outputs}}
    if "change" in outputs:
        axes["change"][1] = "queries"
    torch.onnx.export(
        module.eval(),
        inputs,
        str(path),
        input_names=names,
        output_names=outputs,
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )


def halve_weights(path: Path) -> None:
    """Store the large weights of an ONNX file as fp16, each followed by a cast to fp32.

    The runtime folds the casts on loading: half the size on disk, the speed and arithmetic of
    fp32.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(path))
    casts = []
    for weight in list(model.graph.initializer):
        array = numpy_helper.to_array(weight)
        if array.dtype != np.float32 or array.size < MIN_HALF:
            continue
        name = weight.name
        small = numpy_helper.from_array(array.astype(np.float16), f"{name}_fp16")
        model.graph.initializer.remove(weight)
        model.graph.initializer.append(small)
        casts.append(helper.make_node("Cast", [small.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Write ``manifest.json``: SHA-256 of every file, trained phrases, and ``facts``."""
    bank = build_bank()
    files = ("encoder.onnx", "head.onnx", "text.onnx", "vocab.txt")
    manifest = {
        **facts,
        "sha256": {name: sha256_of(folder / name) for name in files if (folder / name).exists()},
        "phrases": [
            phrase
            for phrase, index in zip(bank.phrases, bank.classes, strict=True)
            if index != ABSENT
        ],
    }
    write_text(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")
