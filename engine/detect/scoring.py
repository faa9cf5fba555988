# SPDX-License-Identifier: GPL-3.0-or-later
"""From tiles to score rasters: read, predict, blend, write.

A reader thread fetches the next batch of tiles while the system works on the current one. Memory
is bounded by the batch and by the blender's strip of tiles, not by the rasters.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Optional, Union

import numpy as np

from ..errors import CancelledError
from ..raster.common_grid import much_larger, too_coarse
from ..raster.writer import RasterWriter, warp_to
from ..regions import ClassMaps
from ..request import MASK_NODATA, SCORE_SCALE, Stage
from ..systems.base import CLASS_UNKNOWN
from .placing import ClassPlacer, ScorePlacer, axes
from .remembering import Keeping, Recalled
from .resources import Batch, Predictor
from .run import Run, ScoreRasters
from .tiling import Blender, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..raster.grid import Grid
    from ..request import Hints, ParsedPrompt, Query
    from ..systems.base import OpenedSystem, SystemInfo, TilePrediction
    from .rasters import Pair
    from .resume import Block, Unfinished
    from .tiling import Tile, TilePlan

    #: What takes blocks of the working grid: column, row, (bands, h, w).
    _Sink = Union[RasterWriter, ScorePlacer, ClassPlacer]

_CLASSES = ("classes_before", "classes_after")


@dataclass(frozen=True)
class _Answer:
    """A system's answer for one tile.

    Attributes:
        planes: (Q + 1, H, W) float32, scores and validity; None without valid pixels.
        classes: (H, W) uint8 for each date; None if the system reports none.
    """

    tile: Tile
    planes: Optional[np.ndarray] = None
    classes: tuple[Optional[np.ndarray], ...] = (None, None)


def score_tiles(
    run: Run, pair: Optional[Pair], system: OpenedSystem, kept: Unfinished
) -> ScoreRasters:
    """Score all tiles on the working grid, and bring the rasters to the output grid.

    What ``kept`` has of an unfinished run is not computed again.

    Raises:
        CancelledError: cancelled before a row of tiles was finished: there is nothing to keep.
    """
    working, output, work = run.grid.working, run.grid.output, run.outputs.work
    parallel = None if working == output else axes(working, output)
    warped = working != output and parallel is None
    prefix, grid = ("working_", working) if warped else ("", output)
    with contextlib.ExitStack() as stack:
        path = work(f"{prefix}score.tif")
        score = stack.enter_context(score_writer(run, path, grid, run.parsed.queries))
        classes = [
            stack.enter_context(_class_writer(run, work(f"{prefix}{name}.tif"), grid))
            for name in _CLASSES
        ]
        sinks: tuple[_Sink, list[_Sink]] = (score, [*classes])
        if parallel is not None:
            sinks = (
                ScorePlacer(*parallel, working.height, score),
                [ClassPlacer(*parallel, writer) for writer in classes],
            )
        complete, has_classes = _fill(run, pair, system, kept, *sinks)
        for writer in (score, *classes):
            writer.commit()
    if warped:
        _to_output_grid(run, ("score", *_CLASSES) if has_classes else ("score",))
    maps = ClassMaps(work("classes_before.tif"), work("classes_after.tif"), run.system.classes)
    return ScoreRasters(work("score.tif"), output, maps if has_classes else None, complete)


def tile_plan(run: Run) -> TilePlan:
    """Return the tiles of a run."""
    grid, info = run.grid.working, run.system
    return plan(grid.width, grid.height, info.tile_size, info.overlap, largest=info.largest_tile)


def score_writer(run: Run, path: str, grid: Grid, queries: Sequence[Query]) -> RasterWriter:
    """Return a writer of a score raster (output contract)."""
    return RasterWriter(
        path,
        grid,
        bands=len(queries),
        nodata=MASK_NODATA,
        descriptions=[str(query) for query in queries],
        scale=1 / SCORE_SCALE,
        shown_as=str(run.outputs.score),
    )


def hints_for(parsed: ParsedPrompt, pixel_size: Optional[float], info: SystemInfo) -> Hints:
    """Return the hints of a prompt, with ``coarse`` set if pixels hide the shape of objects.

    A prompt that names objects is taken to be about an image that shows them, as long as its
    pixels can be magnified or have no known size. "Anything changed" is not, unless the image is
    ``sharp``.
    """
    if pixel_size is None:
        coarse = parsed.anything and not parsed.hints.sharp
    else:
        limit = much_larger if parsed.anything else too_coarse
        coarse = limit(pixel_size, info.pixel_sizes)
    return replace(parsed.hints, coarse=coarse)


def _class_writer(run: Run, path: str, grid: Grid) -> RasterWriter:
    shown_as = str(run.outputs.score)
    return RasterWriter(path, grid, nodata=CLASS_UNKNOWN, shown_as=shown_as)


def _fill(
    run: Run,
    pair: Optional[Pair],
    system: OpenedSystem,
    kept: Unfinished,
    score: _Sink,
    classes: Sequence[_Sink],
) -> tuple[bool, bool]:
    """Write the system's answers; return if all tiles are written, and if there are classes."""
    grid, info = run.grid.working, run.system
    tiles = tile_plan(run)
    kept.open(run, tiles)
    if kept.rows and isinstance(run.memory, Keeping):
        run.memory.drop()  # the tiles of finished rows are not encoded again
    sinks, has_classes = (score, *classes), False
    for kind, x, y, array in kept.blocks():
        sinks[kind].write(x, y, array)
        has_classes |= kind > 0
    # Batches have the tiles that they would have had.
    done = tiles.first_for(kept.rows) // info.batch_size * info.batch_size
    # The last plane blends validity with the weights of the scores.
    blender = Blender(tiles, len(run.parsed.queries) + 1, done)
    row: list[Block] = []
    with ThreadPoolExecutor(2, thread_name_prefix="changescribe-reader") as reader:
        if isinstance(run.memory, Recalled):
            batches = _recall_ahead(reader, run.memory, tiles, done)
        elif pair is None:
            raise ValueError("neither rasters nor a memory of them")
        else:
            batches = _read_ahead(reader, pair, grid, tiles, done, info.batch_size)
        for answer in _answers(run, system, tiles, done, batches):
            if is_open := tiles.row_number(answer.tile) >= kept.rows:
                row += _cores(tiles, answer)
            for block in blender.add(answer.tile, answer.planes):
                if is_open:
                    row.append((0, block.x, block.y, _to_bytes(block.array)))
                    for kind, x, y, array in row:
                        sinks[kind].write(x, y, array)
                        has_classes |= kind > 0
                    kept.add(row)
                    row = []
            done += 1
    if done < len(tiles) and not kept.rows:
        raise CancelledError
    return done == len(tiles), has_classes


