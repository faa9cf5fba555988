# SPDX-License-Identifier: GPL-3.0-or-later
"""Semantic-CC (Zhu et al., 2024): change detection and captioning that inform each other.

Names and equation numbers are those of the paper. Its "multi-output ensemble" at inference is not
described there and is omitted.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import lora, vit
from ...backbones.causal import LanguageModel
from ...errors import InputError
from ...weights.store import WeightsStore
from ..mmchange.network import restored
from ..texts import ModulesTexts
from .config import SemanticCcConfig
from .encoder import BitemporalEncoder


class SemanticCcFeatures(NamedTuple):
    """Output of one forward pass.

    Attributes:
        caption: F_cc of both dates, (2B, h w, c), the earlier ones first (eq. 4).
        change: M (B, 2, H, W) logits of no change and of change (eq. 6).
    """

    caption: Tensor
    change: Tensor


class InterTaskAttention(nn.Module):
    """Inter-task attention by bilinear similarity (fig. 4, eq. 5).

    S has one value per place, since it weights the places of X_2.
    """

    def __init__(self, own: int, other: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(own, other))
        # With normalised features, S starts within the sensitive range of the sigmoid.
        nn.init.normal_(self.weight, std=(own * other) ** -0.5)
        self.project = nn.Linear(own + other, own)  # a convolution of 1 x 1

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """Return (B, N, own) in (0, 1): X_1 (B, N, own) informed by X_2 (B, N, other)."""
        similarity = ((own @ self.weight) * other).sum(-1, keepdim=True)
        chosen = other * torch.sigmoid(similarity)
        return torch.sigmoid(self.project(torch.cat([own, chosen], dim=-1)))


class SemanticAggregationUnit(nn.Module):
    """A multi-task semantic aggregation unit (fig. 3, eq. 4)."""

    def __init__(self, wide: int, narrow: int, heads: int) -> None:
        super().__init__()
        self.intra = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for width in (wide, narrow)
        )
        self.inter = nn.ModuleList(
            [InterTaskAttention(wide, narrow), InterTaskAttention(narrow, wide)]
        )

    def forward(self, caption: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of captioning (2B, N, wide) and of change detection (2B, N, narrow)."""
        within = self.intra[0](caption), self.intra[1](change)
        return (caption + self.inter[0](*within), change + self.inter[1](*within[::-1]))


class SimplePyramid(nn.Module):
    """SimpleFPN: maps of 4, 2, 1 and 1/2 times the size (Phi_sampling of eq. 6)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        half, quarter = max(1, channels // 2), max(1, channels // 4)
        larger = nn.Sequential(
            nn.ConvTranspose2d(channels, half, 2, 2),
            nn.GroupNorm(1, half),
            nn.GELU(),
            nn.ConvTranspose2d(half, quarter, 2, 2),
        )
        sampled = (
            (larger, quarter),
            (nn.ConvTranspose2d(channels, half, 2, 2), half),
            (nn.Identity(), channels),
            (nn.MaxPool2d(2, ceil_mode=True), channels),
        )
        self.levels = nn.ModuleList(
            nn.Sequential(
                sample,
                nn.Conv2d(given, width, 1, bias=False),
                nn.GroupNorm(1, width),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.GroupNorm(1, width),
            )
            for sample, given in sampled
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return four maps, the largest first, of a map (B, channels, h, w)."""
        return [level(features) for level in self.levels]


class ChangeDetectionDecoder(nn.Module):
    """The multi-scale change detection decoder (section III-D, eq. 6)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.pyramid = SimplePyramid(2 * channels, width)
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(4))
        self.project = nn.Conv2d(4 * width, 2, 1)

    def forward(self, before: Tensor, after: Tensor, height: int, width: int) -> Tensor:
        """Return M (B, 2, height, width) for F_cd of both dates (B, r, h, w)."""
        maps = self.pyramid(torch.cat([before, after], dim=1))
        size = maps[0].shape[2:]
        one_size = [
            F.interpolate(conv(part), size, mode="bilinear", align_corners=False)
            for conv, part in zip(self.convs, maps, strict=True)
        ]
        mask = self.project(torch.cat(one_size, dim=1))
        return F.interpolate(mask, (height, width), mode="bilinear", align_corners=False)


class QueryingTransformer(nn.Module):
    """The Q-Former, shared by both dates (eq. 7); as in MiniGPT-4, without the instruction."""

    def __init__(self, config: SemanticCcConfig, channels: int) -> None:
        super().__init__()
        from transformers import Blip2QFormerConfig, Blip2QFormerModel

        self.queries = nn.Parameter(0.02 * torch.randn(1, config.queries, config.query_width))
        self.former = Blip2QFormerModel(
            Blip2QFormerConfig(
                hidden_size=config.query_width,
                num_hidden_layers=config.query_layers,
                num_attention_heads=config.query_heads,
                intermediate_size=4 * config.query_width,
                encoder_hidden_size=channels,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=config.dropout,
            )
        )

    def forward(self, features: Tensor, inside: Tensor | None = None) -> Tensor:
        """Return the outputs (B, Q, w) of the queries.

        Args:
            features: (B, N, c) of one date.
            inside: (B, N) int64, 1 for places to attend to; None for all.
        """
        queries = self.queries.expand(len(features), -1, -1)
        return self.former(
            queries, encoder_hidden_states=features, encoder_attention_mask=inside
        ).last_hidden_state


class ChangeFeatureEnhancer(nn.Module):
    """The change semantic feature enhancer (fig. 5, eq. 8)."""

    def __init__(self, width: int, language: int) -> None:
        super().__init__()
        self.weigh = nn.ModuleList(nn.Linear(2 * width, 1) for _ in range(2))
        self.project = nn.Linear(3 * width, language)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Return Delta F_cc (B, Q, language) for the queries of both dates, (B, Q, width)."""
        one = before * torch.sigmoid(self.weigh[0](torch.cat([before, after], dim=-1)))
        two = after * torch.sigmoid(self.weigh[1](torch.cat([after, before], dim=-1)))
        return self.project(torch.cat([one, two, one - two], dim=-1))


