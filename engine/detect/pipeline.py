# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to a result.

``parse -> common grid -> open -> score tiles -> mask -> regions -> captions -> files``. The dock,
the Processing algorithms and the command line all call :func:`detect`.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

from .. import prompt
from ..classes import class_of
from ..errors import CancelledError, InputError, raise_out_of_memory
from ..hosts.routing import shared_host
from ..memory import BrokenEntryError
from ..raster.dates import is_iso_date, reversed_dates
from ..raster.radiometry import joint_stretch
from ..request import (
    ALIGN_MODES,
    CLOUD_MODES,
    DEVICES,
    NODATA_AUTO,
    NODATA_MODES,
    OUTLINE_MODES,
    Stage,
)
from ..results.outputs import RunOutputs
from .collars import hide_collars
from .comparable import aligned, deep_shadow, leave_out
from .outlining import outline
from .rasters import Pair, area_on, grid_for, open_rasters
from .remembering import Keeping, Recalled, Seen, memory_for
from .resources import check_resources
from .resume import Unfinished, permitted
from .run import Monitor, Run
from .scoring import hints_for, score_tiles, tile_plan
from .texts import DetectTexts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..hosts.base import Host
    from ..raster.common_grid import CommonGrid
    from ..raster.reader import RasterSource
    from ..request import (
        CancelledCallback,
        ChangeRequest,
        ChangeResult,
        ParsedPrompt,
        ProgressCallback,
    )
    from ..systems.base import OpenedSystem, SystemInfo
    from .run import ScoreRasters

    Dates = tuple[Optional[str], Optional[str]]

#: Fields of a request that are one of a few words.
_CHOICES = {
    "nodata": NODATA_MODES,
    "device": DEVICES,
    "clouds": CLOUD_MODES,
    "align": ALIGN_MODES,
    "outlines": OUTLINE_MODES,
}


def detect(
    request: ChangeRequest,
    host: Optional[Host] = None,
    progress: Optional[ProgressCallback] = None,
    cancelled: Optional[CancelledCallback] = None,
) -> ChangeResult:
    """Find the changes that a prompt asks for, and write them.

    Args:
        request: what to do.
        host: where the system runs; None is the shared host of this process.
        progress: called a few times per second at most.
        cancelled: called between tiles; True stops the run, and the finished part becomes a partial
            result. Once all tiles are done, a run cannot be cancelled, but ``progress`` may raise
            CancelledError before the stage DONE: then nothing is written.

    Raises:
        InputError: the request cannot be carried out as given.
        DependencyError: a package is missing.
        WeightsError: weights are missing or damaged.
        OutputError: a result could not be written; nothing is left behind.
        OutOfMemoryError: memory does not suffice for a single tile.
        CancelledError: cancelled before anything was finished.
    """
    host = host or shared_host()
    cancelled = cancelled or (lambda: False)
    _check(request)
    request = permitted(request)
    try:
        return _detect(request, host, Monitor(progress), cancelled)
    except BrokenEntryError:  # which is forgotten
        return _detect(request, host, Monitor(progress), cancelled)


def _detect(
    request: ChangeRequest, host: Host, monitor: Monitor, cancelled: CancelledCallback
) -> ChangeResult:
    """Carry out a request, see :func:`detect`.

    Raises:
        BrokenEntryError: the pair was remembered, but damaged.
    """
    info = host.info(request.system)
    parsed = _parse(request, info, monitor)
    outputs = RunOutputs(request)
    with (
        _memory_errors(),
        open_rasters(request) as (before, after),
        outputs,
        contextlib.ExitStack() as stack,
    ):
        with monitor.stage(Stage.READING):
            grid = grid_for(request, before, after, info.pixel_sizes)
            check_resources(grid, len(parsed.queries), outputs.folder)
            memory = None
            if request.remember and host.remembers(info.name):
                memory = memory_for(request, info, grid, before, after)
            dates = _dates(request, before, after, grid, monitor)
            if isinstance(memory, Recalled):
                pair, seen = None, memory.facts()
                monitor.warn(*seen.warnings)
            else:
                pair, seen = _look(request, before, after, grid, monitor, cancelled)
        parsed = replace(parsed, hints=hints_for(parsed, grid.pixel_size, info))
        with monitor.stage(Stage.LOADING):
            system = stack.enter_context(host.open(info.name, request.device, cancelled))
            device = system.device
            monitor.warn(*system.notes(parsed.queries, parsed.hints))
            if request.device == "cuda" and not device.upper().startswith("CUDA"):
                monitor.warn(DetectTexts.no_cuda(device=device))
        run = Run(
            request,
            info,
            device,
            parsed,
            grid,
            dates,
            outputs,
            monitor,
            cancelled,
            seen.alignment,
            [source.states for source in (before, after)],
            memory,
        )
        with monitor.stage(Stage.DETECTING):
            kept = stack.enter_context(Unfinished(request.output))
            scores = _score(run, pair, system, kept)
            if not scores.complete:
                monitor.warn(DetectTexts.can_resume())
        changed = [source for source in (before, after) if source.changed]
        monitor.warn(*(DetectTexts.raster_changed(name=source.name) for source in changed))
        if isinstance(memory, Keeping):
            if scores.complete and not changed:
                memory.finish(len(tile_plan(run)), seen, request)
            memory.drop()
        with monitor.stage(Stage.OUTLINING):
            result = outline(run, scores)
        with monitor.stage(Stage.WRITING):
            outputs.commit()
            if scores.complete:
                kept.remove()
            else:
                kept.keep_partial((outputs.gpkg, outputs.mask, outputs.score))
    monitor.report(Stage.DONE)
    timings = {**monitor.timings_s, "total": monitor.seconds}
    recalled = isinstance(memory, Recalled)
    return replace(result, timings_s=timings, hidden=dict(seen.hidden), remembered=recalled)


