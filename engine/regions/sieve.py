# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides which components of a mask stay: those large and long enough that fit the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from ..classes import is_line
from ..raster.geodesy import PixelAreas
from ..raster.grid import Grid
from ..raster.runs import Runs, components, find_runs, label_runs, touching
from ..request import Query
from .exchange import ExchangeRule

#: A region is never smaller than either of these by default.
_MIN_AREA_M2 = 20.0
_MIN_AREA_PX = 4
#: Roads, paths, railways are never shorter by default: shorter pieces are driveways and shadows.
MIN_LENGTH_M = 25.0
#: A strip (16 million pixels) with more runs is noise, whose outlines would take gigabytes: the
#: shortest are left out. A dense town, or the ragged edge of a forest, has a tenth of that.
_MAX_RUNS = 1 << 20
#: With more regions a strip the minimum area is raised: their outlines would take minutes.
_MAX_REGIONS = 50_000
#: Regions are counted by size up to this many pixels.
_COUNTED_PX = 1 << 16


def min_area_used(min_area: Optional[float], pixel_size: Optional[float]) -> Optional[float]:
    """Return the area in m2 below which a region is left out.

    Args:
        min_area: in m2; None for the default.
        pixel_size: in metres; None without georeference, where only pixels count.
    """
    if pixel_size is None:
        return None
    return max(_MIN_AREA_M2, _MIN_AREA_PX * pixel_size**2) if min_area is None else min_area


