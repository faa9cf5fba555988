# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides which components stay in a mask: large enough, long enough, and as the prompt says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from ..class_rules import rules_of
from ..raster.geodesy import PixelAreas
from ..raster.grid import Grid
from ..raster.runs import Runs
from ..request import Query
from .components import Components, Strip
from .exchange import ExchangeRule

#: By default a region is no smaller than either of these.
_MIN_AREA_M2 = 20.0
_MIN_AREA_PX = 4
#: A strip (4 million pixels) with more runs is noise, whose outlines would take gigabytes: the
#: shortest runs are dropped. A dense town, or the ragged edge of a forest, has a tenth of that.
_MAX_RUNS = 1 << 18
#: With more regions per strip the minimum area is raised: their outlines would take minutes.
_MAX_REGIONS = 50_000
#: Regions are counted by size up to this many pixels.
_COUNTED_PX = 1 << 16


def min_area_used(min_area: Optional[float], pixel_size: Optional[float]) -> Optional[float]:
    """Return the area in m2 below which regions are dropped; None without georeference."""
    if pixel_size is None:
        return None
    return max(_MIN_AREA_M2, _MIN_AREA_PX * pixel_size**2) if min_area is None else min_area


class MinLength:
    """The lengths below which regions of some classes are dropped.

    The length of a region is taken as the diagonal of its bounding box. A ``min_area`` of 0 keeps
    short regions too.
    """

    def __init__(self, grid: Grid, queries: Sequence[Query], min_area: Optional[float]) -> None:
        self._least = np.array([0.0, *(rules_of(query.object).min_length_m for query in queries)])
        self._sides = None if min_area == 0 else grid.ground_sides

    def reached(self, value: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Return (C,) bool: components that are long enough for their query (from 1).

        ``box`` is (C, 4): first column and row, and the last ones with a minus sign.
        """
        if self._sides is None:
            return np.ones(len(value), dtype=bool)
        across, down = (1 - box[:, :2] - box[:, 2:]).T * np.array(self._sides)[:, None]
        return np.hypot(across, down) >= self._least[value]


@dataclass(frozen=True)
class _Facts:
    """What C components are judged by.

    Attributes:
        facts: (C, 2 + bins) pixels, m2, and pixels of each class on the other date.
        box: (C, 4) first column and row, and the last ones with a minus sign.
        value: (C,) value of the pixels.
    """

    facts: np.ndarray
    box: np.ndarray
    value: np.ndarray

    def take(self, which: np.ndarray) -> _Facts:
        return _Facts(self.facts[which], self.box[which], self.value[which])

    @staticmethod
    def joined(strips: Sequence[_Facts], root: np.ndarray, count: int) -> _Facts:
        """Return the facts of (count,) joined components; ``root`` is that of each node."""
        facts = np.concatenate([strip.facts for strip in strips])
        total = np.zeros((count, facts.shape[1]))
        np.add.at(total, root, facts)
        box = np.full((count, 4), np.iinfo(np.int64).max)
        np.minimum.at(box, root, np.concatenate([strip.box for strip in strips]))
        value = np.zeros(count, dtype=np.int64)
        value[root] = np.concatenate([strip.value for strip in strips])
        return _Facts(total, box, value)


class Sieve:
    """Decides which components stay, strip by strip.

    A component inside one strip is judged by itself, one that crosses strips by the facts of
    all its nodes, which are kept until :meth:`decide`.

    Args:
        areas: of the pixels.
        min_area: in m2; None for the default.
        rule: of an exchange; None keeps every class.
        min_length: of the queries.

    Attributes:
        valid_px, valid_area: pixels analysed, and their area in m2.
        kept, dropped, short, narrowest, least_px: see :class:`MaskSummary`.
    """

    def __init__(
        self,
        areas: PixelAreas,
        min_area: Optional[float],
        rule: Optional[ExchangeRule],
        min_length: MinLength,
    ) -> None:
        self._areas = areas
        self._rule = rule
        self._min_length = min_length
        self.short = 0
        self._min_m2 = _MIN_AREA_M2 if min_area is None else min_area * (1 - 1e-9)
        self._min_px = _MIN_AREA_PX if min_area is None or not areas.known else 1
        self.valid_px, self.valid_area = 0, 0.0
        self.kept, self.dropped = 0, 0
        self.narrowest, self.least_px = 1, 0
        self._sizes = np.zeros(_COUNTED_PX + 1, dtype=np.int64)  # regions that stay, by pixels
        self._nodes: list[_Facts] = []  # of each strip
        self._large = self._fits = np.zeros(0, dtype=bool)  # of each node

    def without_noise(self, runs: Runs) -> Runs:
        """Drop the shortest runs of a strip that has too many."""
        shortest = 1
        while len(runs) > _MAX_RUNS:
            shortest *= 2
            runs = runs.take(runs.length >= shortest)
        self.narrowest = max(self.narrowest, shortest)
        return runs

    def measure(self, strip: Strip, valid: np.ndarray, y: int) -> None:
        """First pass: count the components of a strip at row y, or keep the facts of its nodes.

        ``valid`` is (H, W) bool: analysed.
        """
        self._measure_valid(valid, y)
        facts, inside = self._facts(strip), strip.node < 0
        self._count_kept(facts.take(inside))
        self._nodes.append(facts.take(~inside))

    def decide(self, components: Components) -> None:
        """Between the passes: join the components that cross strips, and judge them."""
        count = components.join()
        root = components.root
        total = _Facts.joined(self._nodes, root, count)
        strips, self._nodes = len(self._nodes), []
        self._count_kept(total)
        self._raise_minimum(_MAX_REGIONS * strips)
        large, fits = self._judge(total)
        self._large, self._fits = large[root], fits[root]

    def _raise_minimum(self, most: int) -> None:
        """Drop the smallest regions where there are too many."""
        at_least = np.cumsum(self._sizes[::-1])[::-1]  # regions of so many pixels or more
        if self.kept > most:
            fewer = np.flatnonzero(at_least <= most)
            self.least_px = int(fewer[0]) if len(fewer) else _COUNTED_PX
            self._min_px = max(self._min_px, self.least_px)
            self.dropped += self.kept - int(at_least[self.least_px])
            self.kept = int(at_least[self.least_px])

    def judge(self, strip: Strip) -> tuple[np.ndarray, np.ndarray]:
        """Second pass: (C,) whether components stay, and whether they fit the rule."""
        large, fits = self._judge(self._facts(strip))
        crosses = strip.node >= 0
        large[crosses] = self._large[strip.node[crosses]]
        fits[crosses] = self._fits[strip.node[crosses]]
        return large & fits, fits

    def _facts(self, strip: Strip) -> _Facts:
        sums = strip.sums
        facts = np.column_stack([sums.pixels, sums.area])
        if self._rule is not None:
            other = self._rule.other(strip.value, sums.before, sums.after)
            facts = np.column_stack([facts, other])
        return _Facts(facts, strip.box, strip.value)

    def _judge(self, of: _Facts) -> tuple[np.ndarray, np.ndarray]:
        """(C,) whether components are large and long enough, and whether they fit the rule."""
        large = self._has_area(of) & self._has_length(of)
        if self._rule is None:
            return large, np.ones(len(large), dtype=bool)
        return large, self._rule.agrees(of.value, of.facts[:, 2:])

    def _has_area(self, of: _Facts) -> np.ndarray:
        large = of.facts[:, 0] >= self._min_px
        return large & (of.facts[:, 1] >= self._min_m2) if self._areas.known else large

    def _has_length(self, of: _Facts) -> np.ndarray:
        return self._min_length.reached(of.value, of.box)

    def _count_kept(self, of: _Facts) -> None:
        large, fits = self._judge(of)
        self.short += int((self._has_area(of) & ~self._has_length(of)).sum())
        pixels = of.facts[large & fits, 0].astype(np.int64)
        self._sizes += np.bincount(np.minimum(pixels, _COUNTED_PX), minlength=_COUNTED_PX + 1)
        self.kept += len(pixels)
        self.dropped += int((~large).sum())

    def _measure_valid(self, valid: np.ndarray, y: int) -> None:
        height, width = valid.shape
        self.valid_px += int(np.count_nonzero(valid))
        if not self._areas.known:
            return
        edges = np.unique(np.linspace(0, width, min(width, 64) + 1).astype(np.int64))
        count = np.add.reduceat(valid, edges[:-1], axis=1, dtype=np.int64)
        columns, rows = np.meshgrid((edges[:-1] + edges[1:]) / 2, y + np.arange(height) + 0.5)
        self.valid_area += float(
            (count.ravel() * self._areas.at(columns.ravel(), rows.ravel())).sum()
        )
