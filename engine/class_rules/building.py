# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for regions of buildings: a new one may lie along a new road."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import numpy as np

from ..classes import class_of
from ..request import APPEARED, Query
from .base import ClassRules

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A building lies along a road where it is no farther away than this, in metres.
_ALONG_M = 30.0
#: Distances are measured on cells of about this side, in metres.
_CELL_M = 3.0


class BuildingRules(ClassRules):
    """Buildings are demolished; new ones may lie along a new road."""

    gone = "demolished"
    coarse_kind = "built"
    max_regions_of_one = 1

    def companion(self, queries: Sequence[Query], sides: tuple[float, float]) -> Optional[NewRoads]:
        """Return the roads that appeared in the same run; None unless both are looked for."""
        roads = _appeared(queries, "road")
        buildings = frozenset(_appeared(queries, "building"))
        return NewRoads(queries, roads, buildings, sides) if roads and buildings else None


class NewRoads:
    """Roads that appeared in the same run.

    ``roads`` and ``buildings`` are indices of queries; ``sides`` those of a pixel in metres.
    """

    def __init__(
        self,
        queries: Sequence[Query],
        roads: Sequence[int],
        buildings: frozenset[int],
        sides: tuple[float, float],
    ) -> None:
        self.name = queries[roads[0]].object if len(roads) == 1 else "roads"
        self.queries = buildings
        self._is_road = np.zeros(len(queries) + 1, dtype=bool)
        self._is_road[np.array(roads) + 1] = True
        across, down = (max(1, int(_CELL_M // side)) for side in sides)
        self._cells = across, down
        self._reach = _offsets(self._cells, sides)
        self.halo = (int(self._reach[:, 1].max()) + 1) * down

    def near(self, values: np.ndarray) -> np.ndarray:
        """Return (H, W) bool: no pixel that is True is farther than 30 m from a new road.

        ``values`` are (H, W) uint8 numbers of the query from 1, 0 for none.
        """
        road = self._is_road[values]
        if not road.any():
            return road
        height, width = road.shape
        across, down = self._cells
        cells = np.logical_or.reduceat(road, np.arange(0, height, down), axis=0)
        cells = np.logical_or.reduceat(cells, np.arange(0, width, across), axis=1)
        reach = np.abs(self._reach).max(axis=0)
        padded = np.pad(cells, ((reach[1], reach[1]), (reach[0], reach[0])))
        near = np.zeros_like(cells)
        for dx, dy in self._reach + reach:
            near |= padded[dy : dy + cells.shape[0], dx : dx + cells.shape[1]]
        return near.repeat(down, axis=0).repeat(across, axis=1)[:height, :width]


def _appeared(queries: Sequence[Query], name: str) -> list[int]:
    """Return the indices of the queries for what appeared of a class."""
    return [
        index
        for index, query in enumerate(queries)
        if query.direction == APPEARED
        and (land_cover := class_of(query.object)) is not None
        and land_cover.name == name
    ]


def _offsets(cells: tuple[int, int], sides: tuple[float, float]) -> np.ndarray:
    """(N, 2) columns and rows between two cells no pixels of which are farther apart than 30 m."""
    most = [int(_ALONG_M // (cell * side)) + 1 for cell, side in zip(cells, sides)]
    dx, dy = np.meshgrid(*(np.arange(-reach, reach + 1) for reach in most))
    # Between the edges of the pixels that are farthest apart.
    gaps = [
        np.maximum(np.abs(offset) * cell + cell - 2, 0) * side
        for offset, cell, side in zip((dx, dy), cells, sides)
    ]
    within = np.hypot(*gaps) <= _ALONG_M
    return np.column_stack([dx[within], dy[within]])
