# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe the change in a pair of rasters, or in boxes of it.

A system that writes sentences (``SystemInfo.writes``) is asked for its own, which are checked
against the facts of a detection and followed by them; of any other system the captions are
made from the facts alone.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from ..detect import pipeline
from ..errors import CancelledError, InputError
from ..hosts.routing import shared_host
from ..raster.reader import RasterSource
from ..request import Area, ChangeRequest, Hints
from ..wording.guard import Guard
from .checked import ANYTHING, CHECKED_BY, NOT_CHECKED, CheckedWriter, detect_everything
from .writer import NO_DATA, CaptionWriter, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..hosts.base import Host
    from ..raster.grid import Grid
    from ..request import CancelledCallback, ProgressCallback
    from ..systems.base import SystemInfo

#: Source of a caption that no system wrote.
FACTS = "facts"


@dataclass(frozen=True)
class BoxCaption:
    """The caption of a box.

    Attributes:
        box: x0, y0, x1, y1 in pixels of BEFORE; x1 and y1 are not part of it.
        caption: one sentence or a few.
        source: name of the system that wrote the first of them, or :data:`FACTS`.
    """

    box: tuple[int, int, int, int]
    caption: str
    source: str = FACTS


#: Is given each caption as soon as it is ready.
CaptionCallback = Callable[[BoxCaption], None]


def caption(
    before: str,
    after: str,
    *,
    boxes: Optional[Sequence[tuple[int, int, int, int]]] = None,
    system: str = "bundled",
    device: str = "auto",
    bands_before: Optional[tuple[int, ...]] = None,
    bands_after: Optional[tuple[int, ...]] = None,
    crs_before: Optional[str] = None,
    crs_after: Optional[str] = None,
    pixel_size: Optional[float] = None,
    host: Optional[Host] = None,
    progress: Optional[ProgressCallback] = None,
    cancelled: Optional[CancelledCallback] = None,
    told: Optional[CaptionCallback] = None,
    warned: Optional[Callable[[str], None]] = None,
    outlines: Optional[Sequence[Area]] = None,
    checked_by: str = CHECKED_BY,
) -> list[BoxCaption]:
    """Caption a pair, or boxes of it.

    Args:
        before: the earlier raster.
        after: the later raster.
        boxes: in pixels of BEFORE; None is the whole raster.
        system: name of the system.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        bands_before: see :class:`ChangeRequest`.
        bands_after: see :class:`ChangeRequest`.
        crs_before: see :class:`ChangeRequest`.
        crs_after: see :class:`ChangeRequest`.
        pixel_size: see :class:`ChangeRequest`.
        host: where the system runs; None is the one that this process shares.
        progress: told of each box in turn.
        cancelled: True stops and returns the captions that are there.
        told: given each caption as soon as it is ready.
        warned: given what the user should know, such as how many sentences were not true; each
            once.
        outlines: one for each box, where the captions are to be about polygons in them.
        checked_by: the system whose detection written sentences are checked against.

    Raises:
        InputError: a raster cannot be read, or a box lies outside the overlap.
        WeightsError: weights are missing or damaged.
        DependencyError: a package is missing.
    """
    host = host or shared_host()
    # The prompt, the output and the area are those of each box.
    request = ChangeRequest(
        before=before,
        after=after,
        prompt=ANYTHING,
        output="",
        system=system,
        device=device,
        bands_before=bands_before,
        bands_after=bands_after,
        crs_before=crs_before,
        crs_after=crs_after,
        pixel_size=pixel_size,
        hints=Hints(sharp=True),
    )
    with RasterSource.open(before, bands_before, crs_before) as source:
        grid = source.grid
    wanted = list(boxes) if boxes is not None else [(0, 0, grid.width, grid.height)]
    if not wanted:
        return []
    areas = [_area(_cut(box, grid.width, grid.height), grid) for box in wanted]
    captions: list[BoxCaption] = []
    guard = Guard()
    known: set[str] = set()

    def warn(text: str) -> None:
        if warned is not None and text not in known:
            known.add(text)
            warned(text)

    try:
        with _describer(
            request, host, areas, guard, checked_by, progress, cancelled, warn
        ) as describe:
            for box, area in zip(wanted, outlines or areas):
                if cancelled is not None and cancelled():
                    break
                captions.append(BoxCaption(tuple(box), *describe(area)))
                if told is not None:
                    told(captions[-1])
    except CancelledError:
        # While the system was loaded, or in the middle of a box: what is there is kept.
        return captions
    finally:
        for warning in guard.warnings:
            warn(warning)
    return captions


