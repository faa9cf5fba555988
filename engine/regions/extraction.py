# SPDX-License-Identifier: GPL-3.0-or-later
"""Score raster to mask, and mask to regions with their facts, both streamed.

Rasters are read in strips of full width. Components are joined across the border of
strips, so that where a strip ends leaves no trace. What is held in memory is one
strip, one number per component that crosses a border (:func:`build_mask`), and the
runs of the components that are not yet closed (:func:`extract`): memory follows the
width of the raster, not the height. Noise is bounded: where a strip has more runs or
regions than any real change, the smallest are left out (:class:`Sieve`), and a region
with millions of runs is cut.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np
from osgeo import gdal

from ..errors import InputError
from ..raster.geodesy import PixelAreas
from ..raster.grid import Grid
from ..raster.runs import Runs, components, find_runs, label_runs, touching
from ..raster.support import gdal_call
from ..raster.writer import RasterWriter
from ..request import MASK_NODATA, MASK_VALUES, SCORE_SCALE, Query
from .exchange import rule_of
from .facts import NewRoads, RegionDescriber, RegionShape
from .sieve import LeastLength, Sieve, ground_area, min_area_used

__all__ = ["ClassMaps", "MaskSummary", "RegionShape", "build_mask", "extract", "min_area_used"]

_SCORE_NODATA = 255
#: Pixels that a strip may hold, but it has 256 rows (the height of a tile) at least.
_STRIP_PIXELS = 1 << 24
_STRIP_STEP = 256
#: Runs of unclosed components that are held; with more, regions end where the strip does.
_MAX_HELD = 1 << 20

#: Told the fraction done, in [0, 1]; may raise to stop.
FractionCallback = Callable[[float], None]


@dataclass(frozen=True)
class ClassMaps:
    """The class of the ground on both dates: rasters of uint8, an index into ``names``.

    Attributes:
        before: path of that of the earlier date.
        after: path of that of the later date.
        names: classes of the system.
    """

    before: str
    after: str
    names: Sequence[str]


@dataclass(frozen=True)
class MaskSummary:
    """What :func:`build_mask` found.

    Attributes:
        valid_px: pixels analysed.
        area_analysed_m2: their area on the ground; None without georeference.
        changed_px: pixels of the mask that changed.
        regions: components that stayed.
        dropped: components smaller than the minimum area.
        narrowest: parts of regions narrower than this many pixels were left out, since there
            was too much noise; 1 where nothing was.
        least_px: pixels to which the minimum area was raised, since there were too many regions;
            0 where it was not.
        short: lines (roads, paths, railways) that were left out as too short.
    """

    valid_px: int
    area_analysed_m2: Optional[float]
    changed_px: int
    regions: int
    dropped: int
    narrowest: int = 1
    least_px: int = 0
    short: int = 0


def build_mask(
    score_path: str,
    writer: RasterWriter,
    grid: Grid,
    queries: Sequence[Query],
    *,
    threshold: float = 0.5,
    min_area: Optional[float] = None,
    classes: Optional[ClassMaps] = None,
    fitting: Optional[RasterWriter] = None,
    progress: Optional[FractionCallback] = None,
) -> MaskSummary:
    """Write the mask of a score raster, without regions that are too small.

    A pixel gets the direction of its highest-scoring query where that score reaches the
    threshold. Pixels of the same query that touch, at corners too, are one region. Of queries
    with partners ("X replaced by Y") only regions stay whose class on the other date is one of
    them; elsewhere their scores become 0, so that mask and scores agree.

    Args:
        score_path: uint8 raster on ``grid``, one band per query (output contract).
        writer: open, one band of uint8 on ``grid``; it is neither committed nor aborted here.
        grid: of both rasters.
        queries: one per band.
        threshold: in (0, 1).
        min_area: in m2; None is the larger of 20 m2 and 4 pixels. Without georeference the
            smallest region always has 4 pixels. Unless it is 0, lines (roads, paths, railways)
            shorter than 25 m are left out too.
        classes: of both dates, on ``grid``; needed for queries with partners.
        fitting: gets the scores that agree with the mask; as ``writer``, but one band a query.
        progress: see :data:`FractionCallback`.

    Raises:
        InputError: a raster cannot be read or does not fit.
        OutputError: the mask cannot be written.
    """
    rule = rule_of(queries, classes.names) if classes is not None else None
    sieve = Sieve(PixelAreas(grid), min_area, rule, LeastLength(grid, queries, min_area))
    strips = list(_strips(grid))
    tell = progress or (lambda _: None)
    lut = np.array([0] + [MASK_VALUES[query.direction] for query in queries], dtype=np.uint8)
    changed = 0
    with contextlib.ExitStack() as stack:

        def opened(path: str) -> _Band:
            return stack.enter_context(contextlib.closing(_Band(path, grid)))

        scores = stack.enter_context(
            contextlib.closing(_Scores(score_path, grid, queries, threshold))
        )
        maps = [opened(path) for path in (classes.before, classes.after)] if rule else []

        def other(values: np.ndarray, y: int, height: int) -> Optional[np.ndarray]:
            return rule.other(values, *(band.read(y, height) for band in maps)) if rule else None

        for index, (y, height) in enumerate(strips):
            values, valid = scores.read(y, height)
            sieve.measure(values, valid, y, other(values, y, height))
            tell(0.5 * (index + 1) / len(strips))
        sieve.decide()
        for index, (y, height) in enumerate(strips):
            values, valid = scores.read(y, height)
            cleaned, unfit = sieve.clean(values, y, index, other(values, y, height))
            mask = lut[cleaned]
            changed += int(np.count_nonzero(mask))
            mask[~valid] = MASK_NODATA
            writer.write(0, y, mask[None])
            if fitting is not None:
                fitting.write(0, y, scores.without(unfit, y, height))
            tell(0.5 + 0.5 * (index + 1) / len(strips))
    area = sieve.valid_area if sieve.areas.known else None
    return MaskSummary(
        sieve.valid_px,
        area,
        changed,
        sieve.kept,
        sieve.dropped,
        sieve.narrowest,
        sieve.least_px,
        sieve.short,
    )


def extract(
    mask_path: str,
    score_path: str,
    grid: Grid,
    queries: Sequence[Query],
    *,
    classes_before_path: Optional[str] = None,
    classes_after_path: Optional[str] = None,
    class_names: Sequence[str] = (),
    simplify: float = 0.7,
    crs: Optional[str] = None,
    progress: Optional[FractionCallback] = None,
) -> Generator[RegionShape, None, None]:
    """Yield the regions of a mask, each as soon as the strips below cannot add to it.

    The rasters are open until the last region is taken, or until the generator is closed:
    use :func:`contextlib.closing` where taking them may end early.

    Args:
        mask_path: as :func:`build_mask` writes it.
        score_path: the raster that it was made from.
        grid: of all rasters.
        queries: one per band of the score raster.
        classes_before_path: uint8 index into ``class_names`` for the earlier date.
        classes_after_path: the same for the later date.
        class_names: of the system.
        simplify: tolerance in pixels; 0 keeps the pixel outline.
        crs: CRS of the polygons; None is that of the grid.
        progress: see :data:`FractionCallback`.

    Raises:
        InputError: a raster cannot be read or does not fit, or ``crs`` is not a CRS.
    """
    with (
        contextlib.closing(_Scores(score_path, grid, queries, 0.0)) as scores,
        contextlib.closing(_Band(mask_path, grid)) as mask,
        contextlib.ExitStack() as stack,
    ):
        classes = [
            None if path is None else stack.enter_context(contextlib.closing(_Band(path, grid)))
            for path in (classes_before_path, classes_after_path)
        ]
        roads = NewRoads(grid, queries)
        describer = RegionDescriber(grid, queries, class_names, simplify, crs, roads)
        assembler = _Assembler(PixelAreas(grid), len(class_names))
        strips = list(_strips(grid))

        def changed(y: int, height: int) -> np.ndarray:
            kept = mask.read(y, height)
            values, _ = scores.read(y, height)
            values[(kept == 0) | (kept == MASK_NODATA)] = 0
            return values

        def near_roads(y: int, height: int) -> Optional[np.ndarray]:
            if not roads.name:
                return None
            top, bottom = max(0, y - roads.halo), min(grid.height, y + height + roads.halo)
            return roads.near(changed(top, bottom - top))[y - top : y - top + height]

        for index, (y, height) in enumerate(strips):
            near = near_roads(y, height)
            values = changed(y, height)
            read = [None if band is None else band.read(y, height) for band in classes]
            last = index + 1 == len(strips)
            for runs, label, facts in assembler.add(values, scores.best, read, near, y, last=last):
                yield from describer.describe(runs, label, facts)
            if progress is not None:
                progress((index + 1) / len(strips))


def _strips(grid: Grid) -> Iterator[tuple[int, int]]:
    """Yield first row and height of strips of full width."""
    rows = max(1, _STRIP_PIXELS // (max(1, grid.width) * _STRIP_STEP)) * _STRIP_STEP
    for y in range(0, grid.height, rows):
        yield y, min(rows, grid.height - y)


class _Band:
    """One band of a raster on a known grid, read by strips."""

    def __init__(self, path: str, grid: Grid, bands: int = 1) -> None:
        dataset, problem = gdal_call(lambda: gdal.Open(path))
        if dataset is None:
            raise InputError(f'"{path}" cannot be read.', "Run the detection again.", problem)
        if (dataset.RasterXSize, dataset.RasterYSize) != (grid.width, grid.height):
            raise InputError(f'"{path}" is not on the grid of the run.', "Run the detection again.")
        if dataset.RasterCount < bands:
            raise InputError(f'"{path}" has too few bands.', "Run the detection again.")
        self._path = path
        self._dataset: Optional[gdal.Dataset] = dataset

    def close(self) -> None:
        """Close the file, also where something else still refers to this band."""
        self._dataset = None

    def read(self, y: int, height: int, band: int = 1) -> np.ndarray:
        """Return (height, W) uint8."""
        width = self._dataset.RasterXSize
        array, problem = gdal_call(
            lambda: self._dataset.GetRasterBand(band).ReadAsArray(0, y, width, height)
        )
        if array is None or problem:
            raise InputError(f'"{self._path}" cannot be read.', "The file is damaged.", problem)
        return array


class _Scores:
    """The highest-scoring query of each pixel."""

    def __init__(self, path: str, grid: Grid, queries: Sequence[Query], threshold: float) -> None:
        self._bands = len(queries)
        self._raster = _Band(path, grid, self._bands)
        # A score of exactly the threshold counts, whatever rounding does to the product.
        self._lowest = max(1, math.ceil(threshold * SCORE_SCALE - 1e-6))
        self.best = np.zeros((0, 0), dtype=np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._raster.close()

    def read(self, y: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a strip; the scores themselves are then in :attr:`best`.

        Returns:
            (height, W) uint8: number of the query from 1, 0 for none; and bool: analysed.
        """
        best = self._raster.read(y, height)
        valid = best != _SCORE_NODATA
        best[~valid] = 0
        values = np.ones(best.shape, dtype=np.uint8)
        for number in range(2, self._bands + 1):
            score = self._raster.read(y, height, number)
            known = score != _SCORE_NODATA
            valid |= known
            higher = known & (score > best)
            best[higher] = score[higher]
            values[higher] = number
        values[best < self._lowest] = 0
        self.best = best
        return values, valid

    def without(self, pixels: np.ndarray, y: int, height: int) -> np.ndarray:
        """Return (queries, height, W) uint8: the scores of a strip, 0 at some of its pixels."""
        bands = range(1, self._bands + 1)
        scores = np.stack([self._raster.read(y, height, band) for band in bands])
        scores.reshape(self._bands, -1)[:, pixels] = 0
        return scores


