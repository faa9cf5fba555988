# SPDX-License-Identifier: GPL-3.0-or-later
"""TextSCD: classes of both dates and the change between them, guided by a caption.

The paper describes one fused map, but the task needs three. Here a semantic head, shared by both
dates, reads x_t + F, and a change head reads F. The result is the most probable class of each
date wherever the change head detects a change.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import clip_text
from ...backbones.mobilenet import MobileNetPyramid
from ...backbones.resnet import ResNetPyramid
from ...errors import InputError
from ...weights.store import WeightsStore
from ..attention import MultiHeadAttention, to_map, to_tokens
from ..mmchange.network import restored
from ..texts import ModulesTexts
from .config import TextSCDConfig

#: Maximum words of a caption: L = 50 (section 3.2.2).
CAPTION_WORDS = 50
#: Indices of the stages guided by text. The paper has "i in (1, 2, 3)": counted from 0, these are
#: strides 8 to 32, whose features are semantic.
GUIDED = (1, 2, 3)


class Maps(NamedTuple):
    """Output of TextSCD.

    Attributes:
        before: (B, K, H, W) logits of the classes on the earlier date.
        after: the same for the later date.
        change: (B, 1, H, W) logits of change.
    """

    before: Tensor
    after: Tensor
    change: Tensor


class PairFeatures(nn.Sequential):
    """F_Diff = MLP([x_1; x_2; |x_1 - x_2|]) per pixel (eq. 6)."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(3 * channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Two (B, C, h, w) -> (B, C, h, w)."""
        return super().forward(torch.cat([before, after, (before - after).abs()], 1))


class TextGuidedInteraction(nn.Module):
    """TGI: F_o = F_Diff + CrossAtten(LN(F_Diff), LN(F_text)) (eq. 7).

    Args:
        channels: C_i of the stage.
        text_width: D_t, channels of a word embedding.
        heads: number of attention heads.
    """

    def __init__(self, channels: int, text_width: int, heads: int) -> None:
        super().__init__()
        self.align = nn.Linear(text_width, channels)
        self.norm_image = nn.LayerNorm(channels)
        self.norm_text = nn.LayerNorm(channels)
        self.attention = MultiHeadAttention(channels, channels, channels, heads)

    def forward(self, features: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Fuse.

        Args:
            features: F_Diff (B, C, h, w).
            words: F_text (B, L, text_width).
            mask: (B, L), 1 for a word, 0 for padding. Every row has at least one word, since an
                empty caption still has start and end tokens.
        """
        pixels = self.norm_image(to_tokens(features))
        attended = self.attention(pixels, self.norm_text(self.align(words)), mask)
        return features + to_map(attended, features)


class Decoder(nn.Module):
    """p_i <- Deconv4x4(Conv1x1(p_{i+1})) + p_i (eq. 8), then a 3x3 classifier."""

    def __init__(self, channels: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(coarse, fine, 1), nn.ConvTranspose2d(fine, fine, 4, stride=2, padding=1)
            )
            for fine, coarse in itertools.pairwise(channels)
        )
        self.classify = nn.Conv2d(channels[0], classes, 3, padding=1)

    def forward(self, pyramid: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Return logits (B, classes, H, W).

        Args:
            pyramid: maps (B, C_i, h_i, w_i), each half as large as the previous one.
            size: H and W, the original resolution, at which the classifier works.
        """
        features = pyramid[-1]
        for step, finer in zip(reversed(self.steps), reversed(pyramid[:-1]), strict=True):
            features = step(features) + finer
        features = F.interpolate(features, size=size, mode="bilinear", align_corners=False)
        return self.classify(features)


class TextSCDHead(nn.Module):
    """Everything after the image encoder: eq. 6, TGI, decoders. Exported to ONNX as a whole."""

    def __init__(self, config: TextSCDConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.channels, self.text_width = channels, config.text_width
        self.pair = nn.ModuleList(PairFeatures(width) for width in channels)
        self.guide = nn.ModuleList(
            TextGuidedInteraction(channels[stage], config.text_width, config.heads)
            for stage in (GUIDED if config.text else ())
        )
        self.semantic = Decoder(channels, len(config.classes))
        self.change = Decoder(channels, 1)

    def forward(
        self, before: list[Tensor], after: list[Tensor], words: Tensor, mask: Tensor
    ) -> Maps:
        """Compare two dates.

        Args:
            before: four maps (B, C_i, H / s, W / s), s = 4, 8, 16, 32.
            after: the same for the later date.
            words: (B, L, text_width) of the caption, L at most :data:`CAPTION_WORDS`.
            mask: (B, L), 1 for a word, 0 for padding.
        """
        fused = [pair(one, two) for pair, one, two in zip(self.pair, before, after, strict=True)]
        for stage, guide in zip(GUIDED, self.guide, strict=False):  # none without text
            fused[stage] = guide(fused[stage], words, mask)
        size = (before[0].shape[-2] * 4, before[0].shape[-1] * 4)
        dates = [
            self.semantic([x + f for x, f in zip(date, fused, strict=True)], size)
            for date in (before, after)
        ]
        return Maps(dates[0], dates[1], self.change(fused, size))


class TextSCD(nn.Module):
    """Encoder and head; the frozen text tower is separate."""

    def __init__(self, config: TextSCDConfig, weights: str | Path | None = None) -> None:
        super().__init__()
        self.config = config
        if config.backbone == "mobilenet_v2":
            self.backbone: nn.Module = MobileNetPyramid(config.pretrained)
        else:
            self.backbone = ResNetPyramid(config.backbone, weights=weights)
        self.head = TextSCDHead(config, tuple(self.backbone.channels[1:]))

    def forward(self, before: Tensor, after: Tensor, words: Tensor, mask: Tensor) -> Maps:
        """Compare dates (B, 3, H, W), sides multiples of 32; see :meth:`TextSCDHead.forward`."""
        encoded = self.encode(torch.cat([before, after]))
        count = before.shape[0]
        return self.head([m[:count] for m in encoded], [m[count:] for m in encoded], words, mask)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Encode (B, 3, H, W) float, 0 to 255, to the four maps of the head (eqs. 3, 4)."""
        return self.backbone(images)[1:]


def load_trained(path: Path) -> TextSCD:
    """Load weights of "changescribe train" for TextSCD; see :func:`restored`."""
    return restored(path, lambda settings: TextSCD(TextSCDConfig.from_settings(settings)))


def open_tower(config: TextSCDConfig, store: WeightsStore | None = None) -> clip_text.TextTower:
    """Return the frozen text tower of a configuration.

    Raises:
        InputError: its word embeddings do not have ``config.text_width`` channels.
        WeightsError: its weights are missing.
    """
    tower = clip_text.build(config.text_tower, config.text_file, store=store)
    if tower.word_width != config.text_width:
        raise InputError(
            ModulesTexts.textscd_tower(
                tower=config.text_tower, found=tower.word_width, expected=config.text_width
            )
        )
    return tower


def caption_words(
    tower: clip_text.TextTower | None,
    captions: list[str],
    device: torch.device | str,
    config: TextSCDConfig,
) -> tuple[Tensor, Tensor]:
    """Embed captions (eq. 5): words (B, L, text_width) and mask (B, L), L at most 50."""
    if tower is None:
        words = torch.zeros(len(captions), 1, config.text_width, device=device)
        return words, torch.ones(len(captions), 1, device=device)
    text = tower.encode(captions, device)
    return text.words[:, :CAPTION_WORDS], text.mask[:, :CAPTION_WORDS].float()
