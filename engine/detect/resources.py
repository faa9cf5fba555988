# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and disk space: estimated before a run, and batches halved where memory is short."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Union

import numpy as np

from ..errors import ChangeScribeError, InputError, OutOfMemoryError, is_out_of_memory
from ..systems.base import CLASS_UNKNOWN, TilePrediction
from .remembering import Recalled
from .texts import DetectTexts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..raster.common_grid import CommonGrid
    from ..systems.base import Features, OpenedSystem
    from .remembering import Keeping
    from .run import Run
    from .tiling import Tile

#: Bytes on disk per pixel, compressed: measured 0.15 for a band of scores, 0.02 for class maps.
_SCORE_BYTES, _CLASS_BYTES = 0.15, 0.02
#: Bytes of memory per pixel of a strip of 256 rows, in which regions are found; and for the rest.
_STRIP_ROWS, _STRIP_BYTES = 256, 12
_BASE_BYTES = 300e6
#: Smallest side of a tile in pixels: with less around them, objects are not recognised.
_MIN_SIDE = 128


def check_resources(grid: CommonGrid, queries: int, folder: Path) -> None:
    """Refuse a run for which memory or disk space certainly do not suffice.

    Raises:
        InputError: with the figures.
    """
    width, height = grid.output.width, grid.output.height
    # The results, and as much for what is kept of the run until it is complete.
    pixels = float(width) * height + float(grid.working.width) * grid.working.height
    disk = pixels * (queries * _SCORE_BYTES + 2 * _CLASS_BYTES)
    memory = _BASE_BYTES + float(width) * _STRIP_ROWS * _STRIP_BYTES
    for text, needed, free in (
        (DetectTexts.too_little_disk, disk, shutil.disk_usage(folder).free),
        (DetectTexts.too_little_memory, memory, _free_memory()),
    ):
        if free is not None and needed > free:
            raise InputError(text(width=width, height=height, needed=needed / 1e9, free=free / 1e9))


def _free_memory() -> Optional[int]:
    """Return the free memory of the computer in bytes; all of it, or None, if that is unknown."""
    if sys.platform == "win32":
        import ctypes

        status = (ctypes.c_ulonglong * 8)(64)  # MEMORYSTATUSEX: length, load, total, free, ...
        return status[2] if ctypes.windll.kernel32.GlobalMemoryStatusEx(status) else None
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            kilobytes = dict(line.split(":") for line in file)["MemAvailable"]
        return int(kilobytes.split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Batch:
    """B tiles: both dates (B, H, W, 3) uint8, and where both are valid, (B, H, W) bool.

    Tiles of a remembered pair have features instead of dates.
    """

    tiles: list[Tile]
    valid: np.ndarray
    before: np.ndarray
    after: np.ndarray
    features: Sequence[Features] = ()


class Predictor:
    """Runs a system on batches of tiles, on fewer and smaller ones once memory is short."""

    def __init__(self, run: Run, system: OpenedSystem) -> None:
        self._run, self._system = run, system
        self._batch = self._side = sys.maxsize

    def predict(self, before: np.ndarray, after: np.ndarray) -> TilePrediction:
        """Score a batch of tile pairs, (B, H, W, 3) uint8.

        Raises:
            OutOfMemoryError: memory does not suffice for a single small tile.
            ChangeScribeError: the system returned something else than scores.
        """
        while True:
            try:
                return self._in_parts(before, after)
            except Exception as error:  # systems raise what their libraries do
                if not is_out_of_memory(error):
                    raise
                details = getattr(error, "details", "") or str(error)
            batch, side = min(len(before), self._batch), min(before.shape[1], self._side)
            if batch > 1:
                self._batch = batch // 2
            elif side // 2 >= _MIN_SIDE:
                self._side = -(-side // 64) * 32
            else:
                raise OutOfMemoryError(details=details)
            self._run.monitor.warn(DetectTexts.less_memory())

    def remember(
        self, memory: Union[Keeping, Recalled], batch: Batch, some: np.ndarray, first: int
    ) -> TilePrediction:
        """Score the valid tiles of a batch whose first tile has a number, from their features.

        Features of rasters are kept. Where memory is short, nothing is, from then on.
        """
        found = []
        for place in np.flatnonzero(some):
            dates = batch.before[place], batch.after[place]
            try:
                if isinstance(memory, Recalled):
                    features = batch.features[place]
                else:
                    valid = batch.valid[place]
                    features = memory.add(self._system, first + int(place), dates, valid)
                parsed = self._run.parsed
                answer = self._system.answer(features, parsed.queries, parsed.hints)
                found.append(self._checked(answer, (1, *batch.valid.shape[1:])))
            except Exception as error:
                if isinstance(memory, Recalled) or not is_out_of_memory(error):
                    raise
                memory.drop()
                found.append(self.predict(dates[0][None], dates[1][None]))
        if len(found) == 1:
            return found[0]
        notes = dict.fromkeys(note for answer in found for note in answer.notes)
        return TilePrediction(
            np.concatenate([answer.scores for answer in found]),
            _joined([answer.classes_before for answer in found]),
            _joined([answer.classes_after for answer in found]),
            tuple(notes),
        )

    def _in_parts(self, before: np.ndarray, after: np.ndarray) -> TilePrediction:
        count, *size = before.shape[:3]
        batch, side = min(self._batch, count), min(self._side, *size)
        scores = np.zeros((count, len(self._run.parsed.queries), *size), np.float32)
        classes = np.full((2, count, *size), CLASS_UNKNOWN, np.uint8)
        has_classes = False
        notes: dict[str, None] = {}
        rows, columns = ([*range(0, length - side, side), length - side] for length in size)
        for n, y, x in itertools.product(range(0, count, batch), rows, columns):
            part = slice(n, n + batch), slice(y, y + side), slice(x, x + side)
            found = self._answer(before[part], after[part])
            scores[part[0], :, part[1], part[2]] = found.scores
            for target, plane in zip(classes, (found.classes_before, found.classes_after)):
                if plane is not None:
                    target[part] = plane
                    has_classes = True
            notes.update(dict.fromkeys(found.notes))
        maps = classes if has_classes else (None, None)
        return TilePrediction(scores, maps[0], maps[1], tuple(notes))

    def _answer(self, before: np.ndarray, after: np.ndarray) -> TilePrediction:
        """Refuse what is no score: systems from outside the package may return anything."""
        parsed = self._run.parsed
        prediction = self._system.predict(before, after, parsed.queries, parsed.hints)
        return self._checked(prediction, before.shape[:3])

    def _checked(self, prediction: TilePrediction, size: tuple[int, ...]) -> TilePrediction:
        """Return a prediction for tiles (B, H, W) if its scores can be such."""
        expected = (size[0], len(self._run.parsed.queries), *size[1:])
        scores = getattr(prediction, "scores", None)
        if not isinstance(scores, np.ndarray):
            found = type(scores).__name__
        elif scores.shape != expected:
            found = f"the shape {scores.shape}"
        elif not np.isfinite(scores).all():
            found = "values that are not numbers"
        else:
            return prediction
        name = self._run.system.name
        raise ChangeScribeError(DetectTexts.wrong_scores(name=name, found=found, expected=expected))


def _joined(planes: Sequence[Optional[np.ndarray]]) -> Optional[np.ndarray]:
    """Return the classes of tiles as one array; None if any has none."""
    known = [plane for plane in planes if plane is not None]
    return np.concatenate(known) if len(known) == len(planes) else None
