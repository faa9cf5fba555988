# SPDX-License-Identifier: GPL-3.0-or-later
"""Input of the bundled captioner: the bundled model's features of a pair, pooled.

numpy alone: the plugin and the training call the same function, so that their
features agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...classes import CLASSES
from ...raster.runs import find_runs, label_runs
from ...request import APPEARED, REMOVED, Query

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The scores that are pooled: every class, appeared and then removed.
QUERIES = tuple(Query(c.plural, way) for way in (APPEARED, REMOVED) for c in CLASSES)
#: Parts of the encoder's output that are pooled, in the order of the channels.
PARTS = ("stride16", "stride32", "classes")
#: Side of the grid of cells.
GRID = 8
#: Minimum side of the window around a region, in pixels: that of LEVIR-CC's crops at the pixel size
#: of the model, 0.44 m.
CONTEXT = 320
#: Minimum score of a changed pixel.
CHANGED_FROM = 0.5
#: Minimum size of a component in pixels.
_MIN_COMPONENT = 40
#: Share of the highest scores that are averaged.
_TOP = 0.01

Window = tuple[int, int, int, int]


def window_of(region: np.ndarray) -> Window:
    """Return the window y0, y1, x0, x1 around an (H, W) region that a sentence is based on.

    It is the rectangle of the non-zero pixels (at least one), extended to :data:`CONTEXT` if
    smaller, as far as the tile reaches.
    """
    sides = []
    for axis, size in ((1, region.shape[0]), (0, region.shape[1])):
        inside = np.flatnonzero(region.any(axis))
        low, high = int(inside[0]), int(inside[-1]) + 1
        missing = max(0, min(CONTEXT, size) - (high - low))
        low = min(max(0, low - missing // 2), size - (high - low) - missing)
        sides += [low, max(high, low + min(CONTEXT, size))]
    return (sides[0], sides[1], sides[2], sides[3])


def pooled(values: np.ndarray, window: Window, stride: int) -> np.ndarray:
    """Average a (C, h, w) map over cells of a window in pixels: (C, GRID, GRID) float32.

    ``stride`` is pixels per element; elements on the border of a cell are weighted by their share.
    """
    rows = _shares(window[0] / stride, window[1] / stride, values.shape[1])
    columns = _shares(window[2] / stride, window[3] / stride, values.shape[2])
    return np.matmul(np.matmul(rows, values.astype(np.float32)), columns.T)


def _shares(low: float, high: float, size: int) -> np.ndarray:
    """Return (GRID, size), the weight of each element in the mean of each cell of an axis."""
    edges = np.linspace(low, high, GRID + 1)
    start = np.arange(size)
    overlap = np.minimum(edges[1:, None], start + 1) - np.maximum(edges[:-1, None], start)
    overlap = np.clip(overlap, 0, None)
    return (overlap / np.maximum(overlap.sum(1, keepdims=True), 1e-9)).astype(np.float32)


def features(
    parts: Mapping[str, np.ndarray], scores: np.ndarray, region: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pool features and scores of a pair of tiles around a region.

    Args:
        parts: the encoder's output by name, each (2, C, h, w): the earlier and later date.
        scores: (12, H, W) calibrated scores of :data:`QUERIES`.
        region: (H, W), non-zero in the part to describe; change outside is ignored.

    Returns:
        Grid (C, GRID, GRID) float32: of each date :data:`PARTS`, then the mean and the share
        above :data:`CHANGED_FROM` of each score. Summary (S,) float32: mean, share, mean of the
        highest hundredth and logarithm of the number of components of each score, and the
        mean of each land-cover class on each date.
    """
    window = window_of(region)
    y0, y1, x0, x1 = window
    inside = scores[:, y0:y1, x0:x1] * (region[y0:y1, x0:x1] != 0)
    found = inside >= CHANGED_FROM
    own = (0, y1 - y0, 0, x1 - x0)
    grid = []
    for date in range(2):
        for name in PARTS:
            values = parts[name][date]
            values = _sigmoid(values) if name == "classes" else values
            grid.append(pooled(values, window, round(scores.shape[2] / values.shape[2])))
    classes = [grid[2], grid[5]]
    grid += [pooled(inside, own, 1), pooled(found, own, 1)]
    flat = inside.reshape(len(inside), -1)
    top = max(1, int(flat.shape[1] * _TOP))
    summary = [
        flat.mean(1),
        found.mean((1, 2)),
        np.partition(flat, -top, axis=1)[:, -top:].mean(1),
        np.log1p([_components(plane) for plane in found]),
        *(planes.mean((1, 2)) for planes in classes),
    ]
    return (np.concatenate(grid).astype(np.float32), np.concatenate(summary).astype(np.float32))


def _components(plane: np.ndarray) -> int:
    """Return the number of components of a mask (H, W), without small ones."""
    runs = find_runs(plane.astype(np.uint8))
    if not len(runs):
        return 0
    label, count = label_runs(runs)
    return int((np.bincount(label, runs.length, count) >= _MIN_COMPONENT).sum())


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -30, 30)))
