# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way from a request to a result.

``prompt.parse -> common_grid -> tiles: read | predict | blend | write -> mask ->
regions -> captions``. The dock, the Processing algorithms and the command line
all call :func:`detect`.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable, Optional

from .. import prompt
from ..classes import class_of
from ..errors import InputError
from ..hosts.base import Host
from ..hosts.routing import shared_host
from ..raster.area import AreaMask
from ..raster.common_grid import common_grid
from ..raster.dates import is_iso_date, reversed_dates
from ..raster.radiometry import joint_stretch
from ..raster.reader import RasterSource
from ..raster.writer import RasterWriter, warp_to
from ..regions import ClassMaps, Components, build_mask, extract
from ..regions.exchange import bind
from ..regions.sieve import MIN_LENGTH_M, min_area_used
from ..request import (
    DEVICES,
    MASK_NODATA,
    SCORE_SCALE,
    ChangeResult,
    Extent,
    ParsedPrompt,
    Progress,
)
from ..results.changes_layer import ChangesWriter, RunInfo, layer_crs
from ..results.outputs import RunOutputs
from ..systems.base import CLASS_UNKNOWN
from .scoring import Pair, ScoreSink, TileLoop, queries_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..raster.common_grid import CommonGrid
    from ..raster.grid import Grid
    from ..regions import MaskSummary
    from ..request import Area, CancelledCallback, ChangeRequest, ProgressCallback, Query
    from ..results.changes_layer import WrittenChanges
    from ..systems.base import SystemInfo

