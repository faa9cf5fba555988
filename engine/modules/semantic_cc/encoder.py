# SPDX-License-Identifier: GPL-3.0-or-later
"""The encoder of Semantic-CC: a frozen ViT with LoRA and filters between the dates.

Names and equation numbers are those of the paper.
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

#: Reduction of the channels in the feed-forward networks of the filters; not in the paper.
_NARROWER = 4


class BitemporalFeatures(NamedTuple):
    """Features of both dates (eq. 1).

    Attributes:
        wide: F_1 and F_2 for captioning, (2B, h w, c), the earlier dates first.
        narrow: F_1 and F_2 for change detection, reduced to r channels, (2B, h w, r).
    """

    wide: Tensor
    narrow: Tensor


class DateFilter(nn.Module):
    """The filter of eq. 3: weights the rows of x by comparison with y.

    Args:
        width: length of the last axis: c for the spatial filter, h w for the channel filter.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * width, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x (B, N, width), each of its N rows times a weight in (0, 1)."""
        return x * torch.sigmoid(self.project(torch.cat([x, y], dim=-1)))


class FeedForward(nn.Sequential):
    """Phi_ffn of eq. 2; initially zero, so that the encoder starts as pretrained."""

    def __init__(self, channels: int) -> None:
        inner = max(1, channels // _NARROWER)
        super().__init__(nn.Linear(channels, inner), nn.GELU(), nn.Linear(inner, channels))
        nn.init.zeros_(self[2].weight)
        nn.init.zeros_(self[2].bias)


class ChangeSemanticFilter(nn.Module):
    """The bi-temporal change semantic filter, BCSF (fig. 2, eq. 2).

    Args:
        channels: c.
        places: h w, which is fixed, since the channel filter has one weight per place.
    """

    def __init__(self, channels: int, places: int) -> None:
        super().__init__()
        self.places = places
        self.spatial = DateFilter(channels)  # of both dates
        self.spatial_ffn = FeedForward(channels)
        self.channel = nn.ModuleList(DateFilter(places) for _ in range(2))  # of each date
        self.channel_ffn = nn.ModuleList(FeedForward(channels) for _ in range(2))

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Return both dates, (B, h w, c) each, filtered by each other."""
        dates = []
        for k, (own, other) in enumerate(((before, after), (after, before))):
            spatial = self.spatial_ffn(self.spatial(own, other))
            channel = self.channel[k](own.transpose(1, 2), other.transpose(1, 2)).transpose(1, 2)
            dates.append(own + spatial + self.channel_ffn[k](channel))
        return dates[0], dates[1]


class BitemporalEncoder(nn.Module):
    """The bi-temporal SAM-based encoder (section III-B).

    The ViT is frozen, except for LoRA in its attention. Each tapped block, one of SAM's layers of
    global attention, is followed by a filter.
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
            # Prepended, so that the filter runs before the tap.
            vit.blocks[number - 1].register_forward_hook(partial(_exchange, part), prepend=True)
        neck = vit.neck
        if neck is None or neck[0].out_channels != config.reduced:
            neck = _neck(vit.channels, config.reduced)
        else:
            neck.requires_grad_(False)  # a part of SAM, like the ViT
        self.reduce = neck

    def forward(self, before: Tensor, after: Tensor) -> BitemporalFeatures:
        """Encode both dates, each (B, 3, H, W), 0 to 255; resized to the encoder's size."""
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
    """Return a reduction of the channels with the layers of SAM's neck."""
    return nn.Sequential(
        nn.Conv2d(channels, reduced, 1, bias=False),
        _ChannelNorm(reduced),
        nn.Conv2d(reduced, reduced, 3, padding=1, bias=False),
        _ChannelNorm(reduced),
    )


def _exchange(part: ChangeSemanticFilter, _: nn.Module, __: Any, output: Any) -> Any:
    """Filter the output of a block for both dates, except for its class tokens."""
    tokens = output[0] if isinstance(output, tuple) else output
    flat = tokens.flatten(1, 2) if tokens.ndim == 4 else tokens
    first = flat.shape[1] - part.places
    patches = torch.cat(part(*flat[:, first:].chunk(2)))
    filtered = torch.cat([flat[:, :first], patches.to(flat.dtype)], dim=1).reshape(tokens.shape)
    return (filtered, *output[1:]) if isinstance(output, tuple) else filtered
