# SPDX-License-Identifier: GPL-3.0-or-later
"""A CRS that a format cannot store is replaced by one that it can."""

from __future__ import annotations

import numpy as np
import pytest
from osgeo import gdal, osr

from changescribe.engine.raster.grid import Grid
from changescribe.engine.raster.support import spatial_reference, transform_points
from changescribe.engine.results.crs import geopackage_crs, storable, storable_crs

UTM = "+proj=utm +zone=14 +datum=WGS84 +units={}"


def at_grid(wkt, at):
    return Grid(1, 1, (at[0], 1e-9, 0.0, at[1], 0.0, -1e-9), wkt)


def as_a_raster_has_it(text, at):
    path = "/vsimem/crs.tif"
    raster = gdal.GetDriverByName("GTiff").Create(path, 2, 2)
    crs = osr.SpatialReference()
    crs.SetFromUserInput(text)
    raster.SetSpatialRef(crs)
    raster.SetGeoTransform((at[0], 1, 0, at[1], 0, -1))
    del raster
    wkt = gdal.Open(path).GetProjection()
    gdal.Unlink(path)
    return wkt


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (UTM.format("km"), (628.0, 3382.0)),
        (UTM.format("us-ft"), (2062000.0, 11097000.0)),
        ("+proj=longlat +datum=WGS84 +pm=paris", (-100.0, 30.0)),
        (UTM.format("m") + " +towgs84=50,0,0", (628000.0, 3382000.0)),
        ("EPSG:4979", (-97.0, 30.0)),
        ("EPSG:32614", (628000.0, 3382000.0)),
        ("EPSG:2277", (3117000.0, 10100000.0)),
    ],
)
def test_what_is_stored_lies_where_it_was(text, at):
    wkt = as_a_raster_has_it(text, at)
    stored, _ = geopackage_crs(wkt, at_grid(wkt, at))
    world, crs = spatial_reference("EPSG:4326"), spatial_reference(wkt)
    place = transform_points(crs, spatial_reference(stored), np.array([at]))
    assert storable(spatial_reference(stored), "GPKG", tuple(place[0]))
    right = transform_points(crs, world, np.array([at]))
    found = transform_points(spatial_reference(stored), world, place)
    assert found == pytest.approx(right, abs=1e-7)


def test_common_crss_are_kept():
    for code, at in (("EPSG:32614", (628000.0, 3382000.0)), ("EPSG:4326", (-97.0, 30.0))):
        wkt = spatial_reference(code).ExportToWkt()
        assert geopackage_crs(wkt, at_grid(wkt, at)) == (wkt, False)


def test_a_shapefile_that_would_lose_the_datum_shift():
    crs = spatial_reference("+proj=utm +zone=14 +ellps=clrk66 +towgs84=-8,160,176 +units=m")
    stored, replaced = storable_crs(crs, "ESRI Shapefile", (628000.0, 3382000.0))
    assert replaced
    assert stored.GetAuthorityCode(None) == "4326"


def test_a_rotated_pole_becomes_wgs_84():
    """GDAL writes no GeoPackage in a derived CRS."""
    crs = spatial_reference(
        "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=40 +lon_0=-97 +datum=WGS84"
    )
    stored, replaced = storable_crs(crs, "GPKG", (0.0, 0.0))
    assert replaced
    assert stored.GetAuthorityCode(None) == "4326"