def tile_boxes(
    grid: Grid, info: SystemInfo, user_pixel_size: Optional[float] = None
) -> list[tuple[int, int, int, int]]:
    """Cut a raster into boxes of the size that a system looks at in one piece.

    Args:
        grid: of BEFORE.
        info: of the system.
        user_pixel_size: of a pixel in metres, where the grid does not tell it.

    Returns:
        Boxes in pixels of BEFORE, row by row; those at the right and lower edge may be smaller.
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
def _describer(
    request: ChangeRequest,
    host: Host,
    areas: Sequence[Area],
    guard: Guard,
    checked_by: str,
    progress: Optional[ProgressCallback],
    cancelled: Optional[CancelledCallback],
    warned: Callable[[str], None],
) -> Iterator[Callable[[Area], tuple[str, str]]]:
    """Open what is needed to describe areas; give a function: area -> caption and its source."""
    info = host.info(request.system)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="changescribe-"))
        if not info.writes:
            whole = replace(request, output=str(Path(folder) / "caption.gpkg"), overwrite=True)

            def state(area: Area) -> tuple[str, str]:
                found = pipeline.detect(replace(whole, area=area), host, progress, cancelled)
                if found.partial:  # what is said of a part of it may not hold for the whole
                    raise CancelledError
                for warning in found.warnings:
                    warned(warning)
                return found.caption, FACTS

            yield state
            return
        everything = detect_everything(
            replace(request, system=checked_by, area=_union(areas)),
            host,
            folder,
            progress,
            cancelled,
            warned,
        )
        if everything is None:
            warned(NOT_CHECKED)
        system = stack.enter_context(host.open(info.name, request.device, cancelled))
        sources = [
            stack.enter_context(RasterSource.open(path, bands, crs))
            for path, bands, crs in (
                (request.before, request.bands_before, request.crs_before),
                (request.after, request.bands_after, request.crs_after),
            )
        ]
        writer = CaptionWriter(
            *sources,
            system,
            progress,
            cancelled,
            warned=warned,
            user_pixel_size=request.pixel_size,
        )
        checked = CheckedWriter(writer, [everything] if everything else [], guard)

        def describe(area: Area) -> tuple[str, str]:
            sentence = checked.about(area)
            facts = everything.describe(area) if everything is not None else ""
            if sentence:
                return f"{sentence} {facts}".strip(), info.name
            # Nothing was written where one of the dates has no data.
            nothing = everything.nothing_found if everything is not None else NO_DATA
            return facts or nothing, FACTS

        yield describe


def _area(box: tuple[int, int, int, int], grid: Grid) -> Area:
    x0, y0, x1, y1 = box
    return place_of(grid, x0, y0, x1 - x0, y1 - y0)


def _union(areas: Sequence[Area]) -> Area:
    """Return areas that are polygons of one CRS as one; they may overlap."""
    rings = ", ".join(area.wkt[len("POLYGON ") :] for area in areas)
    return Area(f"MULTIPOLYGON ({rings})", areas[0].crs)


def _cut(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    cut = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        raise InputError(
            f"The box {list(box)} lies outside the raster of {width} x {height} pixels.",
            "Give boxes as [x0, y0, x1, y1] in pixels of BEFORE.",
        )
    return cut
