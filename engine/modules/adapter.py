# SPDX-License-Identifier: GPL-3.0-or-later
"""Adapters of LG-CD (eq. 1): from a backbone's stages to a common width."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Adapter(nn.Sequential):
    """1x1 convolution, batch norm, ReLU; the same one for both dates.

    Args:
        channels: C_i of the backbone's stage.
        width: d, channels after it.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )


def concatenate_dates(before: Tensor, after: Tensor) -> Tensor:
    """f_v = Adapter(f_1) || Adapter(f_2) along the channels (eq. 1).

    Args:
        before: (B, d, h, w) adapted features of the earlier date.
        after: the same of the later date.

    Returns:
        (B, 2 d, h, w).
    """
    return torch.cat([before, after], 1)
