# SPDX-License-Identifier: GPL-3.0-or-later
"""Run-length encoding of a class raster, and its connected components.

A run is a maximal sequence of equal non-zero pixels ``[x0, x1)`` in one row. Labelling runs is
fast in plain numpy: the work grows with the length of the outlines, not with the areas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

_Side = Literal["left", "right"]


@dataclass(frozen=True)
class Runs:
    """Runs of a strip of rows, sorted by row, then by column. All arrays are (N,).

    Attributes:
        row: int64, counted from the top of the raster.
        x0: int64, first column.
        x1: int64, column after the last.
        value: uint8, value of the pixels.
    """

    row: np.ndarray
    x0: np.ndarray
    x1: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    @property
    def length(self) -> np.ndarray:
        """(N,) int64: number of pixels."""
        return self.x1 - self.x0

    def pixels(self, y: int, width: int) -> np.ndarray:
        """Return the indices of the runs' pixels in a flattened strip that starts at row ``y``."""
        length = self.length
        start = (self.row - y) * width + self.x0
        offset = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
        return np.repeat(start, length) + offset

    def take(self, which: np.ndarray) -> Runs:
        """Return the runs at these indices or where this mask is True."""
        return Runs(self.row[which], self.x0[which], self.x1[which], self.value[which])

    @staticmethod
    def join(first: Runs, second: Runs) -> Runs:
        """Concatenate runs."""
        return Runs(
            np.concatenate([first.row, second.row]),
            np.concatenate([first.x0, second.x0]),
            np.concatenate([first.x1, second.x1]),
            np.concatenate([first.value, second.value]),
        )

    @staticmethod
    def empty() -> Runs:
        """Return a sequence of no runs."""
        none = np.zeros(0, dtype=np.int64)
        return Runs(none, none, none, np.zeros(0, dtype=np.uint8))


def find_runs(values: np.ndarray, first_row: int = 0) -> Runs:
    """Find the runs of non-zero pixels of (H, W) uint8 values that start at row ``first_row``."""
    height, width = values.shape
    # A column of zeros ends every run with its row.
    padded = np.zeros((height, width + 1), dtype=values.dtype)
    padded[:, :width] = values
    flat = padded.ravel()
    step = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], step]).astype(np.int64) if flat.size else np.zeros(0, np.int64)
    ends = np.concatenate([step, [flat.size]]).astype(np.int64) if flat.size else starts
    filled = flat[starts] != 0
    starts, ends = starts[filled], ends[filled]
    row = starts // (width + 1)
    offset = row * (width + 1)
    return Runs(row + first_row, starts - offset, ends - offset, flat[starts])


def touching(upper: Runs, lower: Runs, *, diagonal: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Find pairs of touching runs of equal value, the second one row below the first.

    Runs of ``upper`` and ``lower`` (which may be the same object) are sorted; with ``diagonal``,
    touching at a corner counts. Returns two (P,) arrays of indices, into ``upper`` and ``lower``.
    """
    if not len(upper) or not len(lower):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    scale = int(max(upper.x1.max(), lower.x1.max())) + 2
    below = (upper.row + 1) * scale
    # Of two runs that only touch at a corner, one ends at the column where the other starts.
    sides: tuple[_Side, _Side] = ("left", "right") if diagonal else ("right", "left")
    first = np.searchsorted(lower.row * scale + lower.x1, below + upper.x0, sides[0])
    last = np.searchsorted(lower.row * scale + lower.x0, below + upper.x1, sides[1])
    count = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(upper)), count)
    offset = np.arange(len(above)) - np.repeat(np.cumsum(count) - count, count)
    under = np.repeat(first, count) + offset
    equal = upper.value[above] == lower.value[under]
    return above[equal], under[equal]


def components(count: int, one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, int]:
    """Label the connected components of a graph of ``count`` nodes.

    Edges go from (E,) ``one`` to (E,) ``other``. Returns (count,) int64 labels from 0, in the order
    of each component's first node, and the number of components.
    """
    root = np.arange(count)
    while len(one):
        one, other = root[one], root[other]
        apart = one != other
        one, other = one[apart], other[apart]
        # If several edges write to one node, one of them wins; the loop retries the others.
        root[np.maximum(one, other)] = np.minimum(one, other)
        while True:
            higher = root[root]
            if np.array_equal(higher, root):
                break
            root = higher
    is_root = root == np.arange(count)
    number = np.cumsum(is_root) - 1
    return number[root], int(is_root.sum())


def label_runs(runs: Runs, *, diagonal: bool = True) -> tuple[np.ndarray, int]:
    """Label the connected components of runs; see :func:`components`."""
    return components(len(runs), *touching(runs, runs, diagonal=diagonal))
