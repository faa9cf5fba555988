# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiles over a raster of any size, and the blending of their scores.

Where tiles overlap, their scores are weighted by linear ramps that sum to one. Tiles come in
panels of columns, row by row within a panel, so that scores waiting for a neighbouring tile take
at most ``tile_size * panel_width`` pixels, however large the raster is. One column of tiles is
computed twice at the border of two panels: with 4096 and 512 pixels, a tenth of the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Optional

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Widest panel in pixels, unless a tile is wider.
PANEL_WIDTH = 4096


@dataclass(frozen=True)
class Tile:
    """A square of pixels; it may extend past the right and lower edge of a small raster.

    ``x`` and ``y`` are its left and upper edge; ``panel``, ``column`` and ``row`` count tiles.
    """

    x: int
    y: int
    width: int
    height: int
    panel: int = 0
    column: int = 0
    row: int = 0


@dataclass(frozen=True)
class Block:
    """A finished part of the raster from column ``x`` and row ``y``: (Q, h, w) float32."""

    x: int
    y: int
    array: np.ndarray


class _Axis:
    """The tiles along one axis, and their weights."""

    def __init__(self, size: int, tile_size: int, overlap: int) -> None:
        self.size = size
        self.tile_size = tile_size
        count = 1
        if size > tile_size:
            count = math.ceil((size - tile_size) / (tile_size - overlap)) + 1
        # Spread evenly: otherwise the last tile would share nearly all of its pixels.
        span = max(0, size - tile_size)
        self.starts = [round(i * span / (count - 1)) if count > 1 else 0 for i in range(count)]

    def weights(self, index: int) -> np.ndarray:
        """Weights of a tile's pixels along the axis, (tile_size,) float32.

        w_i = r_i / sum_j r_j, where r_i rises linearly over the overlap with the previous tile
        and falls over the overlap with the next one. Where only two tiles meet, w_i = r_i.
        """
        start = self.starts[index]
        first, last = index, index
        while first > 0 and self.starts[first - 1] + self.tile_size > start:
            first -= 1
        while last + 1 < len(self.starts) and self.starts[last + 1] < start + self.tile_size:
            last += 1
        total = np.zeros(self.tile_size)
        for other in range(first, last + 1):
            offset = self.starts[other] - start
            ramp = self._ramp(other)
            low, high = max(0, offset), min(self.tile_size, self.tile_size + offset)
            total[low:high] += ramp[low - offset : high - offset]
        return (self._ramp(index) / total).astype(np.float32)

    def core(self, index: int) -> tuple[int, int]:
        """Pixels nearer to the centre of this tile than to that of another: start, end."""
        start, end = 0, self.size
        if index > 0:
            start = (self.starts[index] + self.starts[index - 1] + self.tile_size) // 2
        if index + 1 < len(self.starts):
            end = (self.starts[index + 1] + self.starts[index] + self.tile_size) // 2
        return start, end

    def _ramp(self, index: int) -> np.ndarray:
        position = np.arange(self.tile_size) + 0.5
        ramp = np.ones(self.tile_size)
        if index > 0:
            shared = self.starts[index - 1] + self.tile_size - self.starts[index]
            if shared > 0:
                ramp = np.minimum(ramp, position / shared)
        if index + 1 < len(self.starts):
            shared = self.starts[index] + self.tile_size - self.starts[index + 1]
            if shared > 0:
                ramp = np.minimum(ramp, (self.tile_size - position) / shared)
        return ramp


