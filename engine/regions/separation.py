# SPDX-License-Identifier: GPL-3.0-or-later
"""Separates objects that touch: two houses joined by a narrow neck are two regions.

Watershed of the distance to the outline (Vincent and Soille, 1991): pixels are flooded from the
middle of each object outwards, and two floods that meet stay apart where the neck between them is
narrow compared with the smaller of the two. Masks and scores do not change, only what counts as one
region.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Optional

import numpy as np
from osgeo import gdal

from ..class_rules import rules_of
from ..raster.geodesy import PixelAreas
from ..raster.grid import Grid
from ..raster.runs import Runs, find_runs
from ..request import Query
from .bands import Band, ClassMaps
from .components import Held, Sums, sums_of

#: Two objects stay apart where the neck has at most this share of the smaller one's half width.
NECK = 0.6
#: Smaller half widths, in pixels, are ragged outline, no object.
_LEAST_HALF_WIDTH = 3.0
#: Objects that fill more of their convex hull have no neck.
_SOLID = 0.95
#: Larger components are not separated: flooding takes a second per 400,000 pixels.
_MOST_PIXELS = 400_000
#: Smallest part, in m2, and in pixels where their size is not known.
_LEAST_M2, _LEAST_PX = 30.0, 100
#: In larger pixels, in metres, single objects are not seen.
_COARSEST_M = 1.5
#: Parts of one component; more are noise.
_MOST_PARTS = 255


class Separator:
    """Makes regions of their own of objects that touch; a context manager over open rasters.

    Args:
        score_path: score raster of the run, one band per query.
        grid: of all rasters.
        queries: one per band.
        classes: of both dates; None where the system gives none.

    Attributes:
        added: number of regions more than components so far.

    Raises:
        InputError: a raster cannot be read or does not fit.
    """

    def __init__(
        self,
        score_path: str,
        grid: Grid,
        queries: Sequence[Query],
        classes: Optional[ClassMaps] = None,
    ) -> None:
        self.added = 0
        self._queries = np.array([False, *(rules_of(q.object).may_touch for q in queries)])
        sides = grid.ground_sides
        if sides is not None and max(sides) > _COARSEST_M:
            self._queries[:] = False
        self._least = round(_LEAST_M2 / (sides[0] * sides[1])) if sides else _LEAST_PX
        self._areas = PixelAreas(grid)
        self._open = contextlib.ExitStack()
        self._score, *self._classes = (
            self._open.enter_context(contextlib.closing(Band(path, grid, bands)))
            for path, bands in (
                (score_path, len(queries)),
                *((path, 1) for path in ((classes.before, classes.after) if classes else ())),
            )
        )

    def __enter__(self) -> Separator:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def separate(self, held: Held) -> Held:
        """Return complete components, each object of a separable class by itself.

        The order stays that of the first pixels. Pixels near a companion are shared out by size.
        """
        tried = [self._pieces(held, index) for index in self._candidates(held)]
        pieces = [piece for piece in tried if piece is not None]
        if not pieces:
            return held
        whole = np.ones(len(held.key), dtype=bool)
        whole[[index for index, *_ in pieces]] = False
        rest = held.take(whole)
        runs, label, table = rest.runs, [rest.label], [rest.sums.table]
        keys, count = [rest.key], len(rest.key)
        for index, parts, part, sums in pieces:
            runs = Runs.join(runs, parts)
            label.append(part + count)
            table.append(sums.table)
            keys.append(np.full(len(sums), held.key[index]))
            count += len(sums)
            self.added += len(sums) - 1
        return _sorted(
            runs,
            np.concatenate(label),
            np.concatenate(keys),
            Sums(np.concatenate(table), held.sums.classes),
        )

    def _candidates(self, held: Held) -> np.ndarray:
        value = np.zeros(len(held.key), dtype=np.int64)
        value[held.label] = held.runs.value
        return np.flatnonzero(self._queries[value] & (held.sums.pixels >= 2 * self._least))

    def _pieces(self, held: Held, index: int) -> Optional[tuple[int, Runs, np.ndarray, Sums]]:
        """Return a component's number, the runs of its objects, their numbers and sums."""
        runs = held.runs.take(held.label == index)
        x, y = int(runs.x0.min()), int(runs.row.min())
        width, height = int(runs.x1.max()) - x, int(runs.row.max()) + 1 - y
        if width * height > 4 * _MOST_PIXELS:
            return None
        mask = np.zeros((height, width), dtype=bool)
        mask.ravel()[runs.pixels(y, width) - x] = True
        labels = parts_of(mask, self._least)
        count = int(labels.max())
        if not 1 < count <= _MOST_PARTS:
            return None
        query = int(runs.value[0])
        found = find_runs(labels.astype(np.uint8), y)
        part = found.value.astype(np.int64) - 1
        found = Runs(found.row, found.x0 + x, found.x1 + x, np.full_like(found.value, query))
        sums = sums_of(
            found,
            part,
            count,
            self._areas,
            self._score.window(x, y, width, height, query),
            [band.window(x, y, width, height) for band in self._classes],
            held.sums.classes,
            y,
            x,
        )
        near = held.sums.near[index] / held.sums.pixels[index]
        return index, found, part, sums.with_near(sums.pixels[:, None] * near)


