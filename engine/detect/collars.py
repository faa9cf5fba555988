# SPDX-License-Identifier: GPL-3.0-or-later
"""Black or white areas of a raster that were never imaged, though no nodata value marks them.

A rotated scene leaves wedges at the edges of its raster, and a mosaic has gaps. Each has one value
in all bands. Such an area is left out if it lies at the edge, or if its sides are straight; shadows
and saturated roofs are ragged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import CancelledError
from ..raster.runs import Runs, components, find_runs, touching
from ..wording.facts import format_share
from .texts import DetectTexts

if TYPE_CHECKING:
    from ..messages import Text
    from ..raster.grid import Grid
    from ..raster.reader import RasterSource
    from ..raster.validity import Box
    from ..request import CancelledCallback

#: Shorter runs of pixels are not collected, unless they touch the left or right edge.
_SHORTEST = 8
#: More runs than this are noise, not collars; they would fill the memory.
_MOST_RUNS = 2_000_000
#: Pixels of a collar at a corner, at least.
_SMALLEST = 64
#: Pixels by which a collar is wide, at least, on the average along its longer side.
_NARROWEST = 3
#: A collar away from the corners touches the edge along this share of the shorter side.
_ALONG_EDGE = 0.05
#: Sides of a gap in pixels, at least.
_GAP_SIDE = 32
#: Share of the rows of a gap that are as the row above.
_STRAIGHT = 0.9
#: One value in more than this share of the area is not a collar: there is no image in it.
_ALL = 0.999


def hide_collars(
    source: RasterSource, grid: Grid, cancelled: CancelledCallback = lambda: False
) -> list[Text]:
    """Find the collars and gaps of a raster under a grid and make them invalid.

    Does nothing if the file marks invalid pixels itself. The raster is read once, in strips.

    Returns:
        What was found, for the user.

    Raises:
        InputError: the file is damaged.
        CancelledError: cancelled between two strips.
    """
    if source.declares_nodata:
        return []
    runs, box = _fill_runs(source, grid, cancelled)
    if not len(runs):
        return []
    collar = _collars(runs, box)
    hidden = runs.take(collar)
    share = float(hidden.length.sum()) / (box[2] * box[3])
    if share > _ALL:
        return [DetectTexts.one_value(name=source.name)]
    if not len(hidden):
        return []
    source.hide(lambda part: _pixels(hidden, part))
    return [DetectTexts.collar(name=source.name, share=format_share(share))]


def _values(dtype: np.dtype) -> tuple[float, ...]:
    """Return the values that are written where there is no image."""
    if dtype.kind == "f":
        return 0.0, 1.0, 255.0, -9999.0, -32768.0, float(np.finfo(np.float32).min)
    limits = np.iinfo(dtype)
    if dtype.kind == "u":
        return 0, limits.max
    return 0, limits.min, max(limits.min, -9999)


def _fill_runs(source: RasterSource, grid: Grid, cancelled: CancelledCallback) -> tuple[Runs, Box]:
    """Return runs of pixels with the same such value in all bands, and the box they lie in."""
    parts: list[Runs] = []
    left, top, width, bottom, total = 0, 0, 0, 0, 0
    for (x, y, w, h), planes in source.strips(grid):
        if cancelled():
            raise CancelledError
        if not width:
            left, top, width = x, y, w
        bottom = y + h
        codes = np.zeros((h, w), np.uint8)
        for code, value in enumerate(_values(planes.dtype), 1):
            codes[(planes == planes.dtype.type(value)).all(axis=0)] = code
        found = find_runs(codes, y)
        found = found.take((found.length >= _SHORTEST) | (found.x0 == 0) | (found.x1 == w))
        total += len(found)
        if total > _MOST_RUNS:
            return Runs.empty(), (0, 0, 0, 0)
        parts.append(Runs(found.row, found.x0 + x, found.x1 + x, found.value))
    if not parts:
        return Runs.empty(), (0, 0, 0, 0)
    fields = ("row", "x0", "x1", "value")
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in fields)
    return Runs(*joined), (left, top, width, bottom - top)


def _collars(runs: Runs, box: Box) -> np.ndarray:
    """Return which runs belong to a collar or a gap, (N,) bool."""
    x, y, width, height = box
    upper, lower = touching(runs, runs)
    label, count = components(len(runs), upper, lower)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(label, values, count)

    ends = (runs.x0 == x).astype(np.int64) + (runs.x1 == x + width)
    outer = (runs.row == y) | (runs.row == y + height - 1)
    area, length = total(runs.length), np.where(outer, runs.length, ends)
    along = total(length) >= _ALONG_EDGE * min(width, height)
    corner = total(outer & (ends > 0)) > 0
    number, widest = np.bincount(label, minlength=count), np.zeros(count, np.int64)
    np.maximum.at(widest, label, runs.length)
    thick = area >= _NARROWEST * np.maximum(number, widest)
    edge = (area >= _SMALLEST) & thick & (corner | along)
    # Rows whose ends lie right below those of the row above.
    same = (runs.x0[upper] == runs.x0[lower]) & (runs.x1[upper] == runs.x1[lower])
    straight = np.bincount(label[lower[same]], minlength=count) >= _STRAIGHT * number
    gap = straight & (number >= _GAP_SIDE) & (area >= _GAP_SIDE * number)
    return np.asarray((edge | gap)[label])


def _pixels(runs: Runs, box: Box) -> np.ndarray:
    """Return where the pixels of a box lie in runs, (h, w) bool."""
    x, y, width, height = box
    first, last = np.searchsorted(runs.row, (y, y + height))
    part = runs.take(np.arange(first, last))
    steps = np.zeros((height, width + 1), np.int32)
    np.add.at(steps, (part.row - y, np.clip(part.x0 - x, 0, width)), 1)
    np.add.at(steps, (part.row - y, np.clip(part.x1 - x, 0, width)), -1)
    return steps.cumsum(axis=1)[:, :width] > 0