def _score(run: Run, pair: Optional[Pair], system: OpenedSystem, kept: Unfinished) -> ScoreRasters:
    """Score the tiles; forget what is kept of the pair if that cannot be used."""
    try:
        return score_tiles(run, pair, system, kept)
    except BaseException as error:
        if isinstance(run.memory, Keeping):
            run.memory.drop()
        if isinstance(run.memory, Recalled) and isinstance(error, BrokenEntryError):
            run.memory.forget()
        raise


def _go_on(cancelled: CancelledCallback) -> None:
    if cancelled():
        raise CancelledError


@contextlib.contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn errors of other packages about memory into ChangeScribe's."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        raise_out_of_memory(error)
        raise


def _check(request: ChangeRequest) -> None:
    if not 0 < request.threshold < 1:
        raise InputError(DetectTexts.threshold(threshold=request.threshold))
    if request.min_area is not None and not request.min_area >= 0:
        raise InputError(DetectTexts.negative_min_area(min_area=request.min_area))
    if request.hints.competing is not None and not any(request.hints.competing):
        raise InputError(DetectTexts.no_competing())
    for date in (request.date_before, request.date_after):
        if date and not is_iso_date(date):
            raise InputError(DetectTexts.no_date(date=date))
    for option, known in _CHOICES.items():
        value = getattr(request, option)
        if value not in known:
            listed = ", ".join(known)
            raise InputError(DetectTexts.bad_choice(value=value, option=option, known=listed))


def _parse(request: ChangeRequest, system: SystemInfo, monitor: Monitor) -> ParsedPrompt:
    """Parse the prompt; add the request's hints, the system's classes and competing classes."""
    known = [(name, class_of(name)) for name in system.classes]
    plurals = [name if land_cover is None else land_cover.plural for name, land_cover in known]
    parsed = prompt.resolve(prompt.parse(request.prompt), plurals, system.directed)
    monitor.warn(*prompt.notes(parsed))
    hints = replace(request.hints, partners=parsed.hints.partners)
    if not system.competing:
        if hints.competing:
            monitor.warn(DetectTexts.competing_ignored(system=system.name))
        return replace(parsed, hints=replace(hints, competing=None))
    names = system.competing if hints.competing is None else hints.competing
    return replace(
        parsed,
        hints=replace(hints, competing=names),
        explanation=DetectTexts.competing(explanation=parsed.explanation, names=", ".join(names)),
    )


def _dates(
    request: ChangeRequest,
    before: RasterSource,
    after: RasterSource,
    grid: CommonGrid,
    monitor: Monitor,
) -> Dates:
    """Return the dates of the rasters; report what is known without reading their pixels."""
    monitor.warn(*before.notes, *after.notes, *grid.warnings)
    dates = request.date_before or before.date, request.date_after or after.date
    if reversed_dates(*dates):
        monitor.warn(DetectTexts.reversed_dates(before=dates[0], after=dates[1]))
    if request.min_area is not None and grid.output.pixel_size is None:
        monitor.warn(DetectTexts.min_area_ignored())
    return dates


def _look(
    request: ChangeRequest,
    before: RasterSource,
    after: RasterSource,
    grid: CommonGrid,
    monitor: Monitor,
    cancelled: CancelledCallback,
) -> tuple[Pair, Seen]:
    """Choose how the pixels of both rasters become 8-bit colours, and which are left out."""
    known = len(monitor.warnings)
    if request.nodata == NODATA_AUTO:
        for source in (before, after):
            monitor.warn(*hide_collars(source, grid.working, cancelled))
    area = None
    if request.area is not None:
        area = area_on(request.area, before.grid, grid.working)
    hidden = leave_out(request, before, after, grid, monitor)
    pair = Pair(before, after, *joint_stretch(before, after, grid.working), area)
    _go_on(cancelled)
    alignment, pair = aligned(request, grid, pair, monitor)
    _go_on(cancelled)
    hidden.update(deep_shadow(pair, grid.working, monitor))
    return pair, Seen(tuple(monitor.warnings[known:]), alignment, hidden)
