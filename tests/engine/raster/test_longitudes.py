# SPDX-License-Identifier: GPL-3.0-or-later
"""Longitudes of 0 to 360 and of -180 to 180."""

from __future__ import annotations

import numpy as np
import pytest

from changescribe.engine.raster.common_grid import common_grid
from changescribe.engine.raster.reader import RasterSource
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
