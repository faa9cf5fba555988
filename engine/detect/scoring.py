# SPDX-License-Identifier: GPL-3.0-or-later
"""The tile loop: two rasters and some queries become a score raster.

A reader thread fetches the next batch of tiles while the system works on the
present one. Memory is bounded by the batch and by the blender's strip of
tiles, not by the rasters.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Optional

import numpy as np

from ..errors import CancelledError
from ..raster.common_grid import much_larger, too_coarse
from ..request import MASK_NODATA, SCORE_SCALE, Progress
from ..systems.base import CLASS_UNKNOWN
from .tiling import Blender, plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..hosts.base import Host
    from ..raster.area import AreaMask
    from ..raster.grid import Grid
    from ..raster.radiometry import Stretch
    from ..raster.reader import RasterSource
    from ..raster.writer import RasterWriter
    from ..request import CancelledCallback, ParsedPrompt, ProgressCallback, Query
    from ..systems.base import SystemInfo, TilePrediction
    from .tiling import Tile, TilePlan


@dataclass(frozen=True)
class Pair:
    """The two rasters of a run, and what turns their pixels into 8-bit colours."""

    before: RasterSource
    after: RasterSource
    stretch_before: Stretch
    stretch_after: Stretch
    area: Optional[AreaMask] = None

    def read(self, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read both dates on a grid.

        Returns:
            before and after, (H, W, 3) uint8, and where both are valid, (H, W) bool.
        """
        before, valid_before = self.before.read(grid)
        after, valid_after = self.after.read(grid)
        valid = valid_before & valid_after
        if self.area is not None:
            valid &= self.area.on(grid)
        # Where one date is missing nothing may look like change.
        colours = [
            stretch.apply(array) * valid[..., None]
            for stretch, array in ((self.stretch_before, before), (self.stretch_after, after))
        ]
        return colours[0], colours[1], valid


@dataclass(frozen=True)
class ScoreSink:
    """Where scores and classes go: writers on the working grid."""

    score: RasterWriter
    classes_before: Optional[RasterWriter] = None
    classes_after: Optional[RasterWriter] = None


@dataclass
class _Batch:
    tiles: list[Tile]
    before: np.ndarray
    after: np.ndarray
    valid: np.ndarray


