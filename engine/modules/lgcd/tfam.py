# SPDX-License-Identifier: GPL-3.0-or-later
"""Text fusion attention module (TFAM) of LG-CD, eq. 3 and figure 2."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..attention import MultiHeadAttention, to_map, to_tokens


class GlobalSpatialLearning(nn.Module):
    """Global spatial learning layer (figure 2): multiplies features by a spatial attention map.

    The map is the sigmoid of a 7x7 convolution over the mean and the maximum of the channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        summary = torch.cat([features.mean(1, keepdim=True), features.amax(1, keepdim=True)], 1)
        return features * self.attend(summary).sigmoid()


class TextFusionAttention(nn.Module):
    """Fuses visual features with the words by cross-attention.

    Args:
        channels: C of f_v, both dates together.
        text_width: channels of a word embedding.
        heads: number of attention heads; divides C.
    """

    def __init__(self, channels: int, text_width: int, heads: int) -> None:
        super().__init__()
        self.cross_attention = MultiHeadAttention(channels, text_width, channels, heads)
        self.spatial = GlobalSpatialLearning()

    def forward(self, features: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Fuse f_v (B, C, h, w) (eq. 3): f_fusion = GSL(f_v + MCA(f_v, f_w))."""
        attended = self.cross_attention(to_tokens(features), words, mask)
        return self.spatial(features + to_map(attended, features))
