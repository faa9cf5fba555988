# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixel sizes on the ground, and the common grid of two rasters, against figures by hand."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from osgeo import gdal, osr

from changescribe.engine.errors import InputError
from changescribe.engine.raster.common_grid import common_grid, format_size
from changescribe.engine.raster.footprint import densify
from changescribe.engine.raster.grid import Grid
from changescribe.engine.raster.reader import RasterSource
from changescribe.engine.raster.support import spatial_reference, thread_options, transform_points
from changescribe.engine.request import Extent

UTM = "EPSG:32633"
UTM_GRID = (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5)


def wkt(crs):
    return spatial_reference(crs).ExportToWkt()


def image(height, width, bands=3, dtype=np.uint8):
    return np.ones((bands, height, width), dtype)


@pytest.fixture
def pair(make_raster):
    """Return a function that opens two rasters, each given by size, geotransform and CRS."""
    opened = []

    def make(before, after):
        for name, (height, width, geotransform, crs) in (("b.tif", before), ("a.tif", after)):
            path = make_raster(name, image(height, width), geotransform, crs)
            opened.append(RasterSource.open(path))
        return opened[-2:]

    yield make
    for source in opened:
        source.close()


def in_crs(x, y, source, target):
    transform = osr.CoordinateTransformation(spatial_reference(source), spatial_reference(target))
    return transform.TransformPoint(x, y)[:2]


# Pixel size -----------------------------------------------------------------------------------


def test_metres_of_utm():
    # On the central meridian a map metre is 1/0.9996 m on the ground.
    grid = Grid(100, 100, (499975.0, 0.5, 0.0, 5000025.0, 0.0, -0.5), wkt(UTM))
    assert grid.pixel_size == pytest.approx(0.5 / 0.9996, rel=1e-5)


def test_degrees_by_hand():
    # WGS 84 at 60 degrees: one degree is 111,412.0 m of latitude and 55,800.1 m of longitude.
    step = 1e-4
    grid = Grid(
        20, 20, (10.0 - 10 * step, step, 0.0, 60.0 + 10 * step, 0.0, -step), wkt("EPSG:4326")
    )
    across, down = grid.ground_sides
    assert across == pytest.approx(5.58001, rel=1e-4)
    assert down == pytest.approx(11.14120, rel=1e-4)
    assert grid.pixel_size == pytest.approx(math.sqrt(5.58001 * 11.14120), rel=1e-4)


def test_web_mercator_is_measured_on_the_ground():
    # At 60 degrees the scale of EPSG:3857 is 1 / cos 60 = 2, but for the ellipsoid.
    x, y = in_crs(10, 60, "EPSG:4326", "EPSG:3857")
    grid = Grid(10, 10, (x - 5, 1.0, 0.0, y + 5, 0.0, -1.0), wkt("EPSG:3857"))
    assert grid.pixel_size == pytest.approx(0.5, rel=3e-3)
    assert grid.pixel_size == pytest.approx(
        math.sqrt(0.55800 / 1.1132 * 1.11412 / 2.2264), rel=1e-3
    )


def test_feet():
    # EPSG:2277, Texas Central in US survey feet; scale within 1e-3 of one.
    x, y = in_crs(-98, 30.2, "EPSG:4326", "EPSG:2277")
    grid = Grid(10, 10, (x, 2.0, 0.0, y, 0.0, -2.0), wkt("EPSG:2277"))
    assert grid.pixel_size == pytest.approx(2 * 1200 / 3937, rel=1e-3)


def test_rotated_pixels_and_a_pole():
    turn = math.radians(30)
    c, s = 2 * math.cos(turn), 2 * math.sin(turn)
    grid = Grid(50, 40, (500000.0, c, s, 5000000.0, s, -c), wkt(UTM))
    assert grid.pixel_size == pytest.approx(2 / 0.9996, rel=1e-4)
    # Polar stereographic north: scale 0.994 at the pole, where longitude means nothing.
    pole = Grid(10, 10, (2000000 - 50, 10.0, 0.0, 2000000 + 50, 0.0, -10.0), wkt("EPSG:32661"))
    assert pole.pixel_size == pytest.approx(10 / 0.994, rel=1e-4)