def _read_ahead(
    reader: ThreadPoolExecutor, pair: Pair, grid: Grid, tiles: TilePlan, first: int, size: int
) -> Iterator[Batch]:
    """Yield batches of tiles from a number on, each while the next one is being read."""
    row: Optional[tuple[int, int]] = None

    def read(batch: list[Tile]) -> Batch:
        nonlocal row
        if batch and (batch[0].panel, batch[0].row) != row:
            # The tiles of a row share blocks. Without this, memory grows with the raster.
            row = batch[0].panel, batch[0].row
            pair.free_cache()
        side = tiles.tile_size
        before = np.zeros((len(batch), side, side, 3), np.uint8)
        after = np.zeros_like(before)
        valid = np.zeros((len(batch), side, side), bool)
        for i, tile in enumerate(batch):
            window = grid.window(tile.x, tile.y, tile.width, tile.height)
            before[i], after[i], valid[i] = pair.read(window, reader)
        return Batch(batch, valid, before, after)

    return _ahead(reader, read, tiles, first, size)


def _recall_ahead(
    reader: ThreadPoolExecutor, pair: Recalled, tiles: TilePlan, first: int
) -> Iterator[Batch]:
    """Yield remembered tiles one by one, each while the next one is being read."""
    numbers = itertools.count(first)
    pair.check(tiles)
    no_dates = np.zeros((1, 0, 0, 3), np.uint8)

    def read(batch: list[Tile]) -> Batch:
        kept = [pair.read(next(numbers), tile) for tile in batch]
        valid = np.array([where for _, where in kept])
        return Batch(batch, valid, no_dates, no_dates, [features for features, _ in kept])

    return _ahead(reader, read, tiles, first, 1)


