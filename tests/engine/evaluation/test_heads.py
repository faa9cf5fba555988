# SPDX-License-Identifier: GPL-3.0-or-later
"""The measurement of heads on PyTorch and onnxruntime, with tiny networks."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from changescribe.engine.evaluation.speed.heads import SYSTEMS, measure

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("system", SYSTEMS)
def test_both_heads_answer_the_same_and_are_timed(system):
    figures = measure(system, {"tiny": True}, tile=64, repeats=1, device="cpu")
    assert figures["difference"] < 1e-3
    assert min(figures[f"{part}_s"] for part in ("encoder", "head_torch", "head_onnx")) >= 0
    assert figures["onnx_gain"] > 0
