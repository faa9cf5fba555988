# SPDX-License-Identifier: GPL-3.0-or-later
"""Score raster to mask, and to regions with their facts, in strips of full width.

Three passes: label the strips (:class:`Components`), write the mask without the components that
do not stay (:class:`Sieve`), describe those that stay. Where a strip ends leaves no trace. Noise
is bounded: where a strip has more runs or regions than any real change, the smallest are dropped,
and a region with millions of runs is cut.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Callable, Optional

import numpy as np

from ..class_rules import Companion, companions_of
from ..raster.geodesy import PixelAreas
from ..raster.grid import Grid
from ..raster.runs import Runs, find_runs, label_runs
from ..raster.writer import RasterWriter
from ..request import MASK_NODATA, MASK_VALUES, OUTLINE_MODES, SCORE_SCALE, Query
from .bands import Band, ClassMaps
from .components import Components, Held, Strip, sums_of
from .exchange import rule_of
from .facts import RegionDescriber, RegionShape
from .separation import Separator
from .sieve import MinLength, Sieve

_SCORE_NODATA = 255
#: Pixels that a strip may hold, but it has 256 rows (the height of a tile) at least.
_STRIP_PIXELS = 1 << 22
_STRIP_STEP = 256

#: Given the fraction done, in [0, 1]; may raise to stop.
FractionCallback = Callable[[float], None]


@dataclass(frozen=True)
class MaskSummary:
    """What :func:`build_mask` found.

    Attributes:
        valid_px: number of pixels analysed.
        area_analysed_m2: their area on the ground; None without georeference.
        changed_px: number of changed pixels in the mask.
        regions: number of regions kept.
        dropped: number of regions that are too small or too short.
        narrowest: parts of regions narrower than this many pixels were dropped as noise; 1 if
            none were.
        least_px: pixels to which too many regions raised the minimum area; 0 if they did not.
        short: number of regions that are large enough, but too short for their class.
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
    components: Components,
    *,
    threshold: float = 0.5,
    min_area: Optional[float] = None,
    partners: Sequence[Sequence[str]] = (),
    classes: Optional[ClassMaps] = None,
    fitting: Optional[RasterWriter] = None,
    progress: Optional[FractionCallback] = None,
) -> MaskSummary:
    """Write the mask of a score raster, without regions that are too small.

    A pixel gets the direction of its highest-scoring query where that score reaches the
    threshold. Pixels of the same query that touch, at corners too, are one region. Of queries
    with partners ("X replaced by Y") only regions stay whose class on the other date is one of
    them; the scores of the others become 0, so that mask and scores agree.

    Args:
        score_path: uint8 raster on ``grid``, one band per query (output contract).
        writer: open, one band of uint8 on ``grid``; it is neither committed nor aborted here.
        grid: of both rasters.
        queries: one per band.
        components: empty; filled with the regions of the mask, for :func:`extract`.
        threshold: in (0, 1).
        min_area: in m2; None is the larger of 20 m2 and 4 pixels. Without georeference the
            smallest region always has 4 pixels. Unless it is 0, classes that have a minimum
            length (roads, paths, railways) lose shorter regions too.
        partners: of each query, see :class:`~changescribe.engine.request.Hints`.
        classes: of both dates, on ``grid``; needed for queries with partners.
        fitting: gets the scores that agree with the mask; as ``writer``, with one band per query.
        progress: see :data:`FractionCallback`.

    Raises:
        InputError: a raster cannot be read or does not fit.
        OutputError: the mask cannot be written.
    """
    names = classes.names if classes is not None else ()
    areas = PixelAreas(grid)
    exchange = rule_of(queries, partners, names)
    sieve = Sieve(areas, min_area, exchange, MinLength(grid, queries, min_area))
    strips = list(_strips(grid))
    report = progress or (lambda _: None)
    lut = np.array([0] + [MASK_VALUES[query.direction] for query in queries], dtype=np.uint8)
    changed = 0
    with contextlib.ExitStack() as stack:

        def opened(path: str) -> Band:
            return stack.enter_context(contextlib.closing(Band(path, grid)))

        scores = stack.enter_context(
            contextlib.closing(_Scores(score_path, grid, queries, threshold))
        )
        maps = [opened(path) for path in (classes.before, classes.after)] if classes else []
        for index, (y, height) in enumerate(strips):
            values, valid = scores.read(y, height)
            read = [band.read(y, height) for band in maps]
            runs = sieve.without_noise(find_runs(values, y))
            label, count = label_runs(runs)
            sums = sums_of(runs, label, count, areas, scores.best, read, len(names), y)
            strip = components.add(runs, label, sums, (y, y + height))
            sieve.measure(strip, valid, y)
            report(0.5 * (index + 1) / len(strips))
        sieve.decide(components)
        for index, (y, height) in enumerate(strips):
            strip = components.load(index)
            stays, fits = sieve.judge(strip)
            unfit = strip.take(~fits).runs.pixels(y, grid.width)
            strip = strip.take(stays)
            components.store(index, strip)
            mask = lut[_values(strip.runs, y, height, grid.width)]
            changed += int(np.count_nonzero(mask))
            _, valid = scores.read(y, height)
            mask[~valid] = MASK_NODATA
            writer.write(0, y, mask[None])
            if fitting is not None:
                fitting.write(0, y, scores.without(unfit, y, height))
            report(0.5 + 0.5 * (index + 1) / len(strips))
    return MaskSummary(
        sieve.valid_px,
        sieve.valid_area if areas.known else None,
        changed,
        sieve.kept,
        sieve.dropped,
        sieve.narrowest,
        sieve.least_px,
        sieve.short,
    )