class TilePlan:
    """All tiles of a raster, in the order in which they must be blended.

    Iterating yields the tiles; ``len`` is their number.

    Attributes:
        width, height: of the raster, in pixels.
        tile_size: side of every tile, in pixels.
        overlap: pixels that neighbouring tiles share at least.
        panels: start and end column of each panel.
    """

    def __init__(
        self, width: int, height: int, tile_size: int, overlap: int, panel_width: int = PANEL_WIDTH
    ) -> None:
        self.width = width
        self.height = height
        self.tile_size = tile_size
        self.overlap = overlap
        self._x_axis = _Axis(width, tile_size, overlap)
        self._y_axis = _Axis(height, tile_size, overlap)
        self.panels = self._plan_panels(panel_width)
        self._columns = [self._columns_of(start, end) for start, end in self.panels]

    def __len__(self) -> int:
        return sum(len(columns) for columns in self._columns) * len(self._y_axis.starts)

    def __iter__(self) -> Iterator[Tile]:
        for panel, columns in enumerate(self._columns):
            for row, y in enumerate(self._y_axis.starts):
                for column in columns:
                    x = self._x_axis.starts[column]
                    yield Tile(x, y, self.tile_size, self.tile_size, panel, column, row)

    @property
    def row_count(self) -> int:
        """Number of rows of tiles; each panel has its own."""
        return len(self.panels) * len(self._y_axis.starts)

    def row_number(self, tile: Tile) -> int:
        """Return the number of a tile's row, from 0, in the order of the plan."""
        return tile.panel * len(self._y_axis.starts) + tile.row

    def first_for(self, number: int) -> int:
        """Return the number of the first tile, in the order of the plan, that a row depends on.

        A row of tiles is blended with those above that overlap it.
        """
        if number >= self.row_count:
            return len(self)
        panel, row = divmod(number, len(self._y_axis.starts))
        starts = self._y_axis.starts
        first = next(r for r in range(row + 1) if starts[r] + self.tile_size > starts[row])
        above = sum(len(columns) for columns in self._columns[:panel]) * len(starts)
        return above + first * len(self._columns[panel])

    @property
    def max_pending_pixels(self) -> int:
        """Maximum number of pixels (of one plane) in the :class:`Blender`."""
        return self.tile_size * max(end - start for start, end in self.panels)

    def weights(self, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Weights of a tile's rows and columns, each (tile_size,) float32.

        The weight of a pixel is the product of the two. Over all tiles that cover it, the products
        sum to one.
        """
        return self._y_axis.weights(tile.row), self._x_axis.weights(tile.column)

    def core(self, tile: Tile) -> Optional[tuple[int, int, int, int]]:
        """Pixels (x0, y0, x1, y1) that are this tile's alone: for classes, which cannot be blended.

        None if the tile is only needed for blending. All cores cover the raster exactly once.
        """
        left, right = self.panels[tile.panel]
        x0, x1 = self._x_axis.core(tile.column)
        y0, y1 = self._y_axis.core(tile.row)
        x0, x1 = max(x0, left), min(x1, right)
        if x0 >= x1 or y0 >= y1:
            return None
        return x0, y0, x1, y1

    def finished_rows(self, tile: Tile) -> int:
        """Row up to which the panel is finished once the tile is added."""
        if tile.column != self._columns[tile.panel][-1]:
            return tile.y
        if tile.row + 1 == len(self._y_axis.starts):
            return self.height
        return self._y_axis.starts[tile.row + 1]

    def _plan_panels(self, panel_width: int) -> list[tuple[int, int]]:
        panels: list[tuple[int, int]] = []
        start = 0
        while start < self.width:
            ends = [x + self.tile_size for x in self._x_axis.starts]
            later = [end for end in ends if end > start]
            # Panels end where a tile ends, so that only one column of tiles is computed twice.
            fitting = [end for end in later if end - start <= panel_width]
            end = min(self.width, max(fitting) if fitting else later[0])
            panels.append((start, end))
            start = end
        return panels

    def _columns_of(self, start: int, end: int) -> list[int]:
        return [
            index
            for index, x in enumerate(self._x_axis.starts)
            if x < end and x + self.tile_size > start
        ]


def plan(
    width: int,
    height: int,
    tile_size: int,
    overlap: int,
    panel_width: int = PANEL_WIDTH,
    largest: int = 0,
) -> TilePlan:
    """Lay tiles over a raster.

    All tiles have the same size and lie inside the raster, unless it is smaller than a tile;
    neighbours share ``overlap`` pixels or, evenly spread, a few more. The size is chosen to
    compute the fewest pixels: 1024 x 1024 pixels take nine tiles of 512 pixels that share 64, but
    only four of 544, half of the work.

    Args:
        width: of the raster, in pixels.
        height: of the raster, in pixels.
        tile_size: minimum side of a tile in pixels, a multiple of 32.
        overlap: pixels that neighbouring tiles share at least, less than ``tile_size``.
        panel_width: maximum width of a panel of columns; bounds the memory for blending.
        largest: maximum side of a tile, in steps of 32 from ``tile_size``; 0 is ``tile_size``.

    Raises:
        ValueError: an impossible size.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a raster of {width} x {height} pixels has no tiles")
    if tile_size < 32 or tile_size % 32:
        raise ValueError(f"tile_size must be a multiple of 32, not {tile_size}")
    if not 0 <= overlap < tile_size:
        raise ValueError(f"overlap must be in [0, tile_size), not {overlap}")
    plans = [
        TilePlan(width, height, side, overlap, panel_width)
        for side in range(tile_size, max(tile_size, largest) + 1, 32)
    ]
    return min(plans, key=lambda tiles: len(tiles) * tiles.tile_size**2)


class Blender:
    """Blends Q planes of the tiles of a plan, in its order, and returns finished blocks.

    With the number ``first`` of a tile, those before it are left out, and blocks lack them.
    """

    def __init__(self, tiles: TilePlan, channels: int, first: int = 0) -> None:
        self._plan = tiles
        self._expected = islice(tiles, first, None)
        self._channels = channels
        self._panel = -1
        self._flushed = 0
        self._pending = np.zeros((channels, 0, 0), dtype=np.float32)

    @property
    def pending_pixels(self) -> int:
        """Number of pixels (of one plane) held now."""
        return int(self._pending.shape[1] * self._pending.shape[2])

    def add(self, tile: Tile, scores: Optional[np.ndarray]) -> list[Block]:
        """Add the scores of the next tile, (Q, height, width) float32, finite; None is zeros.

        Returns blocks that no later tile touches. The blocks of all tiles cover the raster exactly
        once; if a run is cancelled, those returned so far are complete.

        Raises:
            ValueError: the tile is not the next one, or the scores have another shape.
        """
        if tile != next(self._expected, None):
            raise ValueError(f"{tile} is not the next tile of the plan")
        shape = (self._channels, tile.height, tile.width)
        if scores is not None and scores.shape != shape:
            raise ValueError(f"scores have the shape {scores.shape}, not {shape}")
        left, right = self._plan.panels[tile.panel]
        if tile.panel != self._panel:
            rows = min(tile.height, self._plan.height)
            self._pending = np.zeros((self._channels, rows, right - left), dtype=np.float32)
            self._panel, self._flushed = tile.panel, tile.y
        if scores is not None:
            self._accumulate(tile, scores, left, right)
        return self._flush(left, self._plan.finished_rows(tile))

    def _accumulate(self, tile: Tile, scores: np.ndarray, left: int, right: int) -> None:
        x0, x1 = max(tile.x, left), min(tile.x + tile.width, right)
        y0, y1 = tile.y, min(tile.y + tile.height, self._plan.height)
        row_weights, column_weights = self._plan.weights(tile)
        inner_y, inner_x = slice(0, y1 - y0), slice(x0 - tile.x, x1 - tile.x)
        weights = row_weights[inner_y, None] * column_weights[None, inner_x]
        rows = slice(y0 - self._flushed, y1 - self._flushed)
        self._pending[:, rows, x0 - left : x1 - left] += scores[:, inner_y, inner_x] * weights

    def _flush(self, left: int, until: int) -> list[Block]:
        count = until - self._flushed
        if count <= 0:
            return []
        block = Block(left, self._flushed, self._pending[:, :count].copy())
        kept = self._pending.shape[1] - count
        self._pending[:, :kept] = self._pending[:, count:].copy()
        self._pending[:, kept:] = 0.0
        self._flushed = until
        if until == self._plan.height:
            self._pending = np.zeros((self._channels, 0, 0), dtype=np.float32)
        return [block]
