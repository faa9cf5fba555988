# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes and properties of the bundled model's network, in a tiny configuration."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from changescribe.engine.modules.bundled.network import (
    NUM_CLASSES,
    ChangeModel,
    ClassPrior,
    ModelConfig,
    class_evidence,
)

pytestmark = pytest.mark.torch

TINY = ModelConfig(backbone="tiny", width=16, detail=8, text_width=16)


def _sentences(count: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 16), dim=1)


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_model_answers_every_query_at_full_resolution(size):
    model = ChangeModel(TINY).eval()
    images = torch.rand(2, 2, 3, *size) * 255
    sentences = _sentences(3)
    with torch.no_grad():
        logits = model(images[0], images[1], sentences)
        alone = model(images[0], images[1], sentences[1:2])
        encoded = model.encoder(images[0])
    assert logits.shape == (2, 3, *size)
    assert encoded.classes.shape == (2, NUM_CLASSES, size[0] // 4, size[1] // 4)
    assert torch.allclose(logits[:, 1:2], alone, atol=1e-5)


def test_evidence_of_appearing_is_after_and_not_before():
    sure = torch.full((1, NUM_CLASSES, 1, 1), 20.0)
    appeared = class_evidence(-sure, sure)[:, 2 * NUM_CLASSES :]
    stayed = class_evidence(sure, sure)[:, 2 * NUM_CLASSES :]
    assert appeared.min() > 0.99
    assert stayed.max() < 0.01


def test_prior_is_the_difference_of_the_class_that_the_sentence_names():
    prior = ClassPrior(16)
    sentence = _sentences(1)
    with torch.no_grad():
        prior.read.weight.zero_()
        prior.read.bias.fill_(-50)
        prior.read.bias[1] = 50  # read as roads
        difference = torch.zeros(1, NUM_CLASSES, 1, 2)
        difference[0, 1, 0, 0] = 1
        difference[0, 0, 0, 1] = 1
        answer = prior(sentence, difference)
    assert answer[0, 0, 0].tolist() == pytest.approx([4, -4], abs=1e-4)


def test_everything_gets_a_gradient_but_the_sentences():
    model = ChangeModel(TINY).train()
    images, sentences = torch.rand(2, 2, 3, 64, 64) * 255, _sentences(2)
    model(images[0], images[1], sentences).sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert not silent
    assert not sentences.requires_grad