class TileLoop:
    """Runs a system over all tiles of a grid.

    Args:
        pair: the rasters; used by the reader thread alone while the loop runs.
        grid: the working grid.
        host: runs the system.
        info: of the system.
        queries: what to look for.
        progress: told after every batch.
        cancelled: asked before every batch, and by the host while it waits for one.
    """

    def __init__(
        self,
        pair: Pair,
        grid: Grid,
        host: Host,
        info: SystemInfo,
        queries: Sequence[Query],
        progress: ProgressCallback,
        cancelled: CancelledCallback,
    ) -> None:
        self._pair = pair
        self._grid = grid
        self._host = host
        self._info = info
        self._queries = queries
        self._progress = progress
        self._cancelled = cancelled
        self._plan: TilePlan = plan(
            grid.width, grid.height, info.tile_size, info.overlap, largest=info.largest_tile
        )
        self._written = False
        #: Whether the system tells the class of the ground on both dates.
        self.has_classes = False
        self._notes: dict[str, None] = {}
        # The last plane blends the validity with the weights of the scores.
        self._blender = Blender(self._plan, len(queries) + 1)

    def run(self, sink: ScoreSink) -> bool:
        """Write the scores of all tiles.

        Returns:
            True if all tiles were done, False if the run was cancelled and part of them is
            written.

        Raises:
            CancelledError: before a row of tiles was finished, so that there is nothing to keep.
        """
        done = 0
        start = time.monotonic()
        self._report(0, None)
        with ThreadPoolExecutor(1, thread_name_prefix="changescribe-reader") as reader:
            for batch in self._batches(reader):
                if self._cancelled():
                    return self._stop()
                try:
                    self._do(batch, sink)
                except CancelledError:  # the host did not wait for the batch
                    return self._stop()
                done += len(batch.tiles)
                left = (time.monotonic() - start) / done * (len(self._plan) - done)
                self._report(done, left)
        return True

    @property
    def notes(self) -> tuple[str, ...]:
        """What the host and the system had to say of the batches, each once."""
        return tuple(self._notes)

    def _stop(self) -> bool:
        if not self._written:
            raise CancelledError
        return False

    def _report(self, done: int, left: Optional[float]) -> None:
        total = len(self._plan)
        self._progress(
            Progress("detecting", done / total, min(done + 1, total), total, seconds_left=left)
        )

    def _batches(self, reader: ThreadPoolExecutor) -> Iterator[_Batch]:
        tiles = iter(self._plan)
        ahead = reader.submit(self._read, list(islice(tiles, self._info.batch_size)))
        while True:
            batch = ahead.result()
            if not batch.tiles:
                return
            ahead = reader.submit(self._read, list(islice(tiles, self._info.batch_size)))
            yield batch

    def _read(self, tiles: list[Tile]) -> _Batch:
        size = self._plan.tile_size
        before = np.zeros((len(tiles), size, size, 3), np.uint8)
        after = np.zeros_like(before)
        valid = np.zeros((len(tiles), size, size), bool)
        for i, tile in enumerate(tiles):
            window = self._grid.window(tile.x, tile.y, tile.width, tile.height)
            before[i], after[i], valid[i] = self._pair.read(window)
        return _Batch(tiles, before, after, valid)

    def _do(self, batch: _Batch, sink: ScoreSink) -> None:
        asked = np.flatnonzero(batch.valid.any(axis=(1, 2)))
        prediction: Optional[TilePrediction] = None
        if asked.size:
            prediction = self._host.predict(
                self._info.name,
                batch.before[asked],
                batch.after[asked],
                self._queries,
                self._cancelled,
            )
            self._notes.update(dict.fromkeys(prediction.notes))
        row_of = {int(tile): row for row, tile in enumerate(asked)}
        for i, tile in enumerate(batch.tiles):
            row = row_of.get(i)
            planes = None
            if prediction is not None and row is not None:
                valid = batch.valid[i]
                planes = np.concatenate([prediction.scores[row] * valid, valid[None]])
                self._write_classes(tile, prediction, row, valid, sink)
            for block in self._blender.add(tile, planes):
                sink.score.write(block.x, block.y, _to_bytes(block.array))
                self._written = True

    def _write_classes(
        self, tile: Tile, prediction: TilePrediction, row: int, valid: np.ndarray, sink: ScoreSink
    ) -> None:
        core = self._plan.core(tile)
        if core is None:
            return
        x0, y0, x1, y1 = core
        inside = np.s_[y0 - tile.y : y1 - tile.y, x0 - tile.x : x1 - tile.x]
        for classes, writer in (
            (prediction.classes_before, sink.classes_before),
            (prediction.classes_after, sink.classes_after),
        ):
            if classes is not None and writer is not None:
                self.has_classes = True
                known = np.where(valid, classes[row], CLASS_UNKNOWN).astype(np.uint8)
                writer.write(x0, y0, known[inside][None])


def queries_for(
    parsed: ParsedPrompt, pixel_size: Optional[float], info: SystemInfo, *, sharp: bool = False
) -> tuple[Query, ...]:
    """Return the queries of a prompt, marked where objects cannot be known by their shape.

    A question for a class is taken to be about an image that shows it where nobody knows the size
    of the pixels, and where they can still be magnified. A question for any change at all is not,
    unless it is asked about images that are said to be sharp.

    Args:
        parsed: the prompt, resolved.
        pixel_size: of BEFORE, in metres; None where it is not known.
        info: of the system.
        sharp: pixels of unknown size are not coarse.
    """
    if pixel_size is None:
        coarse = parsed.anything and not sharp
    else:
        limit = much_larger if parsed.anything else too_coarse
        coarse = limit(pixel_size, info.pixel_sizes)
    return tuple(replace(query, coarse=coarse) for query in parsed.queries)


def _to_bytes(planes: np.ndarray) -> np.ndarray:
    """Turn blended scores and validity, (Q + 1, h, w), into (Q, h, w) uint8 of the contract.

    A pixel is valid in every tile that covers it or in none, so the blended validity is 0 or 1
    up to rounding, and the scores need no division by it.
    """
    scores, valid = planes[:-1], planes[-1] > 0.5
    values = np.clip(np.rint(scores * SCORE_SCALE), 0, SCORE_SCALE).astype(np.uint8)
    return np.where(valid, values, np.uint8(MASK_NODATA))
