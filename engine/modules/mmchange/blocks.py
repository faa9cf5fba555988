# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of MMChange under the paper's names: aggregation, IFR, TDE, ITFF, decoder.

If equations and prose of the paper differ, the docstring of the block names the one followed.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import resize_like

#: IFR: n of eq. 10.
IFR_GROUPS = 4
#: Groups of the spatial-group enhancement.
ENHANCEMENT_GROUPS = 8
#: Channel attention: factor between its width and that of its hidden layer.
REDUCTION = 8


class ConvNormAct(nn.Sequential):
    """ReLU(BN(Conv(x)))."""

    def __init__(
        self, channels: int, width: int, kernel: int = 3, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(channels, width, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )


class SpatialGroupEnhancement(nn.Module):
    """Spatial-group enhancement: gates positions by their similarity to the mean of their group."""

    def __init__(self, groups: int = ENHANCEMENT_GROUPS) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(1, groups, 1, 1))
        self.bias = nn.Parameter(torch.ones(1, groups, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        height, width = features.shape[2:]
        parts = features.reshape(features.shape[0], self.groups, -1, height, width)
        likeness = (parts * parts.mean((3, 4), keepdim=True)).sum(2)
        likeness = likeness - likeness.mean((2, 3), keepdim=True)
        spread = likeness.square().mean((2, 3), keepdim=True).sqrt() + 1e-5
        gate = (likeness / spread * self.weight + self.bias).sigmoid()
        return (parts * gate[:, :, None]).reshape(features.shape)


class NeighbourAggregation(nn.Module):
    """Aggregates one scale of the pyramid with its neighbours.

    Args:
        own: channels of the scale itself.
        finer: channels of the next finer scale; None for the finest.
        coarser: channels of the next coarser scale; None for the coarsest.
        width: channels of the output.
    """

    def __init__(self, own: int, finer: int | None, coarser: int | None, width: int) -> None:
        super().__init__()
        half = width // 2
        self.from_own = ConvNormAct(own, half)
        self.from_finer = None if finer is None else ConvNormAct(finer, half)
        self.from_coarser = None if coarser is None else ConvNormAct(coarser, half)
        parts = 1 + (finer is not None) + (coarser is not None)
        self.mix = nn.Sequential(
            ConvNormAct(parts * half, width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.identity = nn.Conv2d(own, width, 1)
        self.enhance = SpatialGroupEnhancement()

    def forward(self, own: Tensor, finer: Tensor | None, coarser: Tensor | None) -> Tensor:
        """Aggregate maps of size (h, w), (2 h, 2 w) and (h / 2, w / 2) to (B, width, h, w)."""
        parts = [self.from_own(own)]
        if self.from_finer is not None and finer is not None:
            parts.append(self.from_finer(F.max_pool2d(finer, 2)))
        if self.from_coarser is not None and coarser is not None:
            parts.append(resize_like(self.from_coarser(coarser), own))
        return self.enhance(F.relu(self.mix(torch.cat(parts, 1)) + self.identity(own)))


class ImageFeatureRefinement(nn.Module):
    """IFR (eqs. 7-11): refines the difference of the dates.

    Prose and equations are combined: F_2 is convolved after the concatenation (prose; otherwise
    its product with F_3 in eq. 10 is undefined), F_1 is added after the softmax (prose), and every
    group has a residual connection ("residual learning"). The softmax runs over the channels;
    over positions its values would depend on the size of the tile.
    """

    def __init__(self, width: int, groups: int = IFR_GROUPS) -> None:
        super().__init__()
        self.first = ConvNormAct(width, width)
        self.second = ConvNormAct(2 * width, width)
        self.third = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        # Grouped convolutions keep the groups of eq. 10 apart.
        self.refine = nn.Sequential(
            nn.Conv2d(width, width, 1, groups=groups), ConvNormAct(width, width, groups=groups)
        )

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Return F_R (B, C, h, w) of F_image1 and F_image2 (B, C, h, w).

        The difference is signed, as in the equations, so the order of the dates matters.
        """
        difference = before - after
        f1 = self.first(difference)  # eq. 7
        f2 = self.second(torch.cat([f1, difference], 1))  # eq. 8
        f3 = self.third(difference)  # eq. 9
        mixed = (f2 * f3).softmax(1) + f1
        f4 = self.refine(mixed) + mixed  # eq. 10
        return gate_by_mean(f4)


def gate_by_mean(features: Tensor) -> Tensor:
    """Sigmoid(AvgPool(F)) * F (eq. 11), (B, C, h, w) -> the same shape."""
    return features.mean((2, 3), keepdim=True).sigmoid() * features


def scaled_dot_product_attention(tokens: Tensor) -> Tensor:
    """SDPA(x) = softmax(x x^T / sqrt(D)) x (eq. 3), (B, K, D) -> the same shape."""
    scores = tokens @ tokens.transpose(1, 2) / math.sqrt(tokens.shape[2])
    return scores.softmax(-1) @ tokens


class TextUpsampling(nn.Module):
    """UP and the following convolution: a text (B, K, D), as K channels of one row, to a map."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.convolve = ConvNormAct(channels, width)

    def forward(self, text: Tensor, like: Tensor) -> Tensor:
        """Return (B, width, h, w) of the size of ``like``."""
        return self.convolve(resize_like(text[:, :, None], like))


class TextDifferenceEnhancement(nn.Module):
    """TDE (eqs. 1-6): maps of the difference between the descriptions of the dates.

    Eqs. 1 and 2 are printed identically, both of T_text1 - T_text2. The prose, followed here,
    derives T_1 from the earlier and T_2 from the later text; only then is their difference in
    eq. 4 one between the dates. A pooled embedding has no position: its 512 values are taken as 8
    channels of one row of 64 and stretched over the tile.

    Args:
        text_width: length of an embedding, a multiple of ``width``.
        width: channels of the maps.
        scales: number of maps, each half as large as the previous one.
    """

    def __init__(self, text_width: int, width: int, scales: int = 4) -> None:
        super().__init__()
        self.width = width
        channels = text_width // width
        self.up_before = TextUpsampling(channels, width)
        self.up_after = TextUpsampling(channels, width)
        self.up_difference = TextUpsampling(channels, width)
        self.difference = ConvNormAct(width, width)
        self.join = nn.Conv2d(2 * width, width, 3, padding=1)
        self.enhance = ConvNormAct(width, width)
        self.smaller = nn.ModuleList(ConvNormAct(width, width, stride=2) for _ in range(scales - 1))

    def forward(self, before: Tensor, after: Tensor, like: Tensor) -> list[Tensor]:
        """Return T_diff at every scale.

        Args:
            before: (B, text_width) embedding of the earlier description, unit length or zero.
            after: the same for the later date.
            like: (B, C, h, w) features at the finest scale.

        Returns:
            Maps (B, width, h / 2^i, w / 2^i).
        """
        first, second = as_tokens(before, self.width), as_tokens(after, self.width)
        t1, t2 = self.up_before(first, like), self.up_after(second, like)  # eqs. 1, 2
        t3 = self.up_difference(scaled_dot_product_attention(first - second), like)  # eq. 3
        t4 = self.difference(t1 - t2)  # eq. 4
        t5 = self.join(torch.cat([t1 + t1 * t4, t2 + t2 * t4], 1))  # eq. 5
        maps = [self.enhance(t5 * t3)]  # eq. 6
        for shrink in self.smaller:
            maps.append(shrink(maps[-1]))
        return maps


def as_tokens(text: Tensor, width: int) -> Tensor:
    """(B, W) embedding of unit length -> (B, W / width, width) with values of unit variance."""
    return text.reshape(text.shape[0], -1, width) * math.sqrt(text.shape[1])


class ChannelAttention(nn.Sequential):
    """CA of eq. 13: channel attention, (B, C, h, w) -> (B, C, 1, 1), without sigmoid."""

    def __init__(self, width: int) -> None:
        hidden = max(1, width // REDUCTION)
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, width, 1),
        )


class SpatialAttention(nn.Module):
    """SA of eq. 13: spatial attention, (B, C, h, w) -> (B, 1, h, w), without sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        # Padding by replication, since padding by reflection fails on tiny maps.
        self.attend = nn.Conv2d(2, 1, 7, padding=3, padding_mode="replicate")

    def forward(self, features: Tensor) -> Tensor:
        """Attend by mean and maximum over the channels."""
        summary = [features.mean(1, keepdim=True), features.amax(1, keepdim=True)]
        return self.attend(torch.cat(summary, 1))


class PixelAttention(nn.Module):
    """PA of eq. 13: a gate per channel and pixel, (B, C, h, w) in (0, 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attend = nn.Conv2d(
            2 * width, width, 7, padding=3, padding_mode="replicate", groups=width
        )

    def forward(self, attention: Tensor, features: Tensor) -> Tensor:
        """Interleave P_1 and P_2, so that each group reads both values of its channel."""
        pairs = torch.stack([features, attention], 2).flatten(1, 2)
        return self.attend(pairs).sigmoid()


class ImageTextFeatureFusion(nn.Module):
    """ITFF (eqs. 12, 13): weighs image and text features against each other per pixel.

    TF = T + F (eq. 12), p = Sigmoid(PA(CA(TF) + SA(TF))) (eq. 13), and
    F_out = Conv(TF + p F + (1 - p) T). The gate chooses between the modalities; eq. 13 as printed
    would only attenuate their sum.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channel = ChannelAttention(width)
        self.spatial = SpatialAttention()
        self.pixel = PixelAttention(width)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """Return F_out (B, C, h, w) of F and T (B, C, h, w)."""
        both = text + image
        gate = self.pixel(self.channel(both) + self.spatial(both), both)
        return self.out(both + gate * image + (1 - gate) * text)


class SupervisedAttention(nn.Module):
    """Predicts a mask and feeds it back into the features that it was predicted from."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classify = nn.Conv2d(width, 1, 1)
        self.context = ConvNormAct(2, width, 1)
        self.mix = ConvNormAct(width, width)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) -> features of the same shape, and logits (B, 1, h, w)."""
        mask = self.classify(features)
        changed = mask.sigmoid()
        context = self.context(torch.cat([changed, 1 - changed], 1))
        return self.mix(features * context), mask


class SupervisedAttentionDecoder(nn.Module):
    """Decodes from the coarsest to the finest scale, with a mask at each."""

    def __init__(self, width: int, scales: int = 4) -> None:
        super().__init__()
        self.attention = nn.ModuleList(SupervisedAttention(width) for _ in range(scales - 1))
        self.mix = nn.ModuleList(ConvNormAct(width, width) for _ in range(scales - 1))
        self.classify = nn.Conv2d(width, 1, 1)

    def forward(self, pyramid: list[Tensor]) -> list[Tensor]:
        """Return logits (B, 1, h_i, w_i) for maps (B, C, h_i, w_i), both finest first."""
        masks = []
        features = pyramid[-1]
        steps = zip(self.attention, self.mix, reversed(pyramid[:-1]), strict=True)
        for attend, mix, finer in steps:
            features, mask = attend(features)
            masks.append(mask)
            features = mix(finer + resize_like(features, finer))
        return [self.classify(features), *reversed(masks)]