def _sorted(runs: Runs, label: np.ndarray, keys: np.ndarray, sums: Sums) -> Held:
    """Return components in the order of their first pixels."""
    runs_order = np.lexsort((runs.x0, runs.row))
    runs, label = runs.take(runs_order), label[runs_order]
    _, first = np.unique(label, return_index=True)
    order = np.argsort(first)
    return Held(runs, np.argsort(order)[label], keys[order], sums.take(order))


def parts_of(mask: np.ndarray, least: int) -> np.ndarray:
    """Number the objects of one connected component.

    Args:
        mask: (H, W) bool, its pixels.
        least: smallest number of pixels of an object.

    Returns:
        (H, W) int64, objects from 1; 0 outside of the component. One object where there is no
        neck, or where a part would be too small.
    """
    one = mask.astype(np.int64)
    pixels = int(one.sum())
    if pixels < 2 * least or pixels > _MOST_PIXELS or pixels > _SOLID * _hull_area(mask):
        return one
    return _flood(mask, _half_width(mask), least)


def _half_width(mask: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel to the outline, (H, W) float32, slightly smoothed."""
    height, width = (side + 2 for side in mask.shape)
    driver = gdal.GetDriverByName("MEM")
    outside = driver.Create("", width, height, 1, gdal.GDT_Byte)
    outside.GetRasterBand(1).WriteArray(np.pad(~mask, 1, constant_values=True).astype(np.uint8))
    distance = driver.Create("", width, height, 1, gdal.GDT_Float32)
    gdal.ComputeProximity(outside.GetRasterBand(1), distance.GetRasterBand(1))
    array = distance.GetRasterBand(1).ReadAsArray()
    for _ in range(2):  # a small binomial kernel, against ties and ragged outlines
        array = np.pad(array, 1)
        array = (array[:-2] + 2 * array[1:-1] + array[2:]) / 4
        array = (array[:, :-2] + 2 * array[:, 1:-1] + array[:, 2:]) / 4
    return array[1:-1, 1:-1]


def _flood(mask: np.ndarray, depth: np.ndarray, least: int) -> np.ndarray:
    """Flood from the deepest pixels; join floods without a neck, or too small, where they meet."""
    width = mask.shape[1] + 2
    padded = np.pad(mask, 1).ravel()
    deep = np.pad(depth, 1).ravel()
    inside = np.flatnonzero(padded)
    order = inside[np.argsort(-deep[inside], kind="stable")].tolist()
    value = deep.tolist()
    basin = [-1] * len(padded)
    parent: list[int] = []
    peak: list[float] = []
    size: list[int] = []
    around = (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1)

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for pixel in order:
        met = {root(basin[pixel + step]) for step in around if basin[pixel + step] >= 0}
        if not met:
            basin[pixel] = len(parent)
            parent.append(len(parent))
            peak.append(value[pixel])
            size.append(1)
            continue
        deepest, *others = sorted(met, key=lambda number: -peak[number])
        for other in others:
            is_object = peak[other] >= _LEAST_HALF_WIDTH and size[other] >= least
            if not is_object or value[pixel] > NECK * peak[other]:
                parent[other] = deepest
                size[deepest] += size[other]
        basin[pixel] = deepest
        size[deepest] += 1
    roots = np.array([root(number) for number in range(len(parent))])
    _, number = np.unique(roots, return_inverse=True)
    labels = np.zeros(len(padded), np.int64)
    labels[inside] = number[np.array(basin)[inside]] + 1
    return labels.reshape(mask.shape[0] + 2, width)[1:-1, 1:-1]


def _hull_area(mask: np.ndarray) -> float:
    """Return the area of the convex hull of the pixels, in pixels."""
    rows = np.flatnonzero(mask.any(axis=1))
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - mask[rows][:, ::-1].argmax(axis=1)
    tops = np.concatenate([rows, rows + 1])
    points = np.concatenate(
        [np.column_stack([np.tile(left, 2), tops]), np.column_stack([np.tile(right, 2), tops])]
    )
    ordered = points[np.lexsort((points[:, 0], points[:, 1]))].tolist()
    hull = _chain(ordered)[:-1] + _chain(ordered[::-1])[:-1]
    x, y = np.array(hull, dtype=float).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _chain(points: list[list[int]]) -> list[list[int]]:
    """Return one half of the convex hull of sorted points (Andrew, 1979)."""
    chain: list[list[int]] = []
    for point in points:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(a: list[int], b: list[int], c: list[int]) -> int:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
