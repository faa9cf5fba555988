# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe the change in a pair of rasters, or in boxes of it.

The sentences of a system that writes (``SystemInfo.writes``) are checked against the facts of a
detection and followed by them. Any other system has the facts of its detection alone.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from ..detect import pipeline
from ..errors import CancelledError, InputError
from ..hosts.routing import shared_host
from ..raster.area import place_of
from ..raster.reader import RasterSource
from ..request import Area
from ..wording.guard import Guard
from .checked import CheckedWriter, detect_everything, with_facts
from .request import FACTS, BoxCaption, Callbacks
from .texts import DescribeTexts
from .writer import open_writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..hosts.base import Host
    from ..raster.grid import Grid
    from ..request import CancelledCallback, ProgressCallback
    from ..systems.base import SystemInfo
    from .request import Box, CaptionRequest

    #: Returns the caption of an area and its source.
    Describe = Callable[[Area], tuple[str, str]]


def caption(
    request: CaptionRequest,
    host: Optional[Host] = None,
    progress: Optional[ProgressCallback] = None,
    cancelled: Optional[CancelledCallback] = None,
    captioned: Optional[Callable[[BoxCaption], None]] = None,
    warned: Optional[Callable[[str], None]] = None,
) -> list[BoxCaption]:
    """Caption a pair, or boxes of it.

    Args:
        request: what to describe.
        host: where systems run; None is the one that this process shares.
        progress: called with the progress in each box.
        cancelled: True stops; the captions written so far are returned.
        captioned: called with each caption as soon as it is ready.
        warned: called once with each sentence that the user should know, such as how many
            sentences were not true.

    Raises:
        InputError: a raster cannot be read, or a box lies outside the overlap.
        WeightsError: weights are missing or damaged.
        DependencyError: a package is missing.
    """
    host = host or shared_host()
    callbacks = Callbacks.of(progress, cancelled, warned)
    boxes, areas = _boxes(request)
    if not boxes:
        return []
    guard = Guard()
    if host.info(request.system).writes:
        describer = _sentences(request, host, areas, guard, callbacks)
    else:
        describer = _facts(request, host, callbacks)
    captions: list[BoxCaption] = []
    try:
        with describer as describe:
            for box, area in zip(boxes, request.outlines or areas):
                callbacks.stop_if_cancelled()
                captions.append(BoxCaption(box, *describe(area)))
                if captioned is not None:
                    captioned(captions[-1])
    except CancelledError:
        pass  # what is there is kept
    finally:
        for warning in guard.warnings:
            callbacks.warned(warning)
    return captions


def tile_boxes(grid: Grid, info: SystemInfo, user_pixel_size: Optional[float] = None) -> list[Box]:
    """Cut a raster into boxes of one tile of a system each, in pixels of BEFORE, row by row.

    Those at the right and lower edge may be smaller. ``user_pixel_size`` is in metres, for a grid
    without one.
    """
    side = info.tile_size
    own = grid.pixel_size or user_pixel_size
    if own and info.pixel_sizes:
        trained = min(info.pixel_sizes, key=lambda size: abs(math.log(size / own)))
        side = max(1, round(side * trained / own))
    return [
        (x, y, min(x + side, grid.width), min(y + side, grid.height))
        for y in range(0, grid.height, side)
        for x in range(0, grid.width, side)
    ]


@contextlib.contextmanager
def _facts(request: CaptionRequest, host: Host, callbacks: Callbacks) -> Iterator[Describe]:
    """Describe areas by the facts of a detection in each."""
    with tempfile.TemporaryDirectory(prefix="changescribe-") as folder:
        output = str(Path(folder) / "caption.gpkg")
        whole = replace(request.detection, output=output, overwrite=True, remember=False)

        def describe(area: Area) -> tuple[str, str]:
            found = pipeline.detect(
                replace(whole, area=area), host, callbacks.progress, callbacks.cancelled
            )
            if found.partial:  # the facts of a part may not hold for the whole
                raise CancelledError
            for warning in found.warnings:
                callbacks.warned(warning)
            return found.caption, FACTS

        yield describe


@contextlib.contextmanager
def _sentences(
    request: CaptionRequest, host: Host, areas: Sequence[Area], guard: Guard, callbacks: Callbacks
) -> Iterator[Describe]:
    """Describe areas by written sentences, checked against one detection in all of them."""
    with tempfile.TemporaryDirectory(prefix="changescribe-") as folder:
        checked_by = replace(request.detection, system=request.checked_by, area=_union(areas))
        everything = detect_everything(checked_by, host, folder, callbacks)
        if everything is None:
            callbacks.warned(DescribeTexts.not_checked())
        with open_writer(request.detection, request.system, host, callbacks) as writer:
            checked = CheckedWriter(writer, [everything] if everything else [], guard)

            def describe(area: Area) -> tuple[str, str]:
                sentence = checked.about(area)
                facts = everything.describe(area) if everything else ""
                if not (sentence or facts):
                    # Nothing is written where one of the dates has no data.
                    facts = everything.nothing_found if everything else DescribeTexts.no_data()
                return with_facts(sentence, facts, request.system)

            yield describe


def _boxes(request: CaptionRequest) -> tuple[list[Box], list[Area]]:
    """Return the boxes of a request, and the ground that each covers."""
    with RasterSource.open(request.before, request.bands_before, request.crs_before) as source:
        grid = source.grid
    if request.boxes is None:
        return [(0, 0, grid.width, grid.height)], [place_of(grid, 0, 0, grid.width, grid.height)]
    areas = []
    for x0, y0, x1, y1 in request.boxes:
        left, top, right, bottom = max(0, x0), max(0, y0), min(grid.width, x1), min(grid.height, y1)
        if left >= right or top >= bottom:
            raise InputError(
                DescribeTexts.box_outside(
                    box=[x0, y0, x1, y1], width=grid.width, height=grid.height
                )
            )
        areas.append(place_of(grid, left, top, right - left, bottom - top))
    return list(request.boxes), areas


def _union(areas: Sequence[Area]) -> Area:
    """Return areas that are polygons of one CRS as one; they may overlap."""
    rings = ", ".join(area.wkt[len("POLYGON ") :] for area in areas)
    return Area(f"MULTIPOLYGON ({rings})", areas[0].crs)
