# SPDX-License-Identifier: GPL-3.0-or-later
"""Dense CLIP: the attention computed here against open_clip's own, windows, likelihoods."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")
import torch.nn.functional as F
from zeroshot_models import CPU, tiny_clip

from changescribe.engine.errors import InputError
from changescribe.engine.zeroshot import dense_clip

pytestmark = pytest.mark.torch

#: Both kinds of blocks that open_clip has, with all that can be in them.
VISIONS = (
    {},
    {"block_type": "custom", "qk_norm": True, "scale_heads": True, "scale_attn_inner": True},
    {"pool_type": "avg", "no_ln_pre": True},
)


@pytest.mark.parametrize("vision", VISIONS)
@torch.no_grad()
def test_the_standard_attention_is_that_of_open_clip(vision: dict) -> None:
    visual = tiny_clip(**vision).visual
    images = torch.randn(2, 3, 32, 32)
    block = visual.transformer.resblocks[-1]
    tokens = dense_clip.embed(visual, images)
    kept = []
    handle = block.register_forward_hook(lambda _, given, made: kept.append((given[0], made)))
    visual(images)
    handle.remove()
    assert torch.allclose(tokens, kept[0][0], atol=1e-5)
    ours = tokens + dense_clip.attend(block.attn, block.ln_1(tokens), dense_clip.STANDARD)
    ours = ours + block.mlp(block.ln_2(ours))
    assert torch.allclose(ours, kept[0][1], atol=1e-5)


@torch.no_grad()
def test_self_attention_is_the_sum_of_three_likenesses() -> None:
    attention = tiny_clip().visual.transformer.resblocks[-1].attn
    tokens = torch.randn(1, 5, 32)
    joined = F.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)[0]
    mixed = torch.zeros(5, 32)
    for head in range(2):
        parts = [joined[:, 32 * i + 16 * head : 32 * i + 16 * (head + 1)] for i in range(3)]
        weights = sum((part @ part.T / 4).softmax(1) for part in parts)
        mixed[:, 16 * head : 16 * (head + 1)] = weights @ parts[2]
    assert torch.allclose(
        dense_clip.attend(attention, tokens)[0], attention.out_proj(mixed), atol=1e-5
    )
    standard = dense_clip.attend(attention, tokens, dense_clip.STANDARD)
    assert not torch.allclose(dense_clip.attend(attention, tokens), standard, atol=1e-3)


@torch.no_grad()
def test_dense_features_have_neither_residual_nor_mlp() -> None:
    visual = tiny_clip().visual
    images = torch.randn(2, 3, 32, 32)
    block = visual.transformer.resblocks[-1]
    patches, whole = dense_clip.dense_features(visual, images)
    assert patches.shape == (2, 16, 4, 4)
    assert whole.shape == (2, 16)
    tokens = visual.ln_post(
        dense_clip.attend(block.attn, block.ln_1(dense_clip.embed(visual, images)))
    )
    expected = F.normalize(tokens @ visual.proj, dim=-1)
    assert torch.allclose(patches[0, :, 1, 2], expected[0, 1 + 4 + 2], atol=1e-6)
    for parameter in block.mlp.parameters():
        parameter.zero_()
    assert torch.equal(dense_clip.dense_features(visual, images)[0], patches)


def test_other_image_towers_are_refused() -> None:
    with pytest.raises(InputError, match="single patches"):
        dense_clip.check(tiny_clip(attentional_pool=True).visual)
    with pytest.raises(InputError, match="single patches"):
        dense_clip.check(torch.nn.Conv2d(3, 3, 1))


def test_windows_cover_the_image() -> None:
    assert dense_clip.origins(448, 224, 112) == [0, 112, 224]
    assert dense_clip.origins(224, 224, 112) == [0]
    assert dense_clip.origins(544, 224, 112) == [0, 112, 224, 320]
    assert dense_clip.resized(512, 512, 448, 224) == (448, 448)
    assert dense_clip.resized(512, 512, 358, 224) == (352, 352)
    assert dense_clip.resized(64, 128, 448, 224) == (448, 896)
    assert dense_clip.resized(512, 512, 605, 378) == (608, 608)
    height, width = dense_clip.resized(512, 512, 300, 378)
    assert height % 4 == width % 4 == 0
    assert height >= 378


def test_overlapping_windows_are_averaged() -> None:
    answers = [torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 3.0)]
    joined = dense_clip.stitch(answers, [(0, 0), (0, 8)], (16, 24), 16)
    assert joined[0, 2].tolist() == [1, 1, 2, 2, 3, 3]


def test_a_class_with_many_words_has_no_advantage() -> None:
    cosines = torch.tensor([0.2, 0.2, 0.2, 0.2]).view(4, 1, 1)
    likely = dense_clip.posterior(cosines, [[0, 1, 2], [3]])
    assert likely.flatten().tolist() == pytest.approx([0.5, 0.5])
    cosines[2] += 0.02
    likely = dense_clip.posterior(cosines, [[0, 1, 2], [3]])
    assert likely[0].item() == pytest.approx(torch.tensor(1.0).sigmoid().item(), abs=1e-4)


@torch.no_grad()
def test_fit_is_made_of_the_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    clip = dense_clip.DenseClip(
        tiny_clip(), open_clip.get_tokenizer("ViT-B-32"), ["{}.", "a {}."], CPU
    )
    texts = clip.encode_text(["house", "tree"])
    assert torch.allclose(texts.norm(dim=1), torch.ones(2))
    image = torch.rand(3, 64, 96) * 255
    maps = clip.fit(image, texts)
    # 0.8, 1 and 1.2 times twice the window of 32 pixels, in steps of 32, at stride 4.
    assert [tuple(m.shape) for m in maps] == [(2, 16, 16), (2, 16, 24), (2, 16, 32)]
    mean = dense_clip.mean_posterior(maps, [[0], [1]], (64, 96))
    assert mean.shape == (2, 64, 96)
    assert torch.allclose(mean.sum(0), torch.ones(64, 96), atol=1e-5)
    # The first window's patch in a corner that no other window covers.
    normal = (image / 255 - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor(
        [0.3, 0.2, 0.1]
    ).view(3, 1, 1)
    patches, whole = dense_clip.dense_features(clip._model.visual, normal[None, :, :32, :32])
    expected = patches[0, :, 0, 0] @ texts.T - 0.3 * whole[0] @ texts.T
    assert torch.allclose(maps[1][:, 0, 0], expected, atol=1e-4)
    # The words are embedded once.
    monkeypatch.setattr(clip._model, "encode_text", None)
    assert torch.equal(clip.encode_text(["tree"])[0], texts[1])