def test_without_crs_there_is_no_pixel_size():
    assert Grid(10, 10, UTM_GRID, "").pixel_size is None


def test_window_bounds_and_back():
    grid = Grid(100, 80, UTM_GRID, wkt(UTM))
    part = grid.window(10, 20, 30, 40)
    assert part.geotransform == (500005.0, 0.5, 0.0, 4999990.0, 0.0, -0.5)
    assert part.bounds == (500005.0, 4999970.0, 500020.0, 4999990.0)
    assert part.offset_in(grid) == (10, 20)
    assert grid.map_to_pixel(*grid.pixel_to_map(3.5, 7.25)) == pytest.approx((3.5, 7.25))
    shifted = Grid(100, 80, (500000.1, *UTM_GRID[1:]), wkt(UTM))
    assert shifted.offset_in(grid) is None
    assert Grid(100, 80, UTM_GRID, wkt("EPSG:32632")).offset_in(grid) is None


@pytest.mark.parametrize(
    ("metres", "text"),
    [(0.5, "0.5 m"), (0.55435, "0.554 m"), (10.0, "10 m"), (250.4, "250 m"), (1500, "1500 m")],
)
def test_sizes_in_words(metres, text):
    assert format_size(metres) == text


# Output grid ----------------------------------------------------------------------------------


def test_same_grid_is_kept(pair):
    before, after = pair((60, 80, UTM_GRID, UTM), (60, 80, UTM_GRID, UTM))
    common = common_grid(before, after, None, (0.5,))
    assert common.output == before.grid
    assert common.working == before.grid
    assert common.warnings == ()


def test_partial_overlap_is_cut_to_whole_pixels(pair):
    # AFTER begins 10.25 m east and 5.1 m south: at columns 20.5 and rows 10.2.
    shifted = (500010.25, 0.5, 0.0, 4999994.9, 0.0, -0.5)
    before, after = pair((60, 80, UTM_GRID, UTM), (60, 80, shifted, UTM))
    output = common_grid(before, after, None, (0.5,)).output
    assert output.offset_in(before.grid) == (20, 10)
    assert (output.width, output.height) == (60, 50)


def test_extent_in_the_crs_of_before_and_in_another(pair):
    before, after = pair((60, 80, UTM_GRID, UTM), (60, 80, UTM_GRID, UTM))
    own = common_grid(before, after, Extent(500010, 4999980, 500020, 4999990), (0.5,)).output
    assert own.offset_in(before.grid) == (20, 20)
    assert (own.width, own.height) == (20, 20)
    west, south = in_crs(500010, 4999980, UTM, "EPSG:4326")
    east, north = in_crs(500020, 4999990, UTM, "EPSG:4326")
    other = common_grid(before, after, Extent(west, south, east, north, "EPSG:4326"), ()).output
    assert np.abs(np.subtract(other.bounds, own.bounds)).max() <= 0.5 + 1e-9


def test_extent_larger_than_the_rasters_changes_nothing(pair):
    before, after = pair((60, 80, UTM_GRID, UTM), (60, 80, UTM_GRID, UTM))
    world = Extent(-180, -85, 180, 85, "EPSG:4326")
    assert common_grid(before, after, world, ()).output == before.grid


def test_another_crs(pair):
    # The same 80 m x 60 m in EPSG:3857, 20 m larger on all sides: BEFORE is covered whole.
    corners = [in_crs(x, y, UTM, "EPSG:3857") for x in (499980, 500060) for y in (4999950, 5000020)]
    xs, ys = zip(*corners)
    size = 0.7
    height, width = int((max(ys) - min(ys)) / size), int((max(xs) - min(xs)) / size)
    geotransform = (min(xs), size, 0.0, max(ys), 0.0, -size)
    before, after = pair((60, 80, UTM_GRID, UTM), (height, width, geotransform, "EPSG:3857"))
    assert common_grid(before, after, None, (0.5,)).output == before.grid
    # And the other way round: BEFORE is the larger one, cut to the UTM footprint.
    output = common_grid(after, before, None, ()).output
    centre = in_crs(500020, 4999985, UTM, "EPSG:3857")
    middle = output.pixel_to_map(output.width / 2, output.height / 2)
    assert np.hypot(*np.subtract(centre, middle)) < 2 * size
    assert output.width * 0.7 == pytest.approx(40 * 1.414, rel=0.06)


