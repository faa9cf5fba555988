# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the text tower as ONNX, small enough to ship inside the plugin.

The embedding table is int8 with one scale per row, the other large weights are fp16; computation
is in fp32, so it runs on any CPU with onnxruntime's basic operators (opset 17, IR 8).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import DependencyError
from ..texts import TrainingTexts

if TYPE_CHECKING:
    import onnx

    from ...modules.bundled.text_tower import TextTower

OPSET = 17
IR_VERSION = 8

#: Smaller weights stay fp32, since halving them saves little.
SMALLEST_HALVED = 4096


def export_float(tower: TextTower, path: str | Path) -> None:
    """Export in fp32.

    Inputs ``ids`` and ``mask`` (B, L) int64, outputs ``words`` (B, L, C) and ``sentence``
    (B, C) float32; B and L are dynamic, L up to the tower's length.
    """
    try:
        import onnx
    except ImportError as error:
        raise DependencyError(TrainingTexts.needs_onnx(), details=str(error)) from error
    length = tower.config.length
    ids = torch.ones(2, length, dtype=torch.int64)
    mask = torch.ones(2, length, dtype=torch.int64)
    torch.onnx.export(
        tower.eval(),
        (ids, mask),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=["ids", "mask"],
        output_names=["words", "sentence"],
        dynamic_axes={
            "ids": {0: "batch", 1: "length"},
            "mask": {0: "batch", 1: "length"},
            "words": {0: "batch", 1: "length"},
            "sentence": {0: "batch"},
        },
    )
    model = onnx.load(str(path))
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def quantise_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round a table (V, C) to int8 with one scale per row.

    Returns:
        (V, C) int8 and (V, 1) float16, whose product is the table to within 1 %
        of each row's largest value.
    """
    scale = np.maximum(np.abs(table).max(axis=1, keepdims=True) / 127.0, 1e-6).astype(np.float16)
    rounded = np.rint(table / scale.astype(np.float32))
    return np.clip(rounded, -127, 127).astype(np.int8), scale


def shrink(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store the embedding table as int8 and other large weights as fp16, in place."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    gather = next(
        node for node in graph.node if node.op_type == "Gather" and "tokens.weight" in node.input[0]
    )
    table = weights.pop(gather.input[0])
    integers, scale = quantise_rows(numpy_helper.to_array(table))
    graph.initializer.remove(table)
    graph.initializer.extend(
        [
            numpy_helper.from_array(integers, "tokens.int8"),
            numpy_helper.from_array(scale, "tokens.scale"),
        ]
    )
    ids, result = gather.input[1], gather.output[0]
    rows = [
        helper.make_node("Gather", ["tokens.int8", ids], ["tokens.row"], axis=0),
        helper.make_node("Gather", ["tokens.scale", ids], ["tokens.row_scale"], axis=0),
        helper.make_node("Cast", ["tokens.row"], ["tokens.row_f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["tokens.row_scale"], ["tokens.scale_f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["tokens.row_f", "tokens.scale_f"], [result]),
    ]
    place = list(graph.node).index(gather)
    graph.node.remove(gather)
    casts = []
    for name, tensor in weights.items():
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size >= SMALLEST_HALVED:
            half = numpy_helper.from_array(array.astype(np.float16), name + ".half")
            graph.initializer.remove(tensor)
            graph.initializer.append(half)
            casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
    for offset, node in enumerate(rows):
        graph.node.insert(place + offset, node)
    for node in reversed(casts):
        graph.node.insert(0, node)
    return model


def export_text_tower(tower: TextTower, path: str | Path) -> int:
    """Write the shipped file; return its size in bytes."""
    import onnx

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    export_float(tower, temporary)
    model = shrink(onnx.load(str(temporary)))
    model.producer_name, model.producer_version = "changescribe", ""
    model.doc_string = "Text tower of ChangeScribe; see TEXT_TOWER.md"
    onnx.checker.check_model(model)
    onnx.save(model, str(temporary))
    os.replace(temporary, path)
    return path.stat().st_size
