# SPDX-License-Identifier: GPL-3.0-or-later
"""Adapters of LG-CD (eq. 1), from the stages of a backbone to a common width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..layers import SeparableConv


class Adapter(nn.Sequential):
    """1x1 convolution, batch norm and ReLU, shared by both dates."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )


class PairFusion(nn.Module):
    """f_v = Adapter(f_1) || Adapter(f_2) along the channels (eq. 1), mixed to the width d.

    The paper keeps 2 d channels. Here a separable convolution compares the two dates before the
    text is fused: in a head this shallow, "present now and absent before" needs a layer, and the
    following layers are half as wide.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = SeparableConv(2 * width, width)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Return f_v (B, d, h, w) of the adapted features (B, d, h, w) of two dates."""
        return self.mix(torch.cat([before, after], 1))