def test_a_raster_of_the_whole_earth_covers_a_utm_tile(pair):
    world = (-180.0, 1.0, 0.0, 90.0, 0.0, -1.0)
    before, after = pair((60, 80, UTM_GRID, UTM), (180, 360, world, "EPSG:4326"))
    common = common_grid(before, after, None, (0.5,))
    assert common.output == before.grid
    assert any("pixel sizes differ: 0.5 m" in text for text in common.warnings)


def test_across_the_antimeridian(pair):
    # UTM zone 1 starts at 180 degrees; BEFORE is drawn in degrees from 179.9 to 180.1.
    degrees = (179.9, 0.002, 0.0, 10.1, 0.0, -0.002)
    x, y = in_crs(-179.99, 10.05, "EPSG:4326", "EPSG:32601")
    utm = (x, 200.0, 0.0, y, 0.0, -200.0)
    before, after = pair((100, 100, degrees, "EPSG:4326"), (20, 20, utm, "EPSG:32601"))
    output = common_grid(before, after, None, ()).output
    assert output.bounds[0] == pytest.approx(180.01, abs=0.004)


def test_rotated_before(pair):
    # Turned by 90 degrees: a column runs north, a row runs east.
    turned = (500000.0, 0.0, 0.5, 4999970.0, 0.5, 0.0)
    before, after = pair((80, 60, turned, UTM), (20, 20, UTM_GRID, UTM))
    output = common_grid(before, after, None, (0.5,)).output
    # AFTER covers 500000 to 500010 east, 4999990 to 5000000 north: columns 40 to 60, rows 0 to 20.
    assert output.offset_in(before.grid) == (40, 0)
    assert (output.width, output.height) == (20, 20)


def test_rotated_by_an_odd_angle(pair):
    turn = math.radians(30)
    c, s = 0.5 * math.cos(turn), 0.5 * math.sin(turn)
    rotated = (500020.0, c, s, 4999990.0, s, -c)
    before, after = pair((200, 200, UTM_GRID, UTM), (40, 40, rotated, UTM))
    output = common_grid(before, after, None, (0.5,)).output
    xs, ys = zip(*[after.grid.pixel_to_map(x, y) for x in (0, 40) for y in (0, 40)])
    expected = (min(xs), min(ys), max(xs), max(ys))
    assert np.abs(np.subtract(output.bounds, expected)).max() <= 0.5


def test_edges_are_curves_in_another_crs(pair):
    # 3000 km of EPSG:3035: its upper edge bulges north in degrees, by far more than a pixel.
    laea = (2_800_000.0, 50_000.0, 0.0, 4_500_000.0, 0.0, -50_000.0)
    degrees = (-60.0, 0.25, 0.0, 80.0, 0.0, -0.25)
    before, after = pair((300, 600, degrees, "EPSG:4326"), (60, 60, laea, "EPSG:3035"))
    output = common_grid(before, after, None, ()).output
    columns, rows = np.meshgrid(np.arange(0.5, 600), np.arange(0.5, 300))
    places = np.stack(before.grid.pixel_to_map(columns.ravel(), rows.ravel()), axis=1)
    there = transform_points(spatial_reference("EPSG:4326"), spatial_reference("EPSG:3035"), places)
    x, y = after.grid.map_to_pixel(there[:, 0], there[:, 1])
    inside = (x >= 0) & (x <= 60) & (y >= 0) & (y <= 60)
    found_x, found_y = columns.ravel()[inside], rows.ravel()[inside]
    left, top = output.offset_in(before.grid)
    assert 0 <= found_x.min() - left <= 2
    assert 0 <= found_y.min() - top <= 2
    assert 0 <= left + output.width - found_x.max() <= 2
    assert 0 <= top + output.height - found_y.max() <= 2


