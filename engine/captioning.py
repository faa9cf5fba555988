# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe the change in a pair of rasters, or in boxes of it, from detected facts."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from . import pipeline
from .errors import CancelledError, InputError
from .raster.reader import RasterSource
from .request import Area, ChangeRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    Raises:
        InputError: a raster cannot be read, or a box lies outside the overlap.
    """
    with RasterSource.open(before, bands_before, crs_before) as source:
        grid = source.grid
    captions: list[BoxCaption] = []
    for box in boxes if boxes is not None else [(0, 0, grid.width, grid.height)]:
        if cancelled is not None and cancelled():
            break
        area = _area(_cut(box, grid.width, grid.height), grid)
        with tempfile.TemporaryDirectory(prefix="changescribe-") as folder:
            request = ChangeRequest(
                before=before,
                after=after,
                prompt=ANYTHING,
                output=str(Path(folder) / "caption.gpkg"),
                system=system,
                device=device,
                bands_before=bands_before,
                bands_after=bands_after,
                crs_before=crs_before,
                crs_after=crs_after,
                area=area,
            )
            try:
                result = pipeline.detect(request, host, progress, cancelled)
            except CancelledError:
                break
        captions.append(BoxCaption(tuple(box), result.caption))
    return captions


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
