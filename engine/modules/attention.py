# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-head attention (MSA, MCA) on token sequences, and sine positions."""

from __future__ import annotations

import math
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    """Multi-head attention of queries over keys and values of another width.

    Cross-attention (MCA) if the two sequences differ, self-attention (MSA) if they are the same.
    Uses torch's memory-efficient kernels where there are any, and exports to plain ONNX.

    Args:
        query_width: channels of the queries, and of the output.
        key_width: channels of the keys and values.
        inner_width: channels inside, divided among the heads.
        heads: number of attention heads.
    """

    def __init__(self, query_width: int, key_width: int, inner_width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.to_query = nn.Linear(query_width, inner_width)
        self.to_key = nn.Linear(key_width, inner_width)
        self.to_value = nn.Linear(key_width, inner_width)
        self.to_output = nn.Linear(inner_width, query_width)

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, heads, N, C / heads)."""
        batch, length, width = tokens.shape
        split = tokens.reshape(batch, length, self.heads, width // self.heads)
        return split.transpose(1, 2)

    def forward(self, queries: Tensor, keys: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Attend.

        Args:
            queries: (B, N, query_width).
            keys: (B, M, key_width); they are the values too.
            mask: (B, M), 1 for a key and 0 for padding; every row needs at least one key.

        Returns:
            (B, N, query_width), without the residual.
        """
        mixed = F.scaled_dot_product_attention(
            self._split(self.to_query(queries)),
            self._split(self.to_key(keys)),
            self._split(self.to_value(keys)),
            None if mask is None else mask.bool()[:, None, None, :],
        )
        return self.to_output(mixed.transpose(1, 2).flatten(2))


def to_tokens(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H W, C), row by row."""
    return features.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, H W, C) -> (B, C, H, W) with the height and width of ``like``."""
    shape = (tokens.shape[0], tokens.shape[2], like.shape[2], like.shape[3])
    return tokens.transpose(1, 2).reshape(shape)


def sine_positions(features: Tensor) -> Tensor:
    """Sine position embedding of a map (B, C, H, W), C a multiple of 4 (eq. 4).

    Coordinates are normalised to the map, so that tiles larger than the training crops stay
    within the range seen in training.

    Returns:
        (1, H W, C): half of the channels for rows, half for columns.
    """
    channels, height, width = features.shape[1], features.shape[2], features.shape[3]
    quarter = channels // 4
    rates = torch.pow(
        100.0, -torch.arange(quarter, device=features.device, dtype=torch.float32) / quarter
    )
    # Rows and columns are counted by cumulative sums, which export with dynamic sizes.
    ones = torch.ones_like(features[:1, 0], dtype=torch.float32)
    rows = ((ones.cumsum(1) - 0.5) / height).flatten() * (8 * math.pi)
    columns = ((ones.cumsum(2) - 0.5) / width).flatten() * (8 * math.pi)
    angles = torch.cat([rows[:, None] * rates, columns[:, None] * rates], 1)
    return torch.cat([angles.sin(), angles.cos()], 1)[None].to(features.dtype)
