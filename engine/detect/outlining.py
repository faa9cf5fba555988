# SPDX-License-Identifier: GPL-3.0-or-later
"""From scores to mask, regions and captions.

:func:`outline` needs a score raster, but neither the system nor the rasters of the run: it can be
called again with another threshold.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

from ..class_rules.road import MIN_LENGTH_M
from ..errors import InputError
from ..raster.writer import RasterWriter
from ..regions import Components, Separator, bind, build_mask, extract, min_area_used
from ..request import MASK_NODATA, ChangeResult, Stage
from ..results.changes_layer import ChangesWriter, RunInfo, layer_crs
from ..results.crs import geopackage_crs
from ..results.record import to_json
from ..results.texts import ResultsTexts
from ..wording.facts import MOST_OF_AREA, format_share
from .scoring import score_writer
from .texts import DetectTexts

if TYPE_CHECKING:
    from ..regions import MaskSummary
    from ..request import ParsedPrompt
    from ..results.changes_layer import WrittenChanges
    from .run import Run, ScoreRasters

#: Colours of the mask (red, green, blue, alpha), safe for colour-blind readers; unchanged
#: ground is transparent.
MASK_COLOURS = {
    0: (0, 0, 0, 0),
    1: (0x00, 0x72, 0xB2, 255),
    2: (0xD5, 0x5E, 0x00, 255),
    3: (0xCC, 0x79, 0xA7, 255),
}


def outline(run: Run, scores: ScoreRasters) -> ChangeResult:
    """Write mask and regions with captions into the run's working folder.

    ``threshold``, ``min_area``, ``simplify`` and ``crs`` of the run's request decide. The score
    raster is not modified, unless it lies in the working folder. The result has the final paths.

    Raises:
        InputError: a raster does not fit, or ``crs`` is not a CRS.
        OutputError: a file could not be written.
    """
    parsed, unknown = bind(run.parsed, scores.classes.names if scores.classes else ())
    run.monitor.warn(*unknown)
    info = _run_info(run, parsed)
    with Components(str(run.outputs.folder), str(run.outputs.mask)) as components:
        summary = _write_mask(run, scores, parsed, components)
        share = _share(run, scores, summary)
        written = _write_regions(run, scores, summary, share, info, components)
    return ChangeResult(
        run_id=info.run_id,
        gpkg=str(run.outputs.gpkg),
        mask=str(run.outputs.mask),
        score=str(run.outputs.score),
        parse=parsed,
        regions=written.regions,
        count=written.count,
        counts=written.counts,
        caption=written.caption,
        area_analysed_m2=summary.area_analysed_m2,
        share_analysed=share,
        date_before=info.date_before,
        date_after=info.date_after,
        system=info.system,
        revision=info.revision,
        device=run.device,
        warnings=tuple(run.monitor.warnings),
        partial=not scores.complete,
        alignment=run.alignment,
    )


def _write_mask(
    run: Run, scores: ScoreRasters, parsed: ParsedPrompt, components: Components
) -> MaskSummary:
    """Write the mask; for "X replaced by Y" also new scores, 0 in the regions left out."""
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(
            RasterWriter(
                run.outputs.work("mask.tif"),
                scores.grid,
                nodata=MASK_NODATA,
                colours=MASK_COLOURS,
                shown_as=str(run.outputs.mask),
            )
        )
        fitting = None
        if parsed.hints.partners:
            path = run.outputs.work("score.tif")
            fitting = stack.enter_context(score_writer(run, path, scores.grid, parsed.queries))
        summary = build_mask(
            scores.score,
            writer,
            scores.grid,
            parsed.queries,
            components,
            threshold=run.request.threshold,
            min_area=run.request.min_area,
            partners=parsed.hints.partners,
            classes=scores.classes,
            fitting=fitting,
            progress=lambda fraction: run.monitor.report(Stage.OUTLINING, 0.4 * fraction),
        )
        writer.commit()
        if fitting is not None:
            fitting.commit()
    if summary.narrowest > 1:
        run.monitor.warn(DetectTexts.noisy(pixels=summary.narrowest))
    if summary.least_px:
        run.monitor.warn(DetectTexts.too_many(pixels=summary.least_px))
    if summary.short and not summary.regions:
        run.monitor.warn(DetectTexts.too_short(metres=MIN_LENGTH_M, count=summary.short))
    return summary


def _share(run: Run, scores: ScoreRasters, summary: MaskSummary) -> Optional[float]:
    """Return the share of the requested area that was analysed; warn if it is small.

    Raises:
        InputError: nothing was analysed.
    """
    if not summary.valid_px and scores.complete:
        raise InputError(DetectTexts.nothing_valid())
    requested = run.grid.requested_px
    if not requested:
        return None
    share = min(1.0, summary.valid_px / requested)
    if share < MOST_OF_AREA and scores.complete:
        run.monitor.warn(DetectTexts.part_analysed(share=format_share(share)))
    return share


def _write_regions(
    run: Run,
    scores: ScoreRasters,
    summary: MaskSummary,
    share: Optional[float],
    info: RunInfo,
    components: Components,
) -> WrittenChanges:
    """Write the GeoPackage: regions with captions, and the row of the run."""
    crs = layer_crs(scores.grid.crs_wkt, run.request.crs)
    crs, replaced = geopackage_crs(crs, scores.grid)
    if replaced:
        run.monitor.warn(ResultsTexts.crs_not_storable())
    separator = Separator(scores.score, scores.grid, info.parsed.queries, scores.classes)
    shapes = extract(
        components,
        scores.grid,
        info.parsed.queries,
        class_names=scores.classes.names if scores.classes else (),
        simplify=run.request.simplify,
        outlines=run.request.outlines,
        crs=crs or None,
        separator=separator,
        progress=lambda fraction: run.monitor.report(Stage.OUTLINING, 0.4 + 0.6 * fraction),
    )
    path = run.outputs.work("changes.gpkg")
    with (
        separator,
        contextlib.closing(shapes),
        ChangesWriter(path, crs, info, shown_as=str(run.outputs.gpkg)) as writer,
    ):
        count = 0
        for shape in shapes:
            writer.add(shape)
            count += 1
        if count - separator.added > summary.regions:
            run.monitor.warn(DetectTexts.cut())
        return writer.finish(
            device=run.device,
            seconds=run.monitor.seconds,
            area_analysed_m2=summary.area_analysed_m2,
            share_analysed=share,
            warnings=tuple(run.monitor.warnings),
            partial=not scores.complete,
        )


def _run_info(run: Run, parsed: ParsedPrompt) -> RunInfo:
    request, pixel_size = run.request, run.grid.output.pixel_size
    return RunInfo(
        run_id=uuid.uuid4().hex,
        prompt=parsed.text,
        parsed=parsed,
        before=full_path(request.before),
        after=full_path(request.after),
        date_before=run.dates[0],
        date_after=run.dates[1],
        system=run.system.name,
        revision=run.system.revision,
        pixel_size=pixel_size,
        user_pixel_size=None if pixel_size else request.pixel_size,
        threshold=request.threshold,
        min_area=min_area_used(request.min_area, pixel_size),
        alignment=run.alignment,
        request=to_json(
            replace(request, before=full_path(request.before), after=full_path(request.after))
        ),
    )


def full_path(path: str) -> str:
    """Return the absolute path of a file; connection strings and archives stay as they are."""
    return os.path.abspath(path) if os.path.exists(path) else path
