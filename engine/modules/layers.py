# SPDX-License-Identifier: GPL-3.0-or-later
"""Convolutional layers shared by several networks."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SeparableConv(nn.Sequential):
    """Depthwise 3x3 + pointwise 1x1 convolution, batch norm, ReLU: cheap on a CPU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class TopDown(nn.Module):
    """Top-down pathway of a feature pyramid network: adds each map to the next finer one."""

    def __init__(self, width: int, levels: int = 4) -> None:
        super().__init__()
        self.smooth = nn.ModuleList(SeparableConv(width, width) for _ in range(levels))

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Merge maps (B, width, h_i, w_i), fine to coarse; return the finest one."""
        merged = self.smooth[-1](pyramid[-1])
        for features, smooth in zip(pyramid[-2::-1], list(self.smooth)[-2::-1], strict=True):
            merged = smooth(features + resize_like(merged, features))
        return merged


def resize_like(features: Tensor, like: Tensor) -> Tensor:
    """Resize bilinearly to the height and width of ``like``."""
    return F.interpolate(features, size=like.shape[2:], mode="bilinear", align_corners=False)
