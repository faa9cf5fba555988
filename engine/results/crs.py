# SPDX-License-Identifier: GPL-3.0-or-later
"""CRSs that file formats can store.

GDAL's GeoPackage driver takes UTM in feet without an EPSG code for UTM in metres, and degrees from
Paris for degrees from Greenwich; a .prj file has no datum shift.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Optional

import numpy as np
from osgeo import ogr, osr

from ..raster.support import gdal_call, same_crs, spatial_reference, transform_points

if TYPE_CHECKING:
    from ..raster.grid import Grid

#: Places that differ by less, in degrees, are the same: a centimetre.
_TOLERANCE = 1e-7


def storable(crs: osr.SpatialReference, driver: str, at: tuple[float, float]) -> bool:
    """Return whether a format keeps the place ``at`` (x, y) of a CRS, tested by writing it."""
    read, _ = gdal_call(_round_trip, crs, driver)
    if read is None:
        return False
    if crs.IsLocal():
        return bool(read.IsLocal())
    point, world = np.array([at]), spatial_reference("EPSG:4326")
    placed, again = (transform_points(each, world, point) for each in (crs, read))
    return bool(np.allclose(placed, again, rtol=0, atol=_TOLERANCE))


def storable_crs(
    crs: osr.SpatialReference, driver: str, at: tuple[float, float]
) -> tuple[osr.SpatialReference, bool]:
    """Return the CRS itself, else without heights, else WGS 84; and whether it is the last.

    ``at`` is a place in ``crs``.
    """
    flat = crs.Clone()
    gdal_call(flat.DemoteTo2D)
    for candidate in (crs, flat) if crs.GetAxesCount() == 2 or crs.IsCompound() else (flat,):
        if storable(candidate, driver, at):
            return candidate, False
    return spatial_reference("EPSG:4326"), True


def geopackage_crs(crs: str, grid: Grid) -> tuple[str, bool]:
    """Return a CRS, as WKT, that a GeoPackage can store, for polygons on a grid.

    It is ``crs`` if possible; the second value says whether it is WGS 84 instead.
    """
    if not crs:
        return crs, False
    centre = np.array([grid.pixel_to_map(grid.width / 2, grid.height / 2)])
    target = spatial_reference(crs)
    if not same_crs(crs, grid.crs_wkt):
        centre = transform_points(spatial_reference(grid.crs_wkt), target, centre)
    ((x, y),) = centre.tolist()
    stored, replaced = storable_crs(target, "GPKG", (x, y))
    return stored.ExportToWkt(), replaced


def _round_trip(crs: osr.SpatialReference, driver: str) -> Optional[osr.SpatialReference]:
    """Write an empty layer into memory and return its CRS; None if that fails."""
    suffix = {"GPKG": ".gpkg", "ESRI Shapefile": ".shp"}[driver]
    path = f"/vsimem/{uuid.uuid4().hex}{suffix}"
    target = ogr.GetDriverByName(driver).CreateDataSource(path)
    try:
        if target is None:
            return None
        layer, problem = gdal_call(target.CreateLayer, "crs", crs, ogr.wkbPolygon)
        if layer is None or problem:
            return None
        target = None  # closes the file
        source = ogr.Open(path)
        found = source.GetLayer(0).GetSpatialRef() if source is not None else None
        read = found.Clone() if found is not None else None
        source = None
    finally:
        target = None
        ogr.GetDriverByName(driver).DeleteDataSource(path)
    if read is not None:
        read.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return read