#: Colours of the mask (red, green, blue, alpha), safe for colour-blind readers; unchanged
#: ground is transparent.
MASK_COLOURS = {
    0: (0, 0, 0, 0),
    1: (0x00, 0x72, 0xB2, 255),
    2: (0xD5, 0x5E, 0x00, 255),
    3: (0xCC, 0x79, 0xA7, 255),
}
#: Part of a run's time, from and to, that each stage is counted as.
_STAGES = {
    "reading": (0.0, 0.02),
    "loading": (0.02, 0.03),
    "detecting": (0.03, 0.85),
    "resampling": (0.85, 0.9),
    "outlining": (0.9, 0.98),
    "writing": (0.98, 1.0),
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
        host: where the system runs; None is the one that this process shares.
        progress: told several times a second at most.
        cancelled: asked between tiles; True stops the run, keeps what is finished and marks it
            partial. Once all tiles are done the run is brought to its end.

    Returns:
        Paths of the files, the regions and the captions.

    Raises:
        InputError: the request cannot be carried out as given.
        DependencyError: a package is missing.
        WeightsError: weights are missing or damaged.
        OutputError: a result could not be written; nothing is left behind.
        CancelledError: cancelled before anything was finished.
    """
    run = _Run(
        request, host or shared_host(), progress or (lambda _: None), cancelled or (lambda: False)
    )
    return run.run()


@dataclass(frozen=True)
class _Scored:
    """Rasters on the output grid, whether all tiles are in them, and whether classes are."""

    score: str
    classes_before: str
    classes_after: str
    complete: bool
    has_classes: bool


class _Run:
    """One detection. Holds what its stages share."""

    def __init__(
        self,
        request: ChangeRequest,
        host: Host,
        progress: ProgressCallback,
        cancelled: CancelledCallback,
    ) -> None:
        self._request = request
        self._host = host
        self._progress = progress
        self._cancelled = cancelled
        self._started = time.monotonic()
        self._timings: dict[str, float] = {}
        self._warnings: list[str] = []

    def run(self) -> ChangeResult:
        """Go through the stages."""
        request = self._request
        _check(request)
        info = self._host.info(request.system)
        parsed = prompt.resolve(prompt.parse(request.prompt), _plurals(info.classes), info.directed)
        self._warnings += prompt.notes(parsed)
        parsed = self._against(parsed, info)
        outputs = RunOutputs(request)
        with (
            RasterSource.open(request.before, request.bands_before, request.crs_before) as before,
            RasterSource.open(request.after, request.bands_after, request.crs_after) as after,
            outputs,
            Components(str(outputs.folder), str(outputs.mask)) as found,
        ):
            with self._stage("reading"):
                grid, pair = self._prepare(before, after, info)
            with self._stage("loading"):
                device = self._host.load(info.name, request.device, self._cancelled)
                self._warnings += self._host.notes(info.name, parsed.queries, self._cancelled)
                if request.device == "cuda" and not device.upper().startswith("CUDA"):
                    self._warnings.append(f"The graphics card was not used: {device}.")
            with self._stage("detecting"):
                scored = self._score(grid, pair, info, parsed, outputs)
            parsed, unknown = bind(parsed, info.classes if scored.has_classes else ())
            self._warnings += unknown
            run = self._run_info(before, after, grid, info, parsed)
            with self._stage("outlining"):
                summary = self._mask(scored, grid.output, parsed, info, outputs, found)
                written = self._regions(
                    scored, grid.output, summary, run, device, info, outputs, found
                )
            with self._stage("writing"):
                outputs.commit()
        self._progress(Progress("done", 1.0))
        return self._result(run, summary, written, device, scored, outputs)

    def _against(self, parsed: ParsedPrompt, info: SystemInfo) -> ParsedPrompt:
        """Give the queries their competing classes, where the system has such a list."""
        wanted = self._request.competing
        if not info.competing:
            if wanted:
                self._warnings.append(f'The system "{info.name}" has no use for competing classes.')
            return parsed
        names = info.competing if wanted is None else wanted
        return replace(
            parsed,
            queries=tuple(replace(query, competing=names) for query in parsed.queries),
            explanation=f"{parsed.explanation}; told apart from: {', '.join(names)}",
        )

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        self._tell(name, 0.0)
        yield
        self._timings[name] = round(time.monotonic() - start, 3)

    def _tell(self, stage: str, fraction: float) -> None:
        begin, end = _STAGES[stage]
        self._progress(Progress(stage, begin + fraction * (end - begin)))

    def _tell_tiles(self, tiles: Progress) -> None:
        begin, end = _STAGES["detecting"]
        left = None
        if tiles.seconds_left is not None:
            # What follows the tiles takes about a tenth of the time.
            left = tiles.seconds_left * (1.0 + (1.0 - end))
        fraction = begin + tiles.fraction * (end - begin)
        self._progress(Progress(tiles.stage, fraction, tiles.tile, tiles.tiles, left))

    def _warping(self, number: int) -> Callable[[float], bool]:
        """Return what is told of the warp of one of the three rasters."""

        def tell(fraction: float) -> bool:
            self._tell("resampling", (number + fraction) / 3)
            return True

        return tell

    def _prepare(
        self, before: RasterSource, after: RasterSource, info: SystemInfo
    ) -> tuple[CommonGrid, Pair]:
        request = self._request
        extent, area = request.extent, None
        if request.area is not None and extent is None:
            extent = Extent(*AreaMask(request.area, before.grid).envelope)
        grid = common_grid(before, after, extent, info.pixel_sizes, request.pixel_size)
        if request.area is not None:
            area = _area_on(request.area, before.grid, grid.working)
        self._warnings += grid.warnings
        if _full_path(request.before) == _full_path(request.after):
            self._warnings.append("Both dates are the same raster.")
        dates = self._dates(before, after)
        if reversed_dates(*dates):
            self._warnings.append(
                f"The dates seem to be reversed: before is {dates[0]}, after is {dates[1]}."
            )
        if request.min_area is not None and grid.output.pixel_size is None:
            self._warnings.append(
                "The minimum area in square metres is not used: without a coordinate reference "
                "system areas are in pixels, whatever pixel size is told."
            )
        stretches = joint_stretch(before, after, grid.working)
        return grid, Pair(before, after, *stretches, area)

    def _dates(
        self, before: RasterSource, after: RasterSource
    ) -> tuple[Optional[str], Optional[str]]:
        request = self._request
        return request.date_before or before.date, request.date_after or after.date

    def _score(
        self,
        grid: CommonGrid,
        pair: Pair,
        info: SystemInfo,
        parsed: ParsedPrompt,
        outputs: RunOutputs,
    ) -> _Scored:
        """Run the tiles on the working grid; bring the results to the output grid."""
        queries = queries_for(parsed, grid.pixel_size, info, sharp=self._request.sharp)
        same = grid.working == grid.output
        folder = "" if same else "working_"
        names = {
            key: outputs.work(f"{folder}{key}.tif")
            for key in ("score", "classes_before", "classes_after")
        }
        shown_as = str(outputs.score)
        with contextlib.ExitStack() as stack:
            writers = {
                key: stack.enter_context(
                    RasterWriter(path, grid.working, nodata=CLASS_UNKNOWN, shown_as=shown_as)
                    if key != "score"
                    else _score_writer(path, grid.working, queries, shown_as)
                )
                for key, path in names.items()
            }
            loop = TileLoop(
                pair, grid.working, self._host, info, queries, self._tell_tiles, self._cancelled
            )
            complete = loop.run(ScoreSink(**writers))
            self._warnings += loop.notes
            for writer in writers.values():
                writer.commit()
        if not same:
            for number, (key, path) in enumerate(names.items()):
                names[key] = outputs.work(f"{key}.tif")
                resample = "bilinear" if key == "score" else "nearest"
                warp_to(
                    path,
                    grid.output,
                    names[key],
                    resample,
                    self._warping(number),
                    shown_as=shown_as,
                )
        return _Scored(**names, complete=complete, has_classes=loop.has_classes)

    def _mask(
        self,
        scored: _Scored,
        grid: Grid,
        parsed: ParsedPrompt,
        info: SystemInfo,
        outputs: RunOutputs,
        components: Components,
    ) -> MaskSummary:
        """Write the mask; of an exchange also the scores anew, without what does not fit."""
        with contextlib.ExitStack() as stack:
            writer = stack.enter_context(
                RasterWriter(
                    outputs.work("mask.tif"),
                    grid,
                    nodata=MASK_NODATA,
                    colours=MASK_COLOURS,
                    shown_as=str(outputs.mask),
                )
            )
            classes = ClassMaps(scored.classes_before, scored.classes_after, info.classes)
            fitting = None
            if any(query.partners for query in parsed.queries):
                fitting = stack.enter_context(
                    _score_writer(scored.score, grid, parsed.queries, str(outputs.score))
                )
            summary = build_mask(
                scored.score,
                writer,
                grid,
                parsed.queries,
                components,
                threshold=self._request.threshold,
                min_area=self._request.min_area,
                classes=classes,
                fitting=fitting,
                progress=lambda fraction: self._tell("outlining", 0.4 * fraction),
            )
            writer.commit()
            if fitting is not None:
                fitting.commit()
        if summary.narrowest > 1:
            self._warnings.append(
                f"The scores are noisy: parts of changes narrower than {summary.narrowest} pixels "
                "were left out. Raise the threshold, or say less generally what to look for."
            )
        if summary.least_px:
            self._warnings.append(
                f"There were too many changes: those of less than {summary.least_px} pixels were "
                "left out. Raise the threshold or the minimum area."
            )
        if summary.short and not summary.regions:
            self._warnings.append(
                f"Pieces shorter than {MIN_LENGTH_M:.0f} m were left out ({summary.short}). Set "
                "the minimum area to 0 to keep them."
            )
        return summary

    def _run_info(
        self,
        before: RasterSource,
        after: RasterSource,
        grid: CommonGrid,
        info: SystemInfo,
        parsed: ParsedPrompt,
    ) -> RunInfo:
        request = self._request
        dates = self._dates(before, after)
        return RunInfo(
            run_id=uuid.uuid4().hex,
            prompt=request.prompt,
            parsed=parsed,
            before=_full_path(request.before),
            after=_full_path(request.after),
            date_before=dates[0],
            date_after=dates[1],
            system=info.name,
            revision=info.revision,
            pixel_size=grid.output.pixel_size,
            told_pixel_size=None if grid.output.pixel_size else request.pixel_size,
            threshold=request.threshold,
            min_area=min_area_used(request.min_area, grid.output.pixel_size),
        )

    def _regions(
        self,
        scored: _Scored,
        grid: Grid,
        summary: MaskSummary,
        run: RunInfo,
        device: str,
        info: SystemInfo,
        outputs: RunOutputs,
        components: Components,
    ) -> WrittenChanges:
        request = self._request
        crs = layer_crs(grid.crs_wkt, request.crs)
        shapes = extract(
            components,
            grid,
            run.parsed.queries,
            class_names=info.classes,
            simplify=request.simplify,
            crs=crs if request.crs else None,
            progress=lambda fraction: self._tell("outlining", 0.4 + 0.6 * fraction),
        )
        with (
            contextlib.closing(shapes),
            ChangesWriter(
                outputs.work("changes.gpkg"), crs, run, shown_as=str(outputs.gpkg)
            ) as writer,
        ):
            written = 0
            for shape in shapes:
                writer.add(shape)
                written += 1
            if written > summary.regions:
                self._warnings.append(
                    "A change with millions of corners was cut into several; its scores are noisy."
                )
            return writer.finish(
                device=device,
                seconds=round(time.monotonic() - self._started, 3),
                area_analysed_m2=summary.area_analysed_m2,
                warnings=tuple(self._warnings),
                partial=not scored.complete,
            )

    def _result(
        self,
        run: RunInfo,
        summary: MaskSummary,
        written: WrittenChanges,
        device: str,
        scored: _Scored,
        outputs: RunOutputs,
    ) -> ChangeResult:
        self._timings["total"] = round(time.monotonic() - self._started, 3)
        return ChangeResult(
            run_id=run.run_id,
            gpkg=str(outputs.gpkg),
            mask=str(outputs.mask),
            score=str(outputs.score),
            parse=run.parsed,
            regions=written.regions,
            count=written.count,
            counts=written.counts,
            caption=written.caption,
            area_analysed_m2=summary.area_analysed_m2,
            date_before=run.date_before,
            date_after=run.date_after,
            system=run.system,
            revision=run.revision,
            device=device,
            timings_s=self._timings,
            warnings=tuple(self._warnings),
            partial=not scored.complete,
        )


def _check(request: ChangeRequest) -> None:
    if not 0 < request.threshold < 1:
        raise InputError(
            f"The threshold {request.threshold:g} is not between 0 and 1.", "0.5 is the default."
        )
    if request.min_area is not None and not request.min_area >= 0:
        raise InputError(
            f"The minimum area {request.min_area:g} is negative.", "Give it in square metres."
        )
    if request.competing is not None and not any(request.competing):
        raise InputError(
            "The list of competing classes is empty.", "Name some, or leave it to the system."
        )
    for date in (request.date_before, request.date_after):
        if date and not is_iso_date(date):
            raise InputError(f'"{date}" is not a date.', "Write it as 2019, 2019-06 or 2019-06-12.")
    if request.device not in DEVICES:
        raise InputError(
            f'There is no device "{request.device}".', f"Choose one of: {', '.join(DEVICES)}."
        )


def _plurals(names: Sequence[str]) -> list[str]:
    known = [(name, class_of(name)) for name in names]
    return [name if land_cover is None else land_cover.plural for name, land_cover in known]


def _area_on(area: Area, before: Grid, grid: Grid) -> AreaMask:
    """Return the area for a grid; an area without a CRS is in that of BEFORE."""
    return AreaMask(area if area.crs else replace(area, crs=before.crs_wkt or None), grid)


def _score_writer(path: str, grid: Grid, queries: Sequence[Query], shown_as: str) -> RasterWriter:
    return RasterWriter(
        path,
        grid,
        bands=len(queries),
        nodata=MASK_NODATA,
        descriptions=[str(query) for query in queries],
        scale=1 / SCORE_SCALE,
        shown_as=shown_as,
    )


def _full_path(path: str) -> str:
    """Return the absolute path of a file; connection strings and archives stay as they are."""
    return os.path.abspath(path) if os.path.exists(path) else path
