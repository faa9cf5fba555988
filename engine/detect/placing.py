# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores and classes of the working grid, placed on the output grid as they come.

Where pixels of the two grids lie in parallel rows, which is all but grids of degrees or oblong
pixels, a column of the output depends on columns of the working grid alone, and a row on rows.
Scores are then filtered with the weights that GDAL's bilinear resampling has (a triangle, widened
where pixels become larger), classes taken from the nearest pixel, and neither passes through a
file. Other pairs are warped by GDAL from a file; see :func:`..raster.writer.warp_to`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import numpy as np

from ..request import MASK_NODATA

if TYPE_CHECKING:
    from ..raster.grid import Grid
    from ..raster.writer import RasterWriter

#: Pixels by which rows and columns may deviate from parallel ones over the whole grid.
_PARALLEL = 1e-3
#: GDAL interpolates between two pixels up to this factor, and widens the filter beyond.
_WIDENED_BELOW = 0.95


@dataclass(frozen=True)
class Axis:
    """How the pixels along one axis of the output follow from those of the working grid.

    Attributes:
        nearest: (N,) nearest pixel of the working grid.
        first: (N,) first pixel with a weight.
        weights: (N, K) float32; they sum to 1.
    """

    nearest: np.ndarray
    first: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, count: int, size: int, offset: float, step: float) -> Axis:
        """Lay ``count`` pixels over ``size`` ones.

        ``offset`` is the edge of the first, and ``step`` the length of each, in those ``size``.
        """
        centre = np.clip(offset + (np.arange(count) + 0.5) * step, 0, size)
        nearest = np.clip(np.floor(centre + 1e-9).astype(np.int64), 0, size - 1)
        scale = 1 / step if 1 / step < _WIDENED_BELOW else 1.0
        taps = 2 * math.ceil(1 / scale)
        first = np.floor(centre - 0.5).astype(np.int64) - taps // 2 + 1
        index = first[:, None] + np.arange(taps)
        weights = np.maximum(0, 1 - np.abs(index + 0.5 - centre[:, None]) * scale)
        weights[(index < 0) | (index >= size)] = 0
        # Taps beyond an end would be read from there: they move inwards, with their weights.
        inner = np.clip(first, 0, max(0, size - taps))
        moved = np.zeros((count, min(taps, size)), np.float64)
        for tap in range(taps):
            place = first + tap - inner
            some = (place >= 0) & (place < moved.shape[1])
            moved[np.flatnonzero(some), place[some]] += weights[some, tap]
        moved /= moved.sum(axis=1, keepdims=True)
        return cls(nearest, inner, moved.astype(np.float32))

    @property
    def taps(self) -> int:
        """Number of pixels that one of the output depends on."""
        return self.weights.shape[1]

    def covered(self, start: int, end: int) -> tuple[int, int]:
        """Return the part of the output (from, to) that pixels start to end - 1 suffice for."""
        return (
            int(np.searchsorted(self.first, start)),
            int(np.searchsorted(self.first + self.taps, end, "right")),
        )

    def owned(self, start: int, end: int) -> tuple[int, int]:
        """Return the part of the output (from, to) whose nearest pixels are start to end - 1."""
        return int(np.searchsorted(self.nearest, start)), int(np.searchsorted(self.nearest, end))


def axes(working: Grid, output: Grid) -> Optional[tuple[Axis, Axis]]:
    """Return how columns and rows of the output follow from a grid; None if not parallel."""
    if working.crs_wkt != output.crs_wkt:
        return None
    corners = ((0, 0), (output.width, 0), (0, output.height))
    (x0, y0), (x1, y1), (x2, y2) = (
        working.map_to_pixel(*output.pixel_to_map(*corner)) for corner in corners
    )
    if max(abs(y1 - y0), abs(x2 - x0)) > _PARALLEL or x1 <= x0 or y2 <= y0:
        return None
    return (
        Axis.of(output.width, working.width, x0, (x1 - x0) / output.width),
        Axis.of(output.height, working.height, y0, (y2 - y0) / output.height),
    )