def extract(
    components: Components,
    grid: Grid,
    queries: Sequence[Query],
    *,
    class_names: Sequence[str] = (),
    simplify: float = 0.7,
    outlines: str = OUTLINE_MODES[1],
    crs: Optional[str] = None,
    separator: Optional[Separator] = None,
    progress: Optional[FractionCallback] = None,
) -> Generator[RegionShape, None, None]:
    """Yield the regions of a mask, each as soon as it is complete.

    Args:
        components: as :func:`build_mask` leaves them; open until the last region is taken.
        grid: of the mask.
        queries: as given to :func:`build_mask`.
        class_names: of the class maps.
        simplify: tolerance in pixels; 0 keeps the pixel outline.
        outlines: see :class:`~changescribe.engine.request.ChangeRequest`.
        crs: CRS of the polygons; None is that of the grid.
        separator: makes regions of their own of objects that touch; None keeps them joined.
        progress: see :data:`FractionCallback`.

    Raises:
        InputError: ``crs`` is not a CRS.
    """
    companions = companions_of(queries, grid.ground_sides)
    describer = RegionDescriber(grid, queries, class_names, simplify, crs, companions, outlines)
    strips = list(_strips(grid))

    def near(companion: Companion, strip: Strip, y: int, height: int) -> np.ndarray:
        top, bottom = max(0, y - companion.halo), min(grid.height, y + height + companion.halo)
        shown = np.zeros((bottom - top, grid.width), dtype=np.uint8)
        for other, (start, rows) in enumerate(strips):
            if start < bottom and start + rows > top:
                shown |= _values(components.load(other).runs, top, bottom - top, grid.width)
        return strip.near(companion.near(shown)[y - top : y - top + height], y)

    held: Optional[Held] = None
    for index, (y, height) in enumerate(strips):
        strip = components.load(index)
        pixels = [near(companion, strip, y, height) for companion in companions]
        if pixels:
            strip = replace(strip, sums=strip.sums.with_near(np.column_stack(pixels)))
        complete, held = components.complete(index, strip, held)
        if separator is not None:
            complete = separator.separate(complete)
        yield from describer.describe(complete.runs, complete.label, complete.sums)
        if progress is not None:
            progress((index + 1) / len(strips))


def _values(runs: Runs, y: int, height: int, width: int) -> np.ndarray:
    """(height, width) uint8 values of the pixels of runs, from row ``y``; 0 elsewhere."""
    values = np.zeros((height, width), dtype=np.uint8)
    runs = runs.take((runs.row >= y) & (runs.row < y + height))
    values.ravel()[runs.pixels(y, width)] = np.repeat(runs.value, runs.length)
    return values


def _strips(grid: Grid) -> Iterator[tuple[int, int]]:
    """Yield first row and height of strips of full width."""
    rows = max(1, _STRIP_PIXELS // (max(1, grid.width) * _STRIP_STEP)) * _STRIP_STEP
    for y in range(0, grid.height, rows):
        yield y, min(rows, grid.height - y)


class _Scores:
    """The highest-scoring query of each pixel."""

    def __init__(self, path: str, grid: Grid, queries: Sequence[Query], threshold: float) -> None:
        self._bands = len(queries)
        self._raster = Band(path, grid, self._bands)
        # A score of exactly the threshold counts, however the product is rounded.
        self._lowest = max(1, math.ceil(threshold * SCORE_SCALE - 1e-6))
        self.best = np.zeros((0, 0), dtype=np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._raster.close()

    def read(self, y: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a strip into :attr:`best`; return the query from 1 (0: none), and validity."""
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
        """Return the (Q, height, W) scores of a strip, set to 0 at these pixels."""
        bands = range(1, self._bands + 1)
        scores = np.stack([self._raster.read(y, height, band) for band in bands])
        scores.reshape(self._bands, -1)[:, pixels] = 0
        return scores
