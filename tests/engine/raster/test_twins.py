# SPDX-License-Identifier: GPL-3.0-or-later
"""Twins: longitudes of 0 to 360 and of -180 to 180, local CRSs with the name of known ones."""

from __future__ import annotations

import numpy as np
import pytest

from changescribe.engine.raster.common_grid import common_grid
from changescribe.engine.raster.reader import RasterSource
from changescribe.engine.raster.support import same_crs, spatial_reference
from changescribe.engine.request import Extent


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
    path = make_raster("local.tif", np.zeros((3, 4, 4), np.uint8), crs=local)
    utm = spatial_reference("EPSG:32633").ExportToWkt()
    with RasterSource.open(path) as source:
        assert same_crs(source.grid.crs_wkt, utm) == known