class ChangeCaptionDecoder(nn.Module):
    """Turns F_cc into embeddings for the language model (section III-E, eq. 7)."""

    def __init__(self, config: SemanticCcConfig, channels: int, language: int) -> None:
        super().__init__()
        self.query = QueryingTransformer(config, channels)
        self.enhance = ChangeFeatureEnhancer(config.query_width, language)

    def forward(self, features: Tensor, inside: Tensor | None = None) -> Tensor:
        """Return Delta F_cc (B, Q, language).

        Args:
            features: F_cc (2B, N, c), the earlier dates first.
            inside: (B, N), positive for places to attend to; a row without any attends to all.
        """
        if inside is not None:
            inside = (inside > 0) | ~(inside > 0).any(1, keepdim=True)
            inside = torch.cat([inside, inside]).long()
        return self.enhance(*self.query(features, inside).chunk(2))


class SemanticCc(nn.Module):
    """Semantic-CC (fig. 1, eq. 1).

    Attributes:
        language: language model with its tokenizer; its network is registered as ``network``.
    """

    def __init__(
        self, config: SemanticCcConfig, taps: vit.ViTTaps, language: LanguageModel
    ) -> None:
        super().__init__()
        if taps.channels % config.heads:
            raise InputError(
                ModulesTexts.semantic_cc_encoder(channels=taps.channels, heads=config.heads)
            )
        self.config = config
        self.encoder = BitemporalEncoder(config, taps)
        # MiniGPT-4's norm of the ViT's output; here before the neck.
        self.norm = nn.LayerNorm(taps.channels)
        self.neck = nn.ModuleList(
            SemanticAggregationUnit(taps.channels, config.reduced, config.heads)
            for _ in range(config.units)
        )
        self.detector = ChangeDetectionDecoder(config.reduced, config.pyramid)
        self.captioner = ChangeCaptionDecoder(config, taps.channels, language.width)
        if config.rank:
            lora.add(language.model, config.rank, config.alpha, config.dropout)
        self.language = language
        self.network = language.model
        self.train()

    def train(self, mode: bool = True) -> SemanticCc:
        """Keep the frozen parts in evaluation mode, except for the dropout of adapters."""
        super().train(mode)
        for frozen in (self.encoder.vit, self.network):
            frozen.eval()
            for name, part in frozen.named_modules():
                if "lora_dropout" in name:
                    part.train(mode)
        return self

    def forward(self, before: Tensor, after: Tensor) -> SemanticCcFeatures:
        """Encode dates (B, 3, H, W), 0 to 255, exchange between the tasks, predict the mask."""
        wide, narrow = self.encoder(before, after)
        wide = self.norm(wide)
        for unit in self.neck:
            wide, narrow = unit(wide, narrow)
        side = self.encoder.side
        dates = narrow.transpose(1, 2).unflatten(2, (side, side)).chunk(2)
        return SemanticCcFeatures(wide, self.detector(*dates, *before.shape[2:]))


def build(
    config: SemanticCcConfig, language: LanguageModel, store: WeightsStore | None = None
) -> SemanticCc:
    """Build Semantic-CC for training.

    Raises:
        InputError: there is no such encoder, or a part takes no adapters.
        WeightsError: its weights are missing.
        DependencyError: a package is missing.
    """
    taps = vit.build(config.encoder, config.globals, pretrained=config.pretrained, store=store)
    return SemanticCc(config, taps, language)


def load_trained(
    path: Path, language: LanguageModel, store: WeightsStore | None = None
) -> SemanticCc:
    """Load weights of "changescribe train" for Semantic-CC; see :func:`restored`."""
    return restored(path, lambda s: build(SemanticCcConfig.from_settings(s), language, store))