class ScorePlacer:
    """Places blocks of scores, which come in the order of a :class:`.tiling.Blender`.

    Memory is bounded by a block, and a few columns of the raster's height.
    """

    def __init__(self, across: Axis, down: Axis, height: int, writer: RasterWriter) -> None:
        self._across, self._down = across, down
        self._height, self._writer = height, writer
        self._left: Optional[int] = None
        self._before: Optional[np.ndarray] = None  # last columns of the panel to the left
        self._last: Optional[np.ndarray] = None  # last columns of this panel
        self._above: Optional[np.ndarray] = None  # last rows of this panel

    def write(self, x: int, y: int, scores: np.ndarray) -> None:
        """Write a block of the working grid, (Q, h, w) uint8."""
        count, height, width = scores.shape
        if x != self._left:
            self._left, self._before, self._above = x, self._last, None
            kept = min(width, self._across.taps)
            self._last = np.full((count, self._height, kept), MASK_NODATA, np.uint8)
        assert self._last is not None  # noqa: S101  # nosec B101
        self._last[:, y : y + height] = scores[:, :, width - self._last.shape[2] :]
        if self._before is not None:
            scores = np.concatenate([self._before[:, y : y + height], scores], axis=2)
        left, right = x + width - scores.shape[2], x + width
        if self._above is not None:
            scores = np.concatenate([self._above, scores], axis=1)
        top, bottom = y + height - scores.shape[1], y + height
        # Kept for later: what rows that reach beyond the block need.
        self._above = scores[:, max(0, scores.shape[1] - self._down.taps) :].copy()
        rows, columns = self._down.covered(top, bottom), self._across.covered(left, right)
        rows = self._new(self._down, rows, top if y else 0, y)
        columns = self._new(self._across, columns, left, x)
        if rows[0] < rows[1] and columns[0] < columns[1]:
            placed = self._placed(scores, left, top, columns, rows)
            if placed is not None:
                self._writer.write(columns[0], rows[0], placed)

    @staticmethod
    def _new(axis: Axis, part: tuple[int, int], start: int, edge: int) -> tuple[int, int]:
        """Leave out what pixels before ``edge`` sufficed for."""
        done = axis.covered(start, edge)[1] if start < edge else 0
        return max(part[0], done), part[1]

    def _placed(
        self,
        scores: np.ndarray,
        left: int,
        top: int,
        columns: tuple[int, int],
        rows: tuple[int, int],
    ) -> Optional[np.ndarray]:
        """Return a part of the output, (Q, h, w) uint8; None if all of it is nodata."""
        down, across = (slice(*part) for part in (rows, columns))
        near = scores[0][self._down.nearest[down] - top][:, self._across.nearest[across] - left]
        missing = near == MASK_NODATA
        if missing.all():
            return None
        hidden = scores[0] == MASK_NODATA
        whole = not hidden.any()
        weight = None if whole else self._filtered((~hidden)[None], left, top, columns, rows)[0]
        result = np.empty((len(scores), *near.shape), np.uint8)
        for plane, target in zip(scores, result):
            if not plane.any():
                target[...] = 0
                continue
            values = plane if whole else np.where(hidden, np.uint8(0), plane)
            filtered = self._filtered(values[None], left, top, columns, rows)[0]
            if weight is not None:
                filtered /= np.maximum(weight, np.float32(1e-6))
            filtered += np.float32(0.5)
            target[...] = filtered
            if not whole:
                target[missing] = MASK_NODATA
        return result

    def _filtered(
        self,
        planes: np.ndarray,
        left: int,
        top: int,
        columns: tuple[int, int],
        rows: tuple[int, int],
    ) -> np.ndarray:
        """Filter (Q, h, w) along both axes; return float32."""
        down, across = (slice(*part) for part in (rows, columns))
        lines = _weighted(planes, self._down, down, top, axis=1)
        return _weighted(lines, self._across, across, left, axis=2)


def _weighted(planes: np.ndarray, axis_of: Axis, part: slice, start: int, axis: int) -> np.ndarray:
    """Sum the taps of a part of the output along one axis of (Q, h, w)."""
    first = axis_of.first[part] - start
    shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
    total: Optional[np.ndarray] = None
    for tap, weights in enumerate(axis_of.weights[part].T):
        if not weights.any():
            continue
        term = np.take(planes, first + tap, axis=axis) * weights.reshape(shape)
        total = term if total is None else np.add(total, term, out=total)
    assert total is not None  # noqa: S101  # nosec B101
    return total


class ClassPlacer:
    """Places blocks of classes, which may come in any order."""

    def __init__(self, across: Axis, down: Axis, writer: RasterWriter) -> None:
        self._across, self._down, self._writer = across, down, writer

    def write(self, x: int, y: int, classes: np.ndarray) -> None:
        """Write a block of the working grid, (1, h, w) uint8."""
        rows = self._down.owned(y, y + classes.shape[1])
        columns = self._across.owned(x, x + classes.shape[2])
        if rows[0] < rows[1] and columns[0] < columns[1]:
            lines = classes[:, self._down.nearest[slice(*rows)] - y]
            placed = lines[:, :, self._across.nearest[slice(*columns)] - x]
            self._writer.write(columns[0], rows[0], placed)