def _ahead(
    reader: ThreadPoolExecutor,
    read: Callable[[list[Tile]], Batch],
    tiles: TilePlan,
    first: int,
    size: int,
) -> Iterator[Batch]:
    """Yield what is read of batches of tiles, each while the next one is being read."""
    left = islice(tiles, first, None)
    ahead = reader.submit(read, list(islice(left, size)))
    while (batch := ahead.result()).tiles:
        ahead = reader.submit(read, list(islice(left, size)))
        yield batch


def _answers(
    run: Run, system: OpenedSystem, tiles: TilePlan, first: int, batches: Iterator[Batch]
) -> Iterator[_Answer]:
    """Yield the system's answers, tile by tile, until the run is cancelled."""
    predictor = Predictor(run, system)
    done, total, start = first, len(tiles), time.monotonic()
    run.monitor.report(Stage.DETECTING, done / total, min(done + 1, total), total)
    for batch in batches:
        if run.cancelled():
            return
        some = np.any(batch.valid, axis=(1, 2))
        prediction = None
        if some.any():
            try:
                if run.memory is None:
                    prediction = predictor.predict(batch.before[some], batch.after[some])
                else:
                    prediction = predictor.remember(run.memory, batch, some, done)
            except CancelledError:  # the host stopped waiting for the batch
                return
            run.monitor.warn(*prediction.notes)
        for tile, valid, known, row in zip(batch.tiles, batch.valid, some, some.cumsum() - 1):
            if prediction is None or not known:
                yield _Answer(tile)
            else:
                yield _answer(tile, valid, prediction, row)
        done += len(batch.tiles)
        left = (time.monotonic() - start) / (done - first) * (total - done)
        run.monitor.report(Stage.DETECTING, done / total, min(done + 1, total), total, left)


def _answer(tile: Tile, valid: np.ndarray, prediction: TilePrediction, row: int) -> _Answer:
    planes = np.concatenate([prediction.scores[row] * valid, valid[None]])
    classes = (
        None if plane is None else np.where(valid, plane[row], CLASS_UNKNOWN).astype(np.uint8)
        for plane in (prediction.classes_before, prediction.classes_after)
    )
    return _Answer(tile, planes, tuple(classes))


def _cores(tiles: TilePlan, answer: _Answer) -> Iterator[Block]:
    """Yield the classes of the pixels assigned to a tile alone, if there are any."""
    tile, core = answer.tile, tiles.core(answer.tile)
    for kind, plane in enumerate(answer.classes, start=1):
        if plane is not None and core is not None:
            x0, y0, x1, y1 = core
            rows, columns = slice(y0 - tile.y, y1 - tile.y), slice(x0 - tile.x, x1 - tile.x)
            yield kind, x0, y0, plane[None, rows, columns]


def _to_bytes(planes: np.ndarray) -> np.ndarray:
    """Turn blended scores and validity, (Q + 1, h, w), into (Q, h, w) uint8 (output contract).

    A pixel is valid in all tiles that cover it or in none, so the blended validity is 0 or 1 up
    to rounding, and scores are not divided by it.
    """
    scores, valid = planes[:-1], planes[-1] > 0.5
    values = np.clip(np.rint(scores * SCORE_SCALE), 0, SCORE_SCALE).astype(np.uint8)
    return np.where(valid, values, np.uint8(MASK_NODATA))


def _to_output_grid(run: Run, names: Sequence[str]) -> None:
    """Warp rasters of the working grid: scores are interpolated, classes are not."""
    for number, name in enumerate(names):

        def report(fraction: float, number: int = number) -> bool:
            run.monitor.report(Stage.RESAMPLING, (number + fraction) / len(names))
            return True

        warp_to(
            run.outputs.work(f"working_{name}.tif"),
            run.grid.output,
            run.outputs.work(f"{name}.tif"),
            "bilinear" if name == "score" else "nearest",
            report,
            shown_as=str(run.outputs.score),
        )
