# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe the change in a pair of rasters, or in boxes of it.

A system that writes sentences (``SystemInfo.writes``) is asked for its own; of any other
one the captions are made from the facts of a detection.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from . import pipeline
from .caption_writer import CaptionWriter
from .errors import CancelledError, InputError
from .raster.reader import RasterSource
from .request import Area, ChangeRequest
from .routing import shared_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .host import Host
    from .raster.grid import Grid
    from .request import CancelledCallback, ProgressCallback

#: Of a caption request: every class that the system knows, in both directions.
ANYTHING = "anything changed"


@dataclass(frozen=True)
class BoxCaption:
    """The caption of a box.

    Attributes:
        box: x0, y0, x1, y1 in pixels of BEFORE; x1 and y1 are not part of it.
        caption: one or two sentences.
    """

    box: tuple[int, int, int, int]
    caption: str


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
    host: Optional[Host] = None,
    progress: Optional[ProgressCallback] = None,
    cancelled: Optional[CancelledCallback] = None,
    told: Optional[CaptionCallback] = None,
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
        host: where the system runs; None is the one that this process shares.
        progress: told of each box in turn.
        cancelled: True stops and returns the captions that are there.
        told: given each caption as soon as it is ready.

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
    )
    with RasterSource.open(before, bands_before, crs_before) as source:
        grid = source.grid
    wanted = list(boxes) if boxes is not None else [(0, 0, grid.width, grid.height)]
    captions: list[BoxCaption] = []
    try:
        with _describer(request, host, progress, cancelled) as describe:
            for box in wanted:
                if cancelled is not None and cancelled():
                    break
                area = _area(_cut(box, grid.width, grid.height), grid)
                captions.append(BoxCaption(tuple(box), describe(area)))
                if told is not None:
                    told(captions[-1])
    except CancelledError:
        # While the system was loaded, or in the middle of a box: what is there is kept.
        return captions
    return captions


@contextlib.contextmanager
def _describer(
    request: ChangeRequest,
    host: Host,
    progress: Optional[ProgressCallback],
    cancelled: Optional[CancelledCallback],
) -> Iterator[Callable[[Area], str]]:
    """Open what is needed to describe areas, and give the function that does it."""
    info = host.info(request.system)
    if info.writes:
        host.load(info.name, request.device, cancelled)
        with RasterSource.open(
            request.before, request.bands_before, request.crs_before
        ) as before, RasterSource.open(
            request.after, request.bands_after, request.crs_after
        ) as after:
            yield CaptionWriter(before, after, host, info, progress, cancelled).describe
        return
    with tempfile.TemporaryDirectory(prefix="changescribe-") as folder:
        whole = replace(request, output=str(Path(folder) / "caption.gpkg"), overwrite=True)

        def facts(area: Area) -> str:
            return pipeline.detect(replace(whole, area=area), host, progress, cancelled).caption

        yield facts


def _area(box: tuple[int, int, int, int], grid: Grid) -> Area:
    """Return a box of pixels as a polygon; on a rotated grid it is no rectangle of the map."""
    x0, y0, x1, y1 = box
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    points = [grid.pixel_to_map(*corner) for corner in corners]
    ring = ", ".join(f"{float(x)!r} {float(y)!r}" for x, y in points)
    return Area(f"POLYGON (({ring}))", grid.crs_wkt or None)


def _cut(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    cut = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        raise InputError(
            f"The box {list(box)} lies outside the raster of {width} x {height} pixels.",
            "Give boxes as [x0, y0, x1, y1] in pixels of BEFORE.",
        )
    return cut
