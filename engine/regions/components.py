# SPDX-License-Identifier: GPL-3.0-or-later
"""Connected components of a raster, labelled strip by strip.

A component that reaches the first or last row of a strip is a node of a graph; nodes that touch
across a border are joined once all strips are known. The strips wait in a file: memory holds one
strip and a number or two per node, so it follows the width of the raster, not its height.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional, Union

import numpy as np

from ..raster.runs import Runs, components, touching
from ..writing import could_not_write

if TYPE_CHECKING:
    from ..raster.geodesy import PixelAreas

#: Runs held of components that are not complete; with more, regions end where the strip does.
_MAX_HELD = 1 << 20
_FIXED_COLUMNS = 5
_STORED_ARRAYS = 10


@dataclass(frozen=True)
class Sums:
    """Sums over the pixels of C components, for K classes.

    Attributes:
        table: (C, 5 + 2 (K + 1) + N) pixels, m2, score (of 254), column, row; pixels of each
            class and of none before, then after; pixels near each of N companions.
        classes: K.
    """

    table: np.ndarray
    classes: int

    def __len__(self) -> int:
        return len(self.table)

    @property
    def pixels(self) -> np.ndarray:
        """(C,) number of pixels."""
        return self.table[:, 0]

    @property
    def area(self) -> np.ndarray:
        """(C,) area in m2; 0 without georeference."""
        return self.table[:, 1]

    @property
    def score(self) -> np.ndarray:
        """(C,) mean score, of 254."""
        return self.table[:, 2] / self.pixels

    @property
    def centroid(self) -> np.ndarray:
        """(C, 2) column and row, in pixels from the outer corner of the first pixel."""
        return self.table[:, 3:5] / self.pixels[:, None]

    @property
    def before(self) -> np.ndarray:
        """(C, K + 1) pixels of each class on the earlier date, and of none."""
        return self.table[:, _FIXED_COLUMNS : _FIXED_COLUMNS + self.classes + 1]

    @property
    def after(self) -> np.ndarray:
        """(C, K + 1) pixels of each class on the later date, and of none."""
        begin = _FIXED_COLUMNS + self.classes + 1
        return self.table[:, begin : begin + self.classes + 1]

    @property
    def near(self) -> np.ndarray:
        """(C, N) pixels near each companion."""
        return self.table[:, _FIXED_COLUMNS + 2 * (self.classes + 1) :]

    def with_near(self, near: np.ndarray) -> Sums:
        """Return the sums with a column per companion."""
        return replace(self, table=np.column_stack([self.table, near]))

    def take(self, which: Union[np.ndarray, slice]) -> Sums:
        """Return the sums of some components."""
        return replace(self, table=self.table[which])

    def grouped(self, group: np.ndarray, count: int) -> Sums:
        """Return the sums of (count,) groups of components; ``group`` is (C,) from 0."""
        table = np.zeros((count, self.table.shape[1]))
        np.add.at(table, group, self.table)
        return replace(self, table=table)


@dataclass(frozen=True)
class Strip:
    """The components of one strip.

    Attributes:
        label: (N,) component of each run, from 0.
        value: (C,) value of the pixels.
        box: (C, 4) first column and row, and the last ones with a minus sign.
        node: (C,) number of a component that reaches the first or last row, -1 for others.
    """

    runs: Runs
    label: np.ndarray
    value: np.ndarray
    box: np.ndarray
    node: np.ndarray
    sums: Sums

    def take(self, which: np.ndarray) -> Strip:
        """Return the components where (C,) ``which`` is True."""
        runs = which[self.label]
        number = np.cumsum(which) - 1
        return Strip(
            self.runs.take(runs),
            number[self.label[runs]],
            self.value[which],
            self.box[which],
            self.node[which],
            self.sums.take(which),
        )

    def near(self, mask: np.ndarray, y: int) -> np.ndarray:
        """(C,) pixels of each component where an (H, W) mask from row ``y`` is True."""
        inside = mask.ravel()[self.runs.pixels(y, mask.shape[1])]
        owner = np.repeat(self.label, self.runs.length)
        return np.bincount(owner[inside], minlength=len(self.value))


def sums_of(
    runs: Runs,
    label: np.ndarray,
    count: int,
    areas: PixelAreas,
    score: np.ndarray,
    classes: Sequence[np.ndarray],
    class_count: int,
    y: int,
    x: int = 0,
) -> Sums:
    """Sum over the ``count`` components of a window whose first pixel is (x, y) of the raster.

    Args:
        runs: of the window.
        label: (N,) component of each run.
        count: number of components.
        areas: of the pixels.
        score: (H, W) uint8.
        classes: two of (H, W) uint8, the class on both dates; empty where it is not known.
        class_count: number of classes; higher numbers are unknown.
        y: first row.
        x: first column.
    """
    pixels = runs.pixels(y, score.shape[1]) - x
    owner = np.repeat(label, runs.length)

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(label, weights=weights, minlength=count)

    columns = [
        total(runs.length),
        total(_area(runs, areas)),
        np.bincount(owner, weights=score.ravel()[pixels], minlength=count),
        total(runs.length * (runs.x0 + runs.x1) / 2),
        total(runs.length * (runs.row + 0.5)),
    ]
    bins = class_count + 1
    counted: list[np.ndarray] = [np.zeros((count, bins))] * 2
    if classes:
        counted = [
            np.bincount(
                owner * bins + np.minimum(raster.ravel()[pixels], class_count),
                minlength=count * bins,
            ).reshape(count, bins)
            for raster in classes
        ]
    return Sums(np.column_stack([*columns, *counted]), class_count)


def _area(runs: Runs, areas: PixelAreas) -> np.ndarray:
    if not areas.known:
        return np.zeros(len(runs))
    return runs.length * areas.at((runs.x0 + runs.x1) / 2, runs.row + 0.5)


@dataclass(frozen=True)
class Held:
    """Components of several strips.

    Attributes:
        label: (N,) component of each run, from 0.
        key: (C,) joined component; numbers past these are components within one strip.
    """

    runs: Runs
    label: np.ndarray
    key: np.ndarray
    sums: Sums

    def take(self, which: np.ndarray) -> Held:
        """Return the components where (C,) ``which`` is True."""
        runs = which[self.label]
        number = np.cumsum(which) - 1
        return Held(
            self.runs.take(runs), number[self.label[runs]], self.key[which], self.sums.take(which)
        )


class Components:
    """The components of a raster; a context manager over the file that holds its strips.

    The file is in ``folder``, has no name and is gone when closed. ``shown_as`` is the output named
    in the error where the disk is full.
    """

    def __init__(self, folder: Optional[str] = None, shown_as: str = "") -> None:
        self._shown_as = shown_as or folder or tempfile.gettempdir()
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        self._places: list[int] = []
        self._edges: list[np.ndarray] = []
        self._strip_of_node: list[np.ndarray] = []
        self._nodes = 0
        self._above: tuple[Runs, np.ndarray] = Runs.empty(), np.zeros(0, dtype=np.int64)
        #: (nodes,) joined component of each node; known from :meth:`join` on.
        self.root = np.zeros(0, dtype=np.int64)
        self._last = np.zeros(0, dtype=np.int64)

    def __enter__(self) -> Components:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):  # it flushes again what could not be written
            self._file.close()

    def load(self, index: int) -> Strip:
        """Read a strip from the file; they are numbered from the top."""
        self._file.seek(self._places[index])
        arrays = [np.load(self._file) for _ in range(_STORED_ARRAYS)]
        row, x0, x1, value, label, values, box, node, table, classes = arrays
        runs, sums = Runs(row, x0, x1, value), Sums(table, int(classes))
        return Strip(runs, label, values, box, node, sums)

    def store(self, index: int, strip: Strip) -> None:
        """Write a strip, also to replace one by one with fewer components.

        Raises:
            OutputError: the disk is full.
        """
        runs, sums = strip.runs, strip.sums
        try:
            self._places[index] = self._file.seek(0, os.SEEK_END)
            for array in (
                *(runs.row, runs.x0, runs.x1, runs.value),
                *(strip.label, strip.value, strip.box, strip.node),
                *(sums.table, np.array(sums.classes)),
            ):
                np.save(self._file, array)
            self._file.flush()
        except OSError as error:
            raise could_not_write(self._shown_as, error) from error

    def add(self, runs: Runs, label: np.ndarray, sums: Sums, rows: tuple[int, int]) -> Strip:
        """Add the next strip from the top: rows ``rows[0]`` up to, not including, ``rows[1]``.

        Raises:
            OutputError: the disk is full.
        """
        count = len(sums)
        value = np.zeros(count, dtype=np.int64)
        value[label] = runs.value
        top, bottom = runs.row == rows[0], runs.row == rows[1] - 1
        crosses = np.zeros(count, dtype=bool)
        crosses[label[top | bottom]] = True
        node = np.where(crosses, self._nodes + np.cumsum(crosses) - 1, -1)
        strip = Strip(runs, label, value, _boxes(runs, label, count), node, sums)
        above, node_above = self._above
        upper, lower = touching(above, runs.take(top))
        self._edges.append(np.column_stack([node_above[upper], node[label[top]][lower]]))
        self._above = runs.take(bottom), node[label[bottom]]
        self._strip_of_node.append(np.full(int(crosses.sum()), len(self._places)))
        self._nodes += int(crosses.sum())
        self._places.append(0)
        self.store(len(self._places) - 1, strip)
        return strip

    def join(self) -> int:
        """Join the nodes once all strips are known; return the number of joined components."""
        edges = np.concatenate(self._edges or [np.zeros((0, 2), dtype=np.int64)])
        self.root, count = components(self._nodes, edges[:, 0], edges[:, 1])
        self._last = np.zeros(count, dtype=np.int64)
        if self._nodes:
            np.maximum.at(self._last, self.root, np.concatenate(self._strip_of_node))
        self._edges, self._strip_of_node = [], []
        return count

    def complete(self, index: int, strip: Strip, held: Optional[Held] = None) -> tuple[Held, Held]:
        """Join a strip to ``held``, the components of the strips above that are not complete.

        Returns the components that are complete, in the order of their first pixels, and those that
        the strips below add to.
        """
        # Within the strip a component is known by its joined number, or one past all of these.
        own = len(self._last) + np.arange(len(strip.value))
        crosses = strip.node >= 0
        own[crosses] = self.root[strip.node[crosses]]
        if held is None:
            held = Held(
                Runs.empty(), np.zeros(0, dtype=np.int64), own[:0], strip.sums.take(own[:0])
            )
        keys, first, group = np.unique(
            np.concatenate([held.key, own]), return_index=True, return_inverse=True
        )
        order = np.argsort(first)
        rank = np.argsort(order)
        group, keys = rank[group], keys[order]
        runs = Runs.join(held.runs, strip.runs)
        label = group[np.concatenate([held.label, strip.label + len(held.key)])]
        both = replace(strip.sums, table=np.concatenate([held.sums.table, strip.sums.table]))
        everything = Held(runs, label, keys, both.grouped(group, len(keys)))
        goes_on = np.zeros(len(keys), dtype=bool)
        joined = keys < len(self._last)
        if len(runs) <= _MAX_HELD:
            goes_on[joined] = self._last[keys[joined]] > index
        return everything.take(~goes_on), everything.take(goes_on)


def _boxes(runs: Runs, label: np.ndarray, count: int) -> np.ndarray:
    if not count:
        return np.zeros((0, 4), dtype=np.int64)
    order = np.argsort(label, kind="stable")
    sides = np.column_stack([runs.x0, runs.row, 1 - runs.x1, -runs.row])[order]
    return np.minimum.reduceat(sides, np.searchsorted(label[order], np.arange(count)))
