# SPDX-License-Identifier: GPL-3.0-or-later
"""The head of the shipped model in parts answers as the whole one does."""

from __future__ import annotations

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime")

from changescribe.engine.paths import MODELS
from changescribe.engine.systems.bundled.head import Head
from changescribe.engine.systems.bundled.onnx_cut import cut


@pytest.fixture(scope="module")
def content() -> bytes:
    return (MODELS / "head.onnx").read_bytes()


def _open(model: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def test_the_parts_answer_as_the_whole_head(content, new_houses):
    encoder = _open((MODELS / "encoder.onnx").read_bytes())
    names = tuple(output.name for output in encoder.get_outputs())
    encoded = dict(zip(names, encoder.run(None, {"images": np.concatenate(new_houses)})))
    sentences = np.random.default_rng(1).normal(size=(3, 128)).astype(np.float32)
    sentences /= np.linalg.norm(sentences, axis=1, keepdims=True)
    head = Head(content, names, _open)
    vector, prior = head.question(sentences)
    for first, second in ((0, 1), (1, 0)):
        inputs = {"sentence": sentences}
        for date, row in (("before", first), ("after", second)):
            inputs.update({f"{date}_{n}": part[row : row + 1] for n, part in encoded.items()})
        whole = _open(content).run(None, inputs)[0][0]
        features = head.features(encoded, first, second)
        assert (features.dtype, features.shape) == (np.float16, (32, 128, 128))
        classes = encoded["classes"][[first, second]].astype(np.float16)
        answer = head.answer(features, classes, vector, prior)
        assert answer.shape == whole.shape
        assert np.abs(answer - whole).max() < 0.01
        assert np.ptp(whole) > 1


def test_what_is_no_such_model_is_refused(content):
    with pytest.raises(ValueError, match="no tensor 'elsewhere'"):
        cut(content, {}, {"elsewhere": "found"})
    for damaged in (content[:-5], b"\xff" * 40):
        with pytest.raises(ValueError, match="ONNX"):
            cut(damaged, {}, {"change": "change"})
