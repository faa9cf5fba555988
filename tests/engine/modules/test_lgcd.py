# SPDX-License-Identifier: GPL-3.0-or-later
"""LG-CD block by block, in small: shapes, attention, frozen parts."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from changescribe.engine.backbones import frozen
from changescribe.engine.errors import InputError
from changescribe.engine.modules.lgcd.config import TINY, LgcdConfig
from changescribe.engine.modules.lgcd.network import Lgcd, LgcdHead, enlarge, head_of
from changescribe.engine.modules.lgcd.tfam import GlobalSpatialLearning, TextFusionAttention
from changescribe.engine.modules.lgcd.vsfd import (
    KEY_WINDOWS,
    LanguageQuery,
    PyramidDecoder,
    ScaleFusion,
    VisionSemanticDecoder,
)

pytestmark = pytest.mark.torch

#: Channels of the test's encoder, of a word and of a sentence.
CHANNELS, WORD, SENTENCE = (8, 12, 16, 24), 16, 20


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: on a busy machine, several slow tiny models down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    yield
    torch.set_num_threads(threads)


def text(rows: int, words: int = 5):
    sentence = torch.nn.functional.normalize(torch.randn(rows, SENTENCE), dim=1)
    return torch.randn(rows, words, WORD), torch.ones(rows, words, dtype=torch.bool), sentence


def pyramid(count: int, height: int, width: int, channels=CHANNELS):
    return [
        torch.randn(count, c, height // s, width // s)
        for c, s in zip(channels, (4, 8, 16, 32), strict=True)
    ]


def head(**changes) -> LgcdHead:
    config = LgcdConfig.from_settings({"tiny": True, **changes})
    return LgcdHead(CHANNELS, WORD, SENTENCE, config).eval()


def test_spatial_layer_only_weighs():
    features = torch.randn(1, 16, 4, 6)
    weights = GlobalSpatialLearning()(features) / features
    assert torch.allclose(weights, weights[:, :1].expand_as(weights), atol=1e-5)
    assert 0 < weights.min() < weights.max() < 1


def test_tfam_listens_to_the_words_but_not_to_padding():
    tfam = TextFusionAttention(32, WORD, 2)
    features = torch.randn(1, 32, 4, 6)
    words, mask, _ = text(1)
    mask[:, 3:] = False
    fused = tfam(features, words, mask)
    assert fused.shape == features.shape
    padded = words.clone()
    padded[:, 3:] = 9
    assert torch.allclose(tfam(features, padded, mask), fused, atol=1e-5)
    words[:, 0] += 3
    assert not torch.allclose(tfam(features, words, mask), fused, atol=1e-3)


@pytest.mark.parametrize("window", KEY_WINDOWS)
def test_scale_fusion_sees_the_whole_map_and_the_words(window):
    fusion = ScaleFusion(32, WORD, 2, window)
    features = torch.randn(1, 32, 8, 16, requires_grad=True)
    words, mask, _ = text(1)
    words.requires_grad_()
    fused = fusion(features, words, mask)
    assert fused.shape == features.shape
    fused[0, :, 0, 0].sum().backward()
    # The first position attends to the last one, and to every word.
    assert features.grad[0, :, -1, -1].abs().sum() > 0
    assert (words.grad.abs().sum(2) > 0).all()


def test_scale_fusion_adds_sine_positions_to_the_features():
    # Without the attentions, eq. 4 remains: features + positions. A map of
    # 8 x 16 has its first row at 8 pi 0.5 / 8 = pi / 2, its first column at 8 pi 0.5 / 16 = pi / 4.
    fusion = ScaleFusion(4, WORD, 2, 1)
    for attention in (fusion.self_attention, fusion.cross_attention):
        torch.nn.init.zeros_(attention.to_output.weight)
        torch.nn.init.zeros_(attention.to_output.bias)
    features = torch.randn(1, 4, 8, 16)
    words, mask, _ = text(1)
    with torch.no_grad():
        added = fusion(features, words, mask) - features
    half = 0.5**0.5
    expected = {
        (0, 0): [1, half, 0, half],
        (0, 1): [1, half, 0, -half],
        (1, 0): [-1, half, 0, half],
    }
    for (row, column), values in expected.items():  # sin of row, column, then cos
        assert added[0, :, row, column].tolist() == pytest.approx(values, abs=1e-5)


def test_language_query_is_one_vector_of_image_and_text():
    query = LanguageQuery(32, WORD, SENTENCE, 2)
    features = torch.randn(2, 32, 8, 16)
    language = query(features, *text(2))
    assert language.shape == (2, 32)
    phrase = text(1)
    one = query(features, *(part.expand(2, *part.shape[1:]) for part in phrase))
    assert not torch.allclose(one[0], one[1], atol=1e-3)


def test_decoders_yield_the_maps_of_equation_9():
    sizes = [(16, 24), (8, 12), (4, 6), (2, 3), (16, 24), (16, 24)]
    stages = pyramid(2, 64, 96, (32,) * 4)
    maps = VisionSemanticDecoder(32, WORD, SENTENCE, 2)(stages, *text(2))
    assert [tuple(m.shape) for m in maps] == [(2, 1, *size) for size in sizes]
    fused, maps = PyramidDecoder(32)(stages)
    assert fused.shape == (2, 32, 16, 24)
    assert [tuple(m.shape) for m in maps] == [(2, 1, *size) for size in sizes[:5]]


def test_questions_about_encoded_images_answer_one_by_one():
    model = head()
    features = pyramid(3, 64, 96)
    words, mask, sentence = text(4)
    first, second = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 0, 0, 2])
    with torch.no_grad():
        together = model(features, first, second, words, mask, sentence)[-1]
        for row in range(4):
            pick = slice(row, row + 1)
            pair = [torch.stack([stage[first[row]], stage[second[row]]]) for stage in features]
            alone = model(
                pair, torch.tensor([0]), torch.tensor([1]), words[pick], mask[pick], sentence[pick]
            )[-1]
            assert torch.allclose(together[pick], alone, atol=1e-4)
    assert enlarge(together, 64, 96).shape == (4, 64, 96)


def test_order_of_the_dates_and_the_prompt_both_matter():
    model = head()
    features = pyramid(2, 64, 64)
    words, mask, sentence = text(1)
    here, there = torch.tensor([0]), torch.tensor([1])
    with torch.no_grad():
        answer = model(features, here, there, words, mask, sentence)[-1]
        swapped = model(features, there, here, words, mask, sentence)[-1]
        other = model(features, here, there, *text(1))[-1]
    assert not torch.allclose(answer, swapped, atol=1e-3)
    assert not torch.allclose(answer, other, atol=1e-3)


@pytest.mark.parametrize(("tfam", "vsfd", "reads"), [(0, 0, False), (1, 0, True), (0, 1, True)])
def test_ablations_leave_out_what_they_say(tfam, vsfd, reads):
    model = head(tfam=bool(tfam), vsfd=bool(vsfd))
    arguments = (pyramid(2, 64, 64), torch.tensor([0]), torch.tensor([1]))
    with torch.no_grad():
        maps = [model(*arguments, *text(1)) for _ in range(2)]
    assert len(maps[0]) == (6 if vsfd else 5)
    assert torch.allclose(maps[0][-1], maps[1][-1], atol=1e-4) is not reads


def test_everything_learns_but_the_encoder():
    encoder = frozen.build("tiny")
    model = Lgcd(encoder, LgcdHead(encoder.channels, WORD, SENTENCE, TINY)).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    images = torch.rand(2, 3, 64, 64) * 255
    optimiser = torch.optim.Adam(p for p in model.parameters() if p.requires_grad)
    maps = model(images, torch.tensor([0, 1]), torch.tensor([1, 0]), *text(2))
    sum(m.square().mean() for m in maps).backward()
    assert all(p.grad is None for p in encoder.parameters())
    assert all(p.grad is not None for p in model.head.parameters())
    optimiser.step()
    # Not even the running statistics of its batch norms.
    assert all(torch.equal(before[n], value) for n, value in encoder.state_dict().items())
    assert not any(module.training for module in encoder.modules())


def test_full_size_is_the_papers():
    config = LgcdConfig()
    model = LgcdHead((96, 192, 384, 768), 512, 512, config)
    assert model.adapters[3][0].weight.shape == (128, 768, 1, 1)
    assert model.fusion[0].cross_attention.to_query.in_features == 256
    assert model.fusion[0].cross_attention.to_key.in_features == 512
    again = head_of(model.state_dict(), config)
    shapes = [{n: v.shape for n, v in m.state_dict().items()} for m in (model, again)]
    assert shapes[0] == shapes[1]
    assert (config.text, config.tfam, config.vsfd) == ("clip-vit-b-16-openai", True, True)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="no setting named widht"):
        LgcdConfig.from_settings({"widht": 64})
    with pytest.raises(InputError, match="cannot divide"):
        LgcdConfig.from_settings({"width": 30, "heads": 7})
