# SPDX-License-Identifier: GPL-3.0-or-later
"""The two rasters of a request: opened, on a common grid, read as 8-bit colours."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

import numpy as np
from osgeo import ogr

from ..errors import InputError
from ..raster.area import AreaMask, place_of, polygon_of
from ..raster.common_grid import CommonGrid, common_grid
from ..raster.comparison.quality import QualityMask
from ..raster.files import check_distinct
from ..raster.reader import RasterSource
from ..raster.source import open_dataset
from ..raster.support import gdal_call, named_crs, spatial_reference, transform_points
from ..raster.texts import RasterTexts
from ..request import Area, Extent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

    from ..raster.comparison.alignment import Move
    from ..raster.grid import Grid
    from ..raster.radiometry import Stretch
    from ..request import ChangeRequest


@dataclass(frozen=True)
class Pair:
    """Two rasters, and what turns their pixels into 8-bit colours.

    ``move`` makes up for the shift of AFTER, for grids in the CRS of the working grid.
    """

    before: RasterSource
    after: RasterSource
    stretch_before: Stretch
    stretch_after: Stretch
    area: Optional[AreaMask] = None
    move: Optional[Move] = None

    def read(
        self, grid: Grid, pool: Optional[Executor] = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return before and after, (H, W, 3) uint8, and where both are valid, (H, W) bool.

        With a pool that has a free thread, both are read at once.
        """
        moved = self.move.moved(grid) if self.move else grid
        second = pool.submit(self.after.read, moved) if pool else None
        before, valid_before = self.before.read(grid)
        after, valid_after = second.result() if second else self.after.read(moved)
        valid = valid_before & valid_after
        if self.area is not None:
            valid &= self.area.on(grid)
        images = self.stretch_before.apply(before), self.stretch_after.apply(after)
        if not valid.all():
            # Black on both dates if one has no data there: it shall not look like a change.
            for image in images:
                image[~valid] = 0
        return (*images, valid)

    def free_cache(self) -> None:
        """Free what GDAL has cached of both rasters."""
        self.before.free_cache()
        self.after.free_cache()


@contextlib.contextmanager
def open_rasters(request: ChangeRequest) -> Iterator[tuple[RasterSource, RasterSource]]:
    """Open the rasters of a request, with the bands and CRSs that it sets.

    Raises:
        InputError: a raster cannot be read, or both are the same.
    """
    crs_before, crs_after = _crs_of_twins(request)
    nodata = request.nodata
    with (
        RasterSource.open(
            request.before, request.bands_before, crs_before, nodata, request.nodata_before
        ) as before,
        RasterSource.open(
            request.after, request.bands_after, crs_after, nodata, request.nodata_after
        ) as after,
        contextlib.ExitStack() as stack,
    ):
        for source, crs, given in (
            (before, crs_before, request.crs_before),
            (after, crs_after, request.crs_after),
        ):
            if crs != given:
                source.notes += (RasterTexts.local_crs(name=source.name, crs=crs),)
        check_distinct(before.path, after.path, before.bands, after.bands)
        for source, text in ((before, request.mask_before), (after, request.mask_after)):
            if text:
                mask = stack.enter_context(QualityMask(text))
                mask.check(source.grid)
                source.excluded.append(mask.hidden)
        yield before, after


def _crs_of_twins(request: ChangeRequest) -> tuple[Optional[str], Optional[str]]:
    """Return the CRSs that a request sets; for a local one beside a known one, that of its name."""
    paths, crss = (request.before, request.after), [request.crs_before, request.crs_after]
    own = [open_dataset(path).GetSpatialRef() for path in paths]
    known = [spatial_reference(crs) if crs else reference for crs, reference in zip(crss, own)]
    for number, (reference, other) in enumerate(zip(known, reversed(known))):
        if reference and other and reference.IsLocal() and not other.IsLocal():
            crss[number] = named_crs(reference) or crss[number]
    return crss[0], crss[1]


def grid_for(
    request: ChangeRequest,
    before: RasterSource,
    after: RasterSource,
    pixel_sizes: tuple[float, ...],
) -> CommonGrid:
    """Choose the common grid of the part that a request asks for.

    The part is its extent, or else the envelope of its area, or else the overlap of the rasters.
    ``pixel_sizes`` are those in metres that the system was trained on.

    Raises:
        InputError: the part is empty or lies outside the overlap.
    """
    extent = request.extent
    if request.area is not None and extent is None:
        extent = Extent(*AreaMask(request.area, before.grid).envelope)
    grid = common_grid(before, after, extent, pixel_sizes, request.pixel_size)
    return replace(grid, requested_px=_requested_px(request, before.grid, after.grid))


def _requested_px(request: ChangeRequest, before: Grid, after: Grid) -> Optional[float]:
    """Return how many pixels of BEFORE a request covers; None if its CRS does not reach there.

    It covers its area or its extent, also outside the rasters, or else their overlap.
    """
    places = [place for place in (request.area, _rectangle(request.extent)) if place]
    if len(places) == 1:
        return _pixels(places[0], before)
    try:
        first, second = (
            area_on(place, before, before).geometry.Buffer(0)
            for place in places or (_whole(before), _whole(after))
        )
    except InputError:
        return None
    _, a, b, _, d, e = before.geotransform
    return float(first.Intersection(second).GetArea() / abs(a * e - b * d))


def _pixels(place: Area, grid: Grid) -> Optional[float]:
    """Return the area of polygons in pixels, as large as they are at the centre of a grid."""
    x, y = grid.width / 2, grid.height / 2
    corners = np.array([grid.pixel_to_map(*point) for point in ((x, y), (x + 1, y), (x, y + 1))])
    if place.crs and grid.crs_wkt:
        own = spatial_reference(place.crs)
        corners = transform_points(spatial_reference(grid.crs_wkt), own, corners)
    (a, b), (d, e) = corners[1:] - corners[0]
    pixel = abs(a * e - b * d)
    shape, _ = gdal_call(ogr.CreateGeometryFromWkt, place.wkt)
    if shape is not None and not shape.IsValid():  # overlapping polygons count once
        shape, _ = gdal_call(shape.MakeValid)
    return float(shape.GetArea() / pixel) if shape is not None and pixel > 0 else None


def _rectangle(extent: Optional[Extent]) -> Optional[Area]:
    if extent is None:
        return None
    left, bottom, right, top = extent.xmin, extent.ymin, extent.xmax, extent.ymax
    corners = ((left, bottom), (right, bottom), (right, top), (left, top))
    return polygon_of(corners, extent.crs)


def _whole(grid: Grid) -> Area:
    return place_of(grid, 0, 0, grid.width, grid.height)


def area_on(area: Area, before: Grid, grid: Grid) -> AreaMask:
    """Return an area for a grid; an area without a CRS has that of BEFORE."""
    return AreaMask(area if area.crs else replace(area, crs=before.crs_wkt or None), grid)
