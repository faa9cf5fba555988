# SPDX-License-Identifier: GPL-3.0-or-later
"""What regions may lie along, such as a new road."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Distances are measured on cells of about this side, in metres.
_CELL_M = 3.0


class Companion:
    """What regions of a class may lie along, such as a new road.

    Args:
        name: as the prompt names it ("roads").
        own: indices of its queries.
        queries: indices of the queries whose regions may lie along it.
        distance: of those regions at most, in metres.
        sides: of a pixel on the ground, in metres.

    Attributes:
        halo: rows above and below a strip that have to be known.
    """

    def __init__(
        self,
        name: str,
        own: Sequence[int],
        queries: frozenset[int],
        distance: float,
        sides: tuple[float, float],
    ) -> None:
        self.name, self.queries = name, queries
        self._numbers = np.array(own) + 1
        across, down = (max(1, int(_CELL_M // side)) for side in sides)
        self._cells = across, down
        self._reach = _offsets(self._cells, sides, distance)
        self.halo = (int(self._reach[:, 1].max()) + 1) * down

    def near(self, values: np.ndarray) -> np.ndarray:
        """Return (H, W) bool: no pixel that is True is farther away than the distance.

        ``values`` are (H, W) uint8 numbers of the query from 1, 0 for none.
        """
        own = np.isin(values, self._numbers)
        if not own.any():
            return own
        height, width = own.shape
        across, down = self._cells
        cells = np.logical_or.reduceat(own, np.arange(0, height, down), axis=0)
        cells = np.logical_or.reduceat(cells, np.arange(0, width, across), axis=1)
        reach = np.abs(self._reach).max(axis=0)
        padded = np.pad(cells, ((reach[1], reach[1]), (reach[0], reach[0])))
        near = np.zeros_like(cells)
        for dx, dy in self._reach + reach:
            near |= padded[dy : dy + cells.shape[0], dx : dx + cells.shape[1]]
        return near.repeat(down, axis=0).repeat(across, axis=1)[:height, :width]


def _offsets(cells: tuple[int, int], sides: tuple[float, float], distance: float) -> np.ndarray:
    """(N, 2) columns and rows between two cells whose pixels are all within the distance."""
    most = [int(distance // (cell * side)) + 1 for cell, side in zip(cells, sides)]
    dx, dy = np.meshgrid(*(np.arange(-reach, reach + 1) for reach in most))
    # Between the edges of the pixels that are farthest apart.
    gaps = [
        np.maximum(np.abs(offset) * cell + cell - 2, 0) * side
        for offset, cell, side in zip((dx, dy), cells, sides)
    ]
    within = np.hypot(*gaps) <= distance
    return np.column_stack([dx[within], dy[within]])