def test_no_overlap(pair):
    far = (600000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5)
    before, after = pair((60, 80, UTM_GRID, UTM), (60, 80, far, UTM))
    with pytest.raises(InputError, match="do not overlap") as error:
        common_grid(before, after, None, (0.5,))
    assert error.value.hint


def test_touching_is_no_overlap(pair):
    beside = (500040.0, 0.5, 0.0, 5000000.0, 0.0, -0.5)
    before, after = pair((60, 80, UTM_GRID, UTM), (60, 80, beside, UTM))
    with pytest.raises(InputError, match="do not overlap"):
        common_grid(before, after, None, (0.5,))


def test_bad_extents(pair):
    before, after = pair((60, 80, UTM_GRID, UTM), (60, 80, UTM_GRID, UTM))
    with pytest.raises(InputError, match="outside the area"):
        common_grid(before, after, Extent(0, 0, 10, 10), ())
    with pytest.raises(InputError, match="empty"):
        common_grid(before, after, Extent(10, 0, 0, 10), ())
    with pytest.raises(InputError, match="not known"):
        common_grid(before, after, Extent(0, 0, 10, 10, "EPSG:nonsense"), ())


# Without georeference -------------------------------------------------------------------------


def test_two_rasters_without_georeference(pair):
    before, after = pair((60, 80, None, ""), (60, 80, None, ""))
    common = common_grid(before, after, None, (0.5,))
    assert common.output == Grid(80, 60, (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), "")
    assert common.working == common.output
    assert len(common.warnings) == 1
    # (column, -row), as QGIS draws it.
    part = common_grid(before, after, Extent(10, -30, 20, -5), ()).output
    assert part.geotransform == (10.0, 1.0, 0.0, -5.0, 0.0, -1.0)
    assert (part.width, part.height) == (10, 25)


def test_pixel_size_given_by_the_user(pair):
    before, after = pair((70, 80, None, ""), (70, 80, None, ""))
    common = common_grid(before, after, None, (0.5,), 1.0)
    assert common.output == common_grid(before, after, None, ()).output
    # Twice as many pixels of half the size, on the same ground.
    assert common.working == Grid(160, 140, (0.0, 0.5, 0.0, 0.0, 0.0, -0.5), "")
    assert (common.pixel_size, common.warnings) == (1.0, ())
    assert common_grid(before, after, None, (0.5,), 0.52).working == common.output
    coarse = common_grid(before, after, None, (0.5,), 10.0)
    assert coarse.working == common.output
    assert "much larger" in coarse.warnings[0]
    small = common_grid(before, after, None, (0.5,), 0.01)
    assert small.working.width == 2
    assert small.warnings == (
        (
            "At a pixel size of 0.01 m, the images show only 0.8 m by 0.7 m of ground, too little "
            "to analyse. Is the pixel size right?"
        ),
    )
    for size in (0.0, -1.0, 1e-200, 1001.0, math.inf, math.nan):
        with pytest.raises(InputError, match="is not possible"):
            common_grid(before, after, None, (0.5,), size)


def test_the_rasters_pixel_size_overrides_the_users(pair):
    before, after = pair((60, 80, UTM_GRID, UTM), (60, 80, UTM_GRID, UTM))
    common = common_grid(before, after, None, (0.5,), 2.0)
    assert common.working == common.output
    assert common.pixel_size == pytest.approx(0.5, rel=1e-3)
    assert common.warnings == (
        ("The given pixel size of 2 m is ignored: the pixels of the earlier raster measure 0.5 m."),
    )
    # The same pixel size may be given for a whole batch: no warning where it is right.
    assert common_grid(before, after, None, (0.5,), 0.52).warnings == ()


def test_sizes_must_match_without_georeference(pair):
    before, after = pair((60, 80, None, ""), (60, 81, None, ""))
    with pytest.raises(InputError, match="80 x 60 pixels, the later one 81 x 60"):
        common_grid(before, after, None, ())


