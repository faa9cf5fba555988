# SPDX-License-Identifier: GPL-3.0-or-later
"""Semantic-CC's encoder: a frozen ViT with LoRA that looks at both dates at once.

Names and equation numbers are the paper's.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import lora
from ...backbones.vit import ViTTaps
from .config import SemanticCcConfig

#: The feed-forward networks of the filters narrow by this; the paper does not say.
_NARROWER = 4


class BitemporalFeatures(NamedTuple):
    """What the encoder yields of both dates (eq. 1).

    Attributes:
        wide: F_1 and F_2 for captioning, (2B, h w, c), the earlier dates first.
        narrow: the same for change detection, reduced to r channels, (2B, h w, r).
    """

    wide: Tensor
    narrow: Tensor


class DateFilter(nn.Module):
    """The filter of eq. 3: what of x stays, in the light of y.

    Args:
        width: of the last axis: c for the spatial filter, h w for the channel filter.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * width, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x (B, N, width) times one number from 0 to 1 for each of its N rows."""
        return x * torch.sigmoid(self.project(torch.cat([x, y], dim=-1)))


class FeedForward(nn.Sequential):
    """Phi_ffn of eq. 2; it begins as zero, so that the encoder begins as it was trained.

    Args:
        channels: c.
    """

    def __init__(self, channels: int) -> None:
        inner = max(1, channels // _NARROWER)
        super().__init__(nn.Linear(channels, inner), nn.GELU(), nn.Linear(inner, channels))
        nn.init.zeros_(self[2].weight)
        nn.init.zeros_(self[2].bias)


class ChangeSemanticFilter(nn.Module):
    """The bi-temporal change semantic filter, BCSF (fig. 2, eq. 2).

    Args:
        channels: c.
        places: h w, which is fixed: the channel filter has a weight for each.
    """

    def __init__(self, channels: int, places: int) -> None:
        super().__init__()
        self.places = places
        self.spatial = DateFilter(channels)  # of both dates
        self.spatial_ffn = FeedForward(channels)
        self.channel = nn.ModuleList(DateFilter(places) for _ in range(2))  # of each date
        self.channel_ffn = nn.ModuleList(FeedForward(channels) for _ in range(2))

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Return both dates, (B, h w, c) each, with what they say of each other."""
        dates = []
        for k, (own, other) in enumerate(((before, after), (after, before))):
            spatial = self.spatial_ffn(self.spatial(own, other))
            channel = self.channel[k](own.transpose(1, 2), other.transpose(1, 2)).transpose(1, 2)
            dates.append(own + spatial + self.channel_ffn[k](channel))
        return dates[0], dates[1]


class BitemporalEncoder(nn.Module):
    """The bi-temporal SAM-based encoder (section III-B).

    The ViT is frozen but for LoRA in the attention of its blocks. A filter stands behind each
    of the tapped blocks: SAM's layers of global attention.

    Args:
        config: sizes.
        vit: with taps behind the blocks that get a filter.
    """

    def __init__(self, config: SemanticCcConfig, vit: ViTTaps) -> None:
        super().__init__()
        self.vit = vit.requires_grad_(False)
        side = max(1, round(config.size / vit.patch))
        self.side, self.channels = side, vit.channels
        if config.rank:
            lora.add(vit, config.rank, config.alpha, config.dropout)
        self.filters = nn.ModuleList(
            ChangeSemanticFilter(vit.channels, side * side) for _ in vit.taps
        )
        for number, part in zip(vit.taps, self.filters, strict=True):
            # Before the tap takes its features.
            vit.blocks[number - 1].register_forward_hook(partial(_exchange, part), prepend=True)
        neck = vit.neck
        if neck is None or neck[0].out_channels != config.reduced:
            neck = _neck(vit.channels, config.reduced)
        self.reduce = neck

    def forward(self, before: Tensor, after: Tensor) -> BitemporalFeatures:
        """Encode both dates.

        Args:
            before: (B, 3, H, W) float, 0 to 255; scaled to the encoder's size.
            after: the same for the later date.
        """
        side = self.side * self.vit.patch
        images = torch.cat([before, after])
        if images.shape[2:] != (side, side):
            images = F.interpolate(
                images, (side, side), mode="bilinear", align_corners=False, antialias=True
            )
        last = self.vit(images)[-1]
        return BitemporalFeatures(
            last.flatten(2).transpose(1, 2), self.reduce(last).flatten(2).transpose(1, 2)
        )


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of maps (B, C, h, w)."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.movedim(1, -1)).movedim(-1, 1)


def _neck(channels: int, reduced: int) -> nn.Sequential:
    """Return what reduces the channels, laid out as SAM's neck."""
    return nn.Sequential(
        nn.Conv2d(channels, reduced, 1, bias=False),
        _ChannelNorm(reduced),
        nn.Conv2d(reduced, reduced, 3, padding=1, bias=False),
        _ChannelNorm(reduced),
    )


def _exchange(part: ChangeSemanticFilter, _: nn.Module, __: Any, output: Any) -> Any:
    """Filter what a block returns of both dates; tokens of the class stay as they are."""
    tokens = output[0] if isinstance(output, tuple) else output
    flat = tokens.flatten(1, 2) if tokens.ndim == 4 else tokens
    first = flat.shape[1] - part.places
    patches = torch.cat(part(*flat[:, first:].chunk(2)))
    filtered = torch.cat([flat[:, :first], patches.to(flat.dtype)], dim=1).reshape(tokens.shape)
    return (filtered, *output[1:]) if isinstance(output, tuple) else filtered
