# SPDX-License-Identifier: GPL-3.0-or-later
"""Twins: longitudes of 0 to 360 and of -180 to 180, local CRSs with the name of known ones."""

from __future__ import annotations

import numpy as np
import pytest

from changescribe.engine.detect.rasters import open_rasters
from changescribe.engine.raster.common_grid import common_grid
from changescribe.engine.raster.reader import RasterSource
from changescribe.engine.raster.support import same_crs, spatial_reference
from changescribe.engine.request import ChangeRequest, Extent


@pytest.mark.parametrize("turn", [360.0, -360.0])
def test_longitudes_of_0_to_360_and_of_180_are_one(make_raster, turn) -> None:
    place = (9.0, 1e-5, 0.0, 45.0, 0.0, -1e-5)
    array = np.arange(3 * 12 * 16, dtype=np.uint8).reshape(3, 12, 16)
    one = make_raster("one.tif", array, place, "EPSG:4326")
    other = make_raster("other.tif", array, (9.0 + turn, *place[1:]), "EPSG:4326")
    for paths in ((one, other), (other, one)):
        with RasterSource.open(paths[0]) as before, RasterSource.open(paths[1]) as after:
            grid = common_grid(before, after, None, ()).output
            assert grid == before.grid
            for found, valid in (before.read(grid), after.read(grid)):
                assert valid.all()
                np.testing.assert_array_equal(np.moveaxis(found, -1, 0), array)
            # Twice as fine, so that both are warped.
            fine = grid.scaled(0.5, 0.5)
            np.testing.assert_array_equal(before.read(fine)[0], after.read(fine)[0])
            extent = Extent(9.00004, 44.99992, 9.00012, 44.99996, "EPSG:4326")
            assert common_grid(before, after, extent, ()).output.width == 8


@pytest.mark.parametrize(
    ("name", "unit", "known"),
    [
        ("WGS 84 / UTM zone 33N", 'UNIT["metre",1]', True),
        ("WGS 84 / UTM zone 33N", 'UNIT["US survey foot",0.304800609601219]', False),
        ("site", 'UNIT["metre",1]', False),
    ],
)
def test_a_local_crs_with_the_name_of_a_known_one(make_raster, name, unit, known) -> None:
    local = f'LOCAL_CS["{name}",{unit},AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
    array = np.zeros((3, 4, 4), np.uint8)
    paths = make_raster("local.tif", array, crs=local), make_raster("utm.tif", array)
    for before, after in (paths, paths[::-1]):
        request = ChangeRequest(before, after, "roads", "out.gpkg")
        with open_rasters(request) as (one, other):
            assert same_crs(one.grid.crs_wkt, other.grid.crs_wkt) == known
            assert bool(one.notes + other.notes) == known


def test_two_local_crs_are_left_as_they_are(make_raster) -> None:
    array = np.zeros((3, 4, 4), np.uint8)
    names = ("site", "WGS 84 / UTM zone 33N")
    paths = [
        make_raster(f"{number}.tif", array, crs=f'LOCAL_CS["{name}",UNIT["metre",1]]')
        for number, name in enumerate(names)
    ]
    with open_rasters(ChangeRequest(*paths, "roads", "out.gpkg")) as (one, other):
        assert spatial_reference(one.grid.crs_wkt).IsLocal()
        assert spatial_reference(other.grid.crs_wkt).IsLocal()
        assert common_grid(one, other, None, ()).output.width == 4