def test_one_without_georeference(pair):
    before, after = pair((60, 80, None, ""), (60, 80, UTM_GRID, UTM))
    with pytest.raises(InputError, match=r'earlier raster "b.tif" has no georeference'):
        common_grid(before, after, None, ())
    with pytest.raises(InputError, match=r'later raster "b.tif" has no georeference'):
        common_grid(after, before, None, ())


def test_a_geotransform_without_crs(make_raster):
    paths = [make_raster(f"{i}.tif", image(60, 80), None) for i in range(3)]
    for path, x in zip(paths, (100.0, 110.0, 0.0)):
        if x:
            dataset = gdal.Open(path, gdal.GA_Update)
            dataset.SetGeoTransform((x, 0.5, 0.0, 50.0, 0.0, -0.5))
            del dataset
    known = make_raster("crs.tif", image(60, 80))
    first, second, pixels, utm = [RasterSource.open(path) for path in (*paths, known)]
    common = common_grid(first, second, None, (0.5,))
    assert common.output.offset_in(first.grid) == (20, 0)
    assert common.output.pixel_size is None
    assert common.working == common.output
    assert "not known" in common.warnings[0]
    with pytest.raises(InputError, match="no georeference"):
        common_grid(first, pixels, None, ())
    with pytest.raises(InputError, match=r'earlier raster "0.tif" is not known'):
        common_grid(first, utm, None, ())


# Working grid ---------------------------------------------------------------------------------


def working(pair, pixel, sizes):
    grid = (500000.0, pixel, 0.0, 5000000.0, 0.0, -pixel)
    before, after = pair((61, 83, grid, UTM), (61, 83, grid, UTM))
    return common_grid(before, after, None, sizes)


def test_finer_pixels_are_processed_at_the_nearest_trained_size(pair):
    common = working(pair, 0.1, (0.5, 10.0))
    assert common.working.pixel_size == pytest.approx(0.5, rel=1e-6)
    assert common.output.pixel_size == pytest.approx(0.1 / 0.9996, rel=1e-4)
    # It covers the output grid, from the same corner.
    assert common.working.geotransform[0] == common.output.geotransform[0]
    assert common.working.width == math.ceil(83 * 0.1 / 0.9996 / 0.5)
    west, south, east, north = common.output.bounds
    left, low, right, high = common.working.bounds
    assert left <= west
    assert low <= south
    assert right >= east
    assert high >= north
    assert common.warnings == ()


@pytest.mark.parametrize(
    ("pixel", "size"),
    [
        (0.5, 0.5),
        (0.46, 0.46),
        (0.55, 0.55),
        (0.39, 0.5),
        (0.6, 0.5),
        (1.0, 0.5),
        (2.0, 0.8),
        (9.5, 9.5),
        (4.0, 10.0),
        (12.0, 10.0),
        (25.0, 10.0),
    ],
)
def test_systems_run_at_the_sizes_they_know(pair, pixel, size):
    common = working(pair, pixel, (0.5, 10.0))
    assert common.working.pixel_size == pytest.approx(size, rel=1e-3)
    assert (common.working == common.output) == (pixel == size)
    assert common.warnings == ()


def test_much_coarser_pixels_are_magnified_so_far_only_with_a_warning(pair):
    common = working(pair, 30.0, (0.5, 10.0))
    assert common.working.pixel_size == pytest.approx(12.0, rel=1e-3)
    (warning,) = common.warnings
    assert "30 m" in warning
    assert "10 m" in warning
    assert working(pair, 27.0, (0.5, 10.0)).warnings == ()
    common = working(pair, 70.0, (0.5, 10.0))
    assert common.working == common.output
    assert common.warnings