class _Assembler:
    """Joins components over strips and hands them on when they are complete."""

    def __init__(self, areas: PixelAreas, names: int) -> None:
        self._areas = areas
        self._names = names
        self._runs = Runs.empty()
        self._label = np.zeros(0, dtype=np.int64)
        self._facts = np.zeros((0, self._columns))

    @property
    def _columns(self) -> int:
        """Pixels, m2, score, column, row, counts of classes on both dates, near a new road."""
        return 5 + 2 * (self._names + 1) + 1

    def add(
        self,
        values: np.ndarray,
        score: np.ndarray,
        classes: Sequence[Optional[np.ndarray]],
        near: Optional[np.ndarray],
        y: int,
        *,
        last: bool,
    ) -> Iterator[tuple[Runs, np.ndarray, np.ndarray]]:
        """Add a strip and yield complete components as (runs, label from 0, sums (N, columns))."""
        fresh = find_runs(values, y)
        label, count = label_runs(fresh)
        facts = self._sums(fresh, label, count, score, classes, near, y)
        one, other = touching(self._runs.take(self._runs.row == y - 1), fresh.take(fresh.row == y))
        held = len(self._facts)
        above = self._label[self._runs.row == y - 1][one]
        root, total = components(held + count, above, label[fresh.row == y][other] + held)
        merged = np.zeros((total, self._columns))
        np.add.at(merged, root, np.concatenate([self._facts, facts]))
        runs = Runs.join(self._runs, fresh)
        label = root[np.concatenate([self._label, label + held])]
        going_on = np.zeros(total, dtype=bool)
        if not last and len(runs) <= _MAX_HELD:
            going_on[label[runs.row == y + len(values) - 1]] = True
        number = np.where(going_on, np.cumsum(going_on), np.cumsum(~going_on)) - 1
        stays = going_on[label]
        self._runs, self._label = runs.take(stays), number[label[stays]]
        self._facts = merged[going_on]
        if not going_on.all():
            yield runs.take(~stays), number[label[~stays]], merged[~going_on]

    def _sums(
        self,
        runs: Runs,
        label: np.ndarray,
        count: int,
        score: np.ndarray,
        classes: Sequence[Optional[np.ndarray]],
        near: Optional[np.ndarray],
        y: int,
    ) -> np.ndarray:
        width = score.shape[1]
        pixels = runs.pixels(y, width)
        owner = np.repeat(label, runs.length)
        middle = (runs.x0 + runs.x1) / 2
        weights = (
            runs.length,
            ground_area(runs, self._areas),
            None,
            runs.length * middle,
            runs.length * (runs.row + 0.5),
        )
        sums = np.zeros((count, self._columns))
        for column, weight in enumerate(weights):
            if weight is not None:
                sums[:, column] = np.bincount(label, weights=weight, minlength=count)
        sums[:, 2] = np.bincount(owner, weights=score.ravel()[pixels], minlength=count)
        bins = self._names + 1
        for date, raster in enumerate(classes):
            if raster is None:
                continue
            found = np.minimum(raster.ravel()[pixels], self._names)
            counted = np.bincount(owner * bins + found, minlength=count * bins)
            sums[:, 5 + date * bins : 5 + (date + 1) * bins] = counted.reshape(count, bins)
        if near is not None:
            sums[:, -1] = np.bincount(owner, weights=near.ravel()[pixels], minlength=count)
        return sums
