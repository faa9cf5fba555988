# SPDX-License-Identifier: GPL-3.0-or-later
"""Areas against the closed form on the ellipsoid, and the compass."""

from __future__ import annotations

import math

import numpy as np
import pytest
from osgeo import osr

from changescribe.engine.raster.geodesy import Compass, PixelAreas
from changescribe.engine.raster.grid import PIXEL_GEOTRANSFORM, Grid
from changescribe.engine.raster.support import spatial_reference

A, F = 6378137.0, 1 / 298.257223563
UTM33 = spatial_reference("EPSG:32633").ExportToWkt()
WGS84 = spatial_reference("EPSG:4326").ExportToWkt()
MERCATOR = spatial_reference("EPSG:3857").ExportToWkt()


def zone_area(south: float, north: float, degrees: float) -> float:
    """Area between two parallels and two meridians of WGS 84, in closed form."""
    e = math.sqrt(F * (2 - F))

    def q(latitude: float) -> float:
        s = math.sin(math.radians(latitude))
        return s / (1 - e * e * s * s) + math.atanh(e * s) / e

    return (A * (1 - F)) ** 2 / 2 * math.radians(degrees) * (q(north) - q(south))


def area(grid: Grid, column: float, row: float) -> float:
    return float(PixelAreas(grid).at(np.array([column]), np.array([row]))[0])


def test_closed_form_of_the_whole_earth() -> None:
    # 510.0656 million km2 is the published area of the WGS 84 ellipsoid.
    assert zone_area(-90, 90, 360) == pytest.approx(5.100656217e14, rel=1e-9)


def test_area_of_pixels_at_the_antimeridian() -> None:
    grid = Grid(4, 1, (177.5, 1, 0, 11, 0, -1), WGS84)
    for column in (0.5, 2.5, 3.5):
        assert area(grid, column, 0.5) == pytest.approx(zone_area(10, 11, 1), rel=1e-4)


def test_area_in_mercator_is_not_that_of_the_map() -> None:
    # 1000 map metres at 60 degrees north are about 500 on the ground.
    y = 8399737.89  # EPSG:3857 of 60 degrees north
    sin2 = math.sin(math.radians(60)) ** 2
    e2 = F * (2 - F)
    along = 0.5 / math.sqrt(1 - e2 * sin2)  # N cos(lat) / a
    across = along * (1 - e2) / (1 - e2 * sin2)  # M cos(lat) / a
    grid = Grid(1, 1, (0, 1000, 0, y + 500, 0, -1000), MERCATOR)
    assert area(grid, 0.5, 0.5) == pytest.approx(1e6 * along * across, rel=1e-4)


def test_area_in_feet() -> None:
    # EPSG:2277 is in US survey feet near Austin; the scale there is within 0.02 % of 1.
    texas = spatial_reference("EPSG:2277").ExportToWkt()
    grid = Grid(3, 3, (3100000, 1000, 0, 10071000, 0, -1000), texas)
    assert area(grid, 1.5, 1.5) == pytest.approx((1000 * 1200 / 3937) ** 2, rel=1e-3)


def test_without_georeference() -> None:
    grid = Grid(10, 10, PIXEL_GEOTRANSFORM, "")
    assert not PixelAreas(grid).known
    assert math.isnan(area(grid, 1, 1))
    assert Compass(grid).position(1, 1) is None


def test_pixel_areas_follow_the_latitude() -> None:
    grid = Grid(360, 180, (-180, 1, 0, 90, 0, -1), WGS84)
    rows = np.arange(180)
    areas = PixelAreas(grid).at(np.full(180, 7.5), rows + 0.5)
    exact = [zone_area(89 - row, 90 - row, 1) for row in rows]
    assert areas[1:-1] == pytest.approx(exact[1:-1], rel=1e-3)


def test_pixel_area_in_utm() -> None:
    # On the central meridian the scale of UTM is 0.9996, so a map metre is 1 / 0.9996 m.
    grid = Grid(100, 100, (500000, 0.5, 0, 5000000, 0, -0.5), UTM33)
    assert area(grid, 50, 50) == pytest.approx(0.25 / 0.9996**2, rel=1e-5)


def test_one_pixel_has_an_area() -> None:
    grid = Grid(1, 1, (500000, 0.5, 0, 5000000, 0, -0.5), UTM33)
    assert area(grid, 0.5, 0.5) == pytest.approx(0.25, rel=1e-2)


@pytest.mark.parametrize(
    ("column", "row", "position"),
    [
        (50, 50, "centre"),
        (95, 5, "north-east"),
        (50, 5, "north"),
        (5, 5, "north-west"),
        (5, 50, "west"),
        (5, 95, "south-west"),
        (50, 95, "south"),
        (95, 95, "south-east"),
        (95, 50, "east"),
        (66, 50, "centre"),
        (68, 50, "east"),
    ],
)
def test_compass(column: float, row: float, position: str) -> None:
    grid = Grid(100, 100, (500000, 0.5, 0, 5000000, 0, -0.5), UTM33)
    assert Compass(grid).position(column, row) == position


def test_compass_of_a_turned_raster() -> None:
    # Rows run to the east, columns to the south: a quarter turn.
    grid = Grid(100, 100, (500000, 0, 0.5, 5000000, -0.5, 0), UTM33)
    assert Compass(grid).position(50, 95) == "east"
    assert Compass(grid).position(95, 50) == "south"


def test_compass_of_a_raster_with_south_up() -> None:
    grid = Grid(100, 100, (500000, 0.5, 0, 5000000, 0, 0.5), UTM33)
    assert Compass(grid).position(50, 5) == "south"


def test_compass_points_to_true_north() -> None:
    # In this polar projection, map up is not north at 90 degrees east: the pole is to the left.
    polar = spatial_reference("EPSG:3995").ExportToWkt()
    grid = Grid(100, 100, (2e6, 100, 0, 5000, 0, -100), polar)
    assert Compass(grid).position(5, 50) == "north"


def test_compass_allows_for_grid_convergence() -> None:
    # Zone 33 ends 3 degrees east of its central meridian. At 60 degrees north its grid north is
    # turned there by atan(tan 3 x sin 60) = 2.6 degrees to the east of true north. Up by 95 and
    # right by 37.5 of 100 pixels is 21.5 degrees on the grid, "north" still, but 24.1 by the
    # compass: past 22.5, so north-east.
    transform = osr.CoordinateTransformation(
        spatial_reference("EPSG:4326"), spatial_reference("EPSG:32633")
    )
    x, y, _ = transform.TransformPoint(18.0, 60.0)
    grid = Grid(200, 200, (x - 50, 0.5, 0, y + 50, 0, -0.5), UTM33)
    assert Compass(grid).position(100 + 37.5, 100 - 95) == "north-east"
    # On the central meridian there is none.
    centre = Grid(200, 200, (500000 - 50, 0.5, 0, y + 50, 0, -0.5), UTM33)
    assert Compass(centre).position(100 + 37.5, 100 - 95) == "north"


def test_compass_near_the_pole() -> None:
    # In EPSG:3995 the pole is at (0, 0), 45 degrees east at x = -y: north is up and to the left.
    # A degree of longitude is a third of one of latitude here (about 70 degrees north).
    polar = spatial_reference("EPSG:3995").ExportToWkt()
    grid = Grid(100, 100, (1.5e6, 100, 0, -1.5e6, 0, -100), polar)
    compass = Compass(grid)
    assert compass.position(5, 5) == "north"
    assert compass.position(95, 50) == "south-east"
    assert compass.position(50, 5) == "north-east"
    assert compass.position(5, 50) == "north-west"