def test_degrees_far_north_get_a_metric_grid(pair):
    step = 1e-4
    degrees = (10.0, step, 0.0, 60.0, 0.0, -step)
    before, after = pair((100, 200, degrees, "EPSG:4326"), (100, 200, degrees, "EPSG:4326"))
    common = common_grid(before, after, None, ())
    assert common.output == before.grid
    across, down = common.working.ground_sides
    assert across == pytest.approx(down, rel=1e-4)
    assert common.working.pixel_size == pytest.approx(before.grid.pixel_size, rel=1e-4)
    # 200 x 5.58 m by 100 x 11.14 m in pixels of 7.88 m.
    assert common.working.width == pytest.approx(200 * 5.58 / 7.885, abs=2)
    assert common.working.height == pytest.approx(100 * 11.141 / 7.885, abs=2)
    transform = osr.CoordinateTransformation(
        spatial_reference("EPSG:4326"), spatial_reference(common.working.crs_wkt)
    )
    outline = densify(
        np.array([before.grid.pixel_to_map(*p) for p in ((0, 0), (200, 0), (200, 100), (0, 100))])
    )
    for x, y in outline.tolist():
        column, row = common.working.map_to_pixel(*transform.TransformPoint(x, y)[:2])
        assert -0.01 <= column <= common.working.width + 0.01
        assert -0.01 <= row <= common.working.height + 0.01


def test_metric_grid_at_the_trained_size(pair):
    step = 1e-5
    degrees = (10.0, step, 0.0, 60.0, 0.0, -step)
    before, after = pair((100, 200, degrees, "EPSG:4326"), (100, 200, degrees, "EPSG:4326"))
    common = common_grid(before, after, None, (2.0,))
    assert common.working.pixel_size == pytest.approx(2.0, rel=1e-4)


def test_oblong_pixels_get_a_square_grid(pair):
    oblong = (500000.0, 10.0, 0.0, 5000000.0, 0.0, -20.0)
    before, after = pair((30, 60, oblong, UTM), (30, 60, oblong, UTM))
    common = common_grid(before, after, None, ())
    across, down = common.working.ground_sides
    assert across == pytest.approx(down, rel=1e-4)
    assert across == pytest.approx(math.sqrt(200) / 0.9996, rel=1e-3)


def test_unlike_pixel_sizes_are_reported(pair):
    coarse = (500000.0, 1.5, 0.0, 5000000.0, 0.0, -1.5)
    before, after = pair((60, 80, UTM_GRID, UTM), (20, 27, coarse, UTM))
    common = common_grid(before, after, None, (0.5,))
    (warning,) = common.warnings
    assert "0.5 m" in warning
    assert "1.5 m" in warning


def test_nothing_of_the_process_is_changed(pair):
    exceptions = (gdal.GetUseExceptions(), osr.GetUseExceptions())
    before, after = pair((60, 80, UTM_GRID, UTM), (60, 80, UTM_GRID, UTM))
    common_grid(before, after, Extent(500010, 4999980, 500020, 4999990), (1.0,))
    with thread_options(GDAL_PAM_ENABLED="NO"):
        assert gdal.GetConfigOption("GDAL_PAM_ENABLED") == "NO"
    assert gdal.GetConfigOption("GDAL_PAM_ENABLED") is None
    assert (gdal.GetUseExceptions(), osr.GetUseExceptions()) == exceptions
    assert not {"rasterio", "shapely", "pyproj"} & set(sys.modules)


@pytest.mark.real_data
def test_levir_tiles_are_square_enough(data_dir):
    before, after = (
        RasterSource.open(str(data_dir / "levir" / date / "test_1.tif"))
        for date in ("before", "after")
    )
    common = common_grid(before, after, None, (0.5,))
    # 5.3644e-06 degrees at 30.16 degrees: 0.5168 m by 0.5947 m.
    assert common.output.pixel_size == pytest.approx(0.5544, abs=1e-3)
    assert common.working == common.output == before.grid
    assert common.warnings == ()


def test_bindings_without_options_for_a_thread(monkeypatch):
    """Older GDAL: nothing is set for the whole process instead."""
    monkeypatch.delattr(gdal, "GetThreadLocalConfigOption")
    monkeypatch.delattr(gdal, "SetThreadLocalConfigOption")
    with thread_options(CHANGESCRIBE_TEST="YES"):
        assert gdal.GetConfigOption("CHANGESCRIBE_TEST") is None