class LeastLength:
    """The length below which what is line-like (roads, paths, railways) is left out.

    A region counts as long as the diagonal of its bounding box; a winding one is longer.

    Args:
        grid: of the mask.
        queries: one per value of a strip, from 1.
        min_area: in m2, as asked for; an explicit 0 keeps the shortest pieces too.
    """

    def __init__(self, grid: Grid, queries: Sequence[Query], min_area: Optional[float]) -> None:
        self._lines = np.array([False, *(is_line(query.object) for query in queries)])
        self._sides = grid.ground_sides
        self.used = bool(self._lines.any()) and self._sides is not None and min_area != 0

    def reaches(self, value: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Tell which components are long enough.

        Args:
            value: (C,) number of the query from 1.
            box: (C, 4) first column and row, and the last ones with a minus sign.
        """
        if not self.used or self._sides is None:
            return np.ones(len(value), dtype=bool)
        across, down = (1 - box[:, :2] - box[:, 2:]).T * np.array(self._sides)[:, None]
        return ~self._lines[value] | (np.hypot(across, down) >= MIN_LENGTH_M)


def ground_area(runs: Runs, areas: PixelAreas) -> np.ndarray:
    """(N,) area in m2 of each run; 0 without georeference."""
    if not areas.known:
        return np.zeros(len(runs))
    return runs.length * areas.at((runs.x0 + runs.x1) / 2, runs.row + 0.5)


@dataclass(frozen=True)
class _Labelled:
    """The components of a strip.

    Attributes:
        runs: of the strip.
        label: (N,) component of each run.
        facts: (C, 2 + bins) pixels, m2, and pixels of each class on the other date.
        box: (C, 4) first column and row, and the last ones with a minus sign.
        value: (C,) value of the pixels.
        border: (C,) number of a component that reaches the first or last row, -1 for others.
    """

    runs: Runs
    label: np.ndarray
    facts: np.ndarray
    box: np.ndarray
    value: np.ndarray
    border: np.ndarray


class Sieve:
    """Decides which components stay, strip by strip.

    A component inside one strip is judged in that strip. One that reaches the first or
    last row of a strip is a node of a graph that joins the strips, and judged at the end.

    Args:
        areas: of the pixels.
        min_area: in m2; None for the default.
        rule: of an exchange; None keeps every class.
        least_length: of lines; None keeps every length.

    Attributes:
        short: regions that are large enough, but were left out since they are short lines.
        narrowest: pixels along a row below which parts of regions were left out as noise; 1
            where nothing was.
        least_px: pixels to which the minimum area was raised, since there were too many regions;
            0 where it was not.
    """

    def __init__(
        self,
        areas: PixelAreas,
        min_area: Optional[float],
        rule: Optional[ExchangeRule] = None,
        least_length: Optional[LeastLength] = None,
    ) -> None:
        self.areas = areas
        self._rule = rule
        self._least_length = least_length
        self.short = 0
        self._min_m2 = _MIN_AREA_M2 if min_area is None else min_area * (1 - 1e-9)
        self._min_px = _MIN_AREA_PX if min_area is None or not areas.known else 1
        self.valid_px, self.valid_area = 0, 0.0
        self.kept, self.dropped = 0, 0
        self.narrowest, self.least_px = 1, 0
        self._sizes = np.zeros(_COUNTED_PX + 1, dtype=np.int64)  # regions that stay, by pixels
        self._columns = 2 + (0 if rule is None else rule.bins)
        self._nodes: list[np.ndarray] = []  # (n, columns) facts of border components, by strip
        self._boxes: list[np.ndarray] = []  # (n, 4) their bounding boxes
        self._values: list[np.ndarray] = []  # (n,) their values
        self._first: list[int] = []  # number of the first node of each strip
        self._edges: list[np.ndarray] = []
        self._count = 0
        self._open: Optional[tuple[Runs, np.ndarray]] = None  # last row of the strip above
        self._large = self._fits = np.zeros(0, dtype=bool)

    def measure(
        self, values: np.ndarray, valid: np.ndarray, y: int, other: Optional[np.ndarray] = None
    ) -> None:
        """First pass: facts of components and how they join.

        Args:
            values: (H, W) uint8 number of the query from 1, 0 for none.
            valid: (H, W) bool: analysed.
            y: row of the raster that the first row is.
            other: (H, W) uint8 class on the other date; needed where there is a rule.
        """
        self._measure_valid(valid, y)
        found = self._label(values, y, other)
        runs, label, border = found.runs, found.label, found.border
        inside = border < 0
        self._count_kept(found.facts[inside], found.box[inside], found.value[inside])
        self._first.append(self._count)
        self._nodes.append(found.facts[~inside])
        self._boxes.append(found.box[~inside])
        self._values.append(found.value[~inside])
        if self._open is not None and len(runs):
            above, node = self._open
            top = runs.row == y
            one, under = touching(above, runs.take(top))
            self._edges.append(
                np.column_stack([node[one], border[label[top]][under] + self._count])
            )
        bottom = runs.row == y + len(values) - 1
        self._open = runs.take(bottom), border[label[bottom]] + self._count
        self._count += int((~inside).sum())

    def decide(self) -> None:
        """Between the passes: judge the components that cross strips."""
        facts = np.concatenate(self._nodes or [np.zeros((0, self._columns))])
        boxes = np.concatenate(self._boxes or [np.zeros((0, 4), dtype=np.int64)])
        values = np.concatenate(self._values or [np.zeros(0, dtype=np.int64)])
        edges = np.concatenate(self._edges or [np.zeros((0, 2), np.int64)])
        root, count = components(len(facts), edges[:, 0], edges[:, 1])
        total = np.zeros((count, self._columns))
        np.add.at(total, root, facts)
        box = np.full((count, 4), np.iinfo(np.int64).max)
        np.minimum.at(box, root, boxes)
        value = np.zeros(count, dtype=np.int64)
        value[root] = values
        self._count_kept(total, box, value)
        self._raise_minimum(_MAX_REGIONS * len(self._first))
        large, fits = self._judge(total, box, value)
        self._large, self._fits = large[root], fits[root]

    def _raise_minimum(self, most: int) -> None:
        """Leave the smallest regions out where there are too many."""
        at_least = np.cumsum(self._sizes[::-1])[::-1]  # regions of so many pixels or more
        if self.kept > most:
            fewer = np.flatnonzero(at_least <= most)
            self.least_px = int(fewer[0]) if len(fewer) else _COUNTED_PX
            self._min_px = max(self._min_px, self.least_px)
            self.dropped += self.kept - int(at_least[self.least_px])
            self.kept = int(at_least[self.least_px])

    def clean(
        self, values: np.ndarray, y: int, strip: int, other: Optional[np.ndarray] = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Second pass: set the pixels of components that do not stay to 0.

        Returns:
            (H, W) values; and the indices, in the flattened strip, of the pixels of components
            that do not fit the rule.
        """
        found = self._label(values, y, other)
        large, fits = self._judge(found.facts, found.box, found.value)
        crossing = found.border >= 0
        node = found.border[crossing] + self._first[strip]
        large[crossing], fits[crossing] = self._large[node], self._fits[node]
        width = values.shape[1]
        kept = found.runs.take((large & fits)[found.label])
        flat = np.zeros(values.size, dtype=np.uint8)
        flat[kept.pixels(y, width)] = np.repeat(kept.value, kept.length)
        return flat.reshape(values.shape), found.runs.take(~fits[found.label]).pixels(y, width)

    def _label(self, values: np.ndarray, y: int, other: Optional[np.ndarray]) -> _Labelled:
        runs = self._without_noise(find_runs(values, y))
        label, count = label_runs(runs)
        facts = np.zeros((count, self._columns))
        facts[:, 0] = np.bincount(label, weights=runs.length, minlength=count)
        facts[:, 1] = np.bincount(label, weights=ground_area(runs, self.areas), minlength=count)
        if self._rule is not None and other is not None:
            bins = self._rule.bins
            owner = np.repeat(label, runs.length) * bins
            owner += other.ravel()[runs.pixels(y, values.shape[1])]
            facts[:, 2:] = np.bincount(owner, minlength=count * bins).reshape(count, bins)
        box = np.zeros((count, 4), dtype=np.int64)
        if count and self._least_length is not None and self._least_length.used:
            order = np.argsort(label, kind="stable")
            sides = np.column_stack([runs.x0, runs.row, 1 - runs.x1, -runs.row])[order]
            box = np.minimum.reduceat(sides, np.searchsorted(label[order], np.arange(count)))
        value = np.zeros(count, dtype=np.int64)
        value[label] = runs.value
        on_border = np.zeros(count, dtype=bool)
        on_border[label[(runs.row == y) | (runs.row == y + len(values) - 1)]] = True
        border = np.where(on_border, np.cumsum(on_border) - 1, -1)
        return _Labelled(runs, label, facts, box, value, border)

    def _without_noise(self, runs: Runs) -> Runs:
        shortest = 1
        while len(runs) > _MAX_RUNS:
            shortest *= 2
            runs = runs.take(runs.length >= shortest)
        self.narrowest = max(self.narrowest, shortest)
        return runs

    def _judge(
        self, facts: np.ndarray, box: np.ndarray, value: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(C,) whether components are large and long enough, and whether they fit the rule."""
        large = self._has_area(facts) & self._has_length(box, value)
        if self._rule is None:
            return large, np.ones(len(facts), dtype=bool)
        return large, self._rule.agrees(value, facts[:, 2:])

    def _has_area(self, facts: np.ndarray) -> np.ndarray:
        large = facts[:, 0] >= self._min_px
        return large & (facts[:, 1] >= self._min_m2) if self.areas.known else large

    def _has_length(self, box: np.ndarray, value: np.ndarray) -> np.ndarray:
        if self._least_length is None:
            return np.ones(len(value), dtype=bool)
        return self._least_length.reaches(value, box)

    def _count_kept(self, facts: np.ndarray, box: np.ndarray, value: np.ndarray) -> None:
        large, fits = self._judge(facts, box, value)
        self.short += int((self._has_area(facts) & ~self._has_length(box, value)).sum())
        pixels = facts[large & fits, 0].astype(np.int64)
        self._sizes += np.bincount(np.minimum(pixels, _COUNTED_PX), minlength=_COUNTED_PX + 1)
        self.kept += len(pixels)
        self.dropped += int((~large).sum())

    def _measure_valid(self, valid: np.ndarray, y: int) -> None:
        height, width = valid.shape
        self.valid_px += int(np.count_nonzero(valid))
        if not self.areas.known:
            return
        edges = np.unique(np.linspace(0, width, min(width, 64) + 1).astype(np.int64))
        count = np.add.reduceat(valid, edges[:-1], axis=1, dtype=np.int64)
        columns, rows = np.meshgrid((edges[:-1] + edges[1:]) / 2, y + np.arange(height) + 0.5)
        self.valid_area += float(
            (count.ravel() * self.areas.at(columns.ravel(), rows.ravel())).sum()
        )
