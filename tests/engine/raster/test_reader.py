# SPDX-License-Identifier: GPL-3.0-or-later
"""Rasters of all kinds, read on their own and on other grids."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from osgeo import gdal, osr

from changescribe.engine.errors import InputError
from changescribe.engine.raster.grid import Grid
from changescribe.engine.raster.reader import RasterSource
from changescribe.engine.raster.support import spatial_reference

UTM = "EPSG:32633"
UTM_GRID = (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5)


@pytest.fixture(autouse=True)
def nothing_beside_the_sources(tmp_path):
    """Every test leaves its folder unchanged, except for its own rasters."""
    yield
    assert not list(tmp_path.rglob("*.aux.xml"))


def bands(count, height=6, width=8, dtype=np.uint8):
    """Band b holds 10 b + column + row / 10 (rounded for integers)."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([10 * (b + 1) + columns + rows / 10 for b in range(count)]).astype(dtype)


def edit(path, change):
    dataset = gdal.Open(path, gdal.GA_Update)
    change(dataset)
    dataset.FlushCache()
    del dataset


def mark(path, *kinds):
    def change(dataset):
        for number, kind in enumerate(kinds, 1):
            dataset.GetRasterBand(number).SetColorInterpretation(kind)

    edit(path, change)


def read_all(path, chosen=None):
    with RasterSource.open(path, chosen) as source:
        return source.read(source.grid)


# Opening --------------------------------------------------------------------------------------


def test_what_cannot_be_opened(tmp_path):
    text = tmp_path / "text.tif"
    text.write_text("not a raster")
    cases = {
        str(tmp_path / "missing.tif"): "does not exist",
        str(text): "not a raster",
        str(tmp_path): "not a raster",
        "": "No raster",
        "type=xyz&url=https://tile.example.org/{z}/{x}/{y}.png&zmax=19": "Online maps",
        "contextualWMSLegend=0&crs=EPSG:3857&url=https://example.org/wms": "Online maps",
        "WMS:https://example.org/wms?LAYERS=a": "Online maps",
        "<GDAL_WMS><Service name='TMS'/></GDAL_WMS>": "Online maps",
    }
    for path, message in cases.items():
        with pytest.raises(InputError, match=message) as error:
            RasterSource.open(path)
        assert error.value.hint


def test_the_same_with_exceptions_on(tmp_path):
    text = tmp_path / "text.tif"
    text.write_text("not a raster")
    before = gdal.GetUseExceptions()
    gdal.UseExceptions()
    try:
        with pytest.raises(InputError, match="not a raster"):
            RasterSource.open(str(text))
    finally:
        if not before:
            gdal.DontUseExceptions()


def test_a_container_without_bands_of_its_own(make_raster, tmp_path):
    image = gdal.Open(make_raster("image.tif", bands(3)))
    path = str(tmp_path / "two.gpkg")
    for table, more in (("a", []), ("b", ["APPEND_SUBDATASET=YES"])):
        options = [f"RASTER_TABLE={table}", *more]
        gdal.Translate(path, image, format="GPKG", creationOptions=options)
    with pytest.raises(InputError, match="no bands") as error:
        RasterSource.open(path)
    assert "several rasters" in error.value.hint
    with RasterSource.open(f"GPKG:{path}:b") as source:
        assert source.bands == (1, 2, 3)


def test_a_damaged_file(make_raster):
    rng = np.random.default_rng(0)
    path = make_raster("cut.tif", rng.integers(0, 255, (3, 400, 400), dtype=np.uint8))
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)
    with RasterSource.open(path) as source, pytest.raises(InputError, match="could not be read"):
        source.read(source.grid)


# Bands ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(1, (1, 1, 1)), (2, (1, 1, 2)), (3, (1, 2, 3)), (4, (1, 2, 3)), (5, (1, 2, 3))],
)
def test_default_bands(make_raster, count, chosen):
    # 16 bit, since three or four bands of bytes are marked red, green and blue by GDAL.
    array = bands(count, dtype=np.uint16)
    path = make_raster("image.tif", array)
    with RasterSource.open(path) as source:
        assert source.bands == chosen
        assert source.dtype == np.uint16
        values, valid = source.read(source.grid)
    np.testing.assert_array_equal(values, np.moveaxis(array[[b - 1 for b in chosen]], 0, -1))
    assert valid.all()


def test_marked_bands_come_first(make_raster):
    path = make_raster("bgr.tif", bands(4, dtype=np.uint16))
    mark(path, gdal.GCI_BlueBand, gdal.GCI_GreenBand, gdal.GCI_RedBand, gdal.GCI_Undefined)
    with RasterSource.open(path) as source:
        assert source.bands == (3, 2, 1)


@pytest.mark.parametrize(
    ("order", "chosen"), [((4, 3, 2), (4, 3, 2)), ((2,), (2, 2, 2)), ((4, 1), (4, 4, 1))]
)
def test_chosen_bands(make_raster, order, chosen):
    array = bands(4, dtype=np.uint16)
    path = make_raster("image.tif", array)
    with RasterSource.open(path, order) as source:
        assert source.bands == chosen
    values, _ = read_all(path, order)
    np.testing.assert_array_equal(values[0, 0], array[[b - 1 for b in chosen], 0, 0])


@pytest.mark.parametrize("order", [(5,), (0, 1, 2), (1, 2, 3, 4)])
def test_wrong_bands(make_raster, order):
    path = make_raster("image.tif", bands(4))
    with pytest.raises(InputError, match="band") as error:
        RasterSource.open(path, order)
    assert error.value.hint


def test_complex_numbers(make_raster):
    path = make_raster("complex.tif", np.ones((4, 4), np.complex64))
    with pytest.raises(InputError, match="complex"):
        RasterSource.open(path)


def test_a_palette_becomes_colours(make_raster):
    path = make_raster("palette.tif", np.zeros((1, 4, 4), np.uint8))
    driver = gdal.GetDriverByName("GTiff")
    dataset = driver.Create(path, 4, 4, 1, gdal.GDT_Byte)
    dataset.SetGeoTransform(UTM_GRID)
    table = gdal.ColorTable()
    table.SetColorEntry(1, (200, 100, 50, 255))
    table.SetColorEntry(2, (10, 20, 30, 255))
    dataset.GetRasterBand(1).SetRasterColorTable(table)
    dataset.GetRasterBand(1).WriteArray(np.array([[1, 1, 2, 2]] * 4, np.uint8))
    del dataset
    with RasterSource.open(path) as source:
        values, _ = source.read(source.grid)
        assert values[0, 0].tolist() == [200, 100, 50]
        # Indices are never mixed on another grid.
        warped, _ = source.read(Grid(8, 8, (500000.1, 0.2, 0.0, 4999999.9, 0.0, -0.2), ""))
        colours = {tuple(colour) for colour in warped.reshape(-1, 3).tolist()}
        assert colours == {(200, 100, 50), (10, 20, 30)}


# Windows and validity -------------------------------------------------------------------------


def test_a_window_past_the_edges(make_raster):
    array = bands(3)
    path = make_raster("image.tif", array)
    with RasterSource.open(path) as source:
        values, valid = source.read(source.grid.window(-2, 4, 5, 4))
        outside, none = source.read(source.grid.window(100, 100, 3, 3))
    expected = np.zeros((4, 5), bool)
    expected[:2, 2:] = True
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(values[0, 2], array[:, 4, 0])
    assert not values[~expected].any()
    assert not none.any()
    assert not outside.any()


def test_nodata_needs_all_bands(make_raster):
    array = bands(3)
    array[:, 1, 1] = 0
    array[0, 2, 2] = 0  # a dark pixel, not a missing one
    _, valid = read_all(make_raster("image.tif", array, nodata=0))
    expected = np.ones((6, 8), bool)
    expected[1, 1] = False
    np.testing.assert_array_equal(valid, expected)


def test_nan_in_any_band_is_invalid(make_raster):
    array = bands(3, dtype=np.float32)
    array[1, 3, 4] = np.nan
    values, valid = read_all(make_raster("image.tif", array))
    assert not valid[3, 4]
    assert valid.sum() == 47
    assert values[3, 4].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("dtype", "opaque"), [(np.uint8, 255), (np.uint16, 65535)])
def test_alpha(make_raster, dtype, opaque):
    array = bands(4, dtype=dtype)
    array[3] = opaque
    array[3, :, :3] = 0
    path = make_raster("image.tif", array)
    mark(path, gdal.GCI_RedBand, gdal.GCI_GreenBand, gdal.GCI_BlueBand, gdal.GCI_AlphaBand)
    with RasterSource.open(path) as source:
        assert source.bands == (1, 2, 3)
        _, valid = source.read(source.grid)
        assert not valid[:, :3].any()
        assert valid[:, 3:].all()
        # On another grid too: pixels of 1 m, of which the first is transparent.
        grid = Grid(4, 3, (500000.0, 1.0, 0.0, 5000000.0, 0.0, -1.0), source.grid.crs_wkt)
        values, valid = source.read(grid)
    assert not valid[:, 0].any()
    assert valid[:, 2:].all()
    assert values[0, 2].tolist() == pytest.approx([14.5, 24.5, 34.5], abs=1)


@pytest.mark.parametrize(
    ("dtype", "transparent", "opaque"), [(np.uint8, 127, 128), (np.uint16, 32767, 33000)]
)
def test_half_transparent_pixels_are_valid_from_half_of_the_range_on(
    make_raster, dtype, transparent, opaque
):
    array = bands(4, dtype=dtype)
    array[3] = opaque
    array[3, :, :4] = transparent
    path = make_raster("image.tif", array)
    mark(path, gdal.GCI_RedBand, gdal.GCI_GreenBand, gdal.GCI_BlueBand, gdal.GCI_AlphaBand)
    with RasterSource.open(path) as source:
        _, valid = source.read(source.grid)
        assert valid.tolist() == [[False] * 4 + [True] * 4] * 6
        # Twice as coarse, and half as coarse, where all the pixels around are of one kind.
        for pixel, size, inner in ((1.0, (4, 3), 1), (0.25, (16, 12), 6)):
            place = (500000.0, pixel, 0.0, 5000000.0, 0.0, -pixel)
            _, valid = source.read(Grid(*size, place, source.grid.crs_wkt))
            assert not valid[:, :inner].any()
            assert valid[:, -inner:].all()


def test_mask_of_its_own(make_raster, tmp_path):
    path = make_raster("image.tif", bands(3))

    def change(dataset):
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
        mask = np.full((6, 8), 255, np.uint8)
        mask[:, 6:] = 0
        dataset.GetRasterBand(1).GetMaskBand().WriteArray(mask)

    edit(path, change)
    with RasterSource.open(path) as source:
        _, valid = source.read(source.grid)
        assert valid[:, :6].all()
        assert not valid[:, 6:].any()
        grid = Grid(4, 3, (500000.0, 1.0, 0.0, 5000000.0, 0.0, -1.0), source.grid.crs_wkt)
        _, coarse = source.read(grid)
    assert coarse.tolist() == [[True, True, True, False]] * 3


# Other grids ----------------------------------------------------------------------------------


def test_averages_leave_nodata_out(make_raster):
    array = np.full((1, 8, 8), 100, np.uint16)
    array[0, 0, 0] = 60000
    array[0, 0, 1] = 0
    path = make_raster("image.tif", array, nodata=60000)
    with RasterSource.open(path) as source:
        grid = Grid(4, 4, (500000.0, 1.0, 0.0, 5000000.0, 0.0, -1.0), source.grid.crs_wkt)
        values, valid = source.read(grid)
    assert valid.all()
    assert values[0, 0, 0] in {66, 67}  # of 0, 100 and 100
    assert (values[0, 1:, 0] == 100).all()
    assert (values[1:, :, 0] == 100).all()


def test_strong_reduction_is_the_mean_of_the_valid_pixels(make_raster):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 1000, (4, 100, 100)).astype(np.uint16)
    array[3] = 65535
    array[3, ::5] = 0
    array[:3, ::5] = 60000  # transparent, so it must not count
    path = make_raster("image.tif", array)
    mark(path, gdal.GCI_RedBand, gdal.GCI_GreenBand, gdal.GCI_BlueBand, gdal.GCI_AlphaBand)
    with RasterSource.open(path) as source:
        grid = Grid(20, 20, (500000.0, 2.5, 0.0, 5000000.0, 0.0, -2.5), source.grid.crs_wkt)
        values, valid = source.read(grid)
    blocks = array[:3].reshape(3, 20, 5, 20, 5)[:, :, 1:]
    np.testing.assert_allclose(np.moveaxis(values, -1, 0), blocks.mean(axis=(2, 4)), atol=1)
    assert valid.all()


def test_averages_keep_a_dark_band(make_raster):
    array = np.full((3, 8, 8), 100, np.uint8)
    array[0, :2, :2] = 0  # the nodata value in one band only: a colour
    array[:, 4:6, 4:6] = 0
    path = make_raster("image.tif", array, nodata=0)
    with RasterSource.open(path) as source:
        grid = Grid(4, 4, (500000.0, 1.0, 0.0, 5000000.0, 0.0, -1.0), source.grid.crs_wkt)
        values, valid = source.read(grid)
    assert values[0, 0].tolist() == [0, 100, 100]
    assert valid[0, 0]
    assert not valid[2, 2]
    assert valid.sum() == 15


@pytest.mark.parametrize(
    ("pixel", "means"), [(0.6, [15, 60, 0, 60, 15]), (0.9, [40, 10, 50, 10, 40])]
)
def test_slightly_coarser_grid_is_averaged(make_raster, pixel, means):
    # Columns 1, 4, 7, ... hold 90, the others 0. Pixel k of the grid covers the columns from
    # 1.2 k to 1.2 (k + 1) (or 1.8 k to 1.8 (k + 1)): the first takes 0.2 of column 1 and 1.2 in
    # all, so its mean is 0.2 / 1.2 x 90 = 15.
    array = np.zeros((18, 18), np.float32)
    array[:, 1::3] = 90
    path = make_raster("stripes.tif", array)
    with RasterSource.open(path) as source:
        place = (500000.0, pixel, 0.0, 5000000.0, 0.0, -pixel)
        values, valid = source.read(Grid(5, 5, place, source.grid.crs_wkt))
    assert valid.all()
    np.testing.assert_allclose(values[..., 0], [means] * 5, atol=0.01)


def test_finer_grid_is_interpolated(make_raster):
    rows, columns = np.mgrid[0:20, 0:20]
    array = (columns * 10 + rows).astype(np.float32)
    path = make_raster("ramp.tif", array)
    with RasterSource.open(path) as source:
        grid = Grid(8, 8, (500002.0, 0.25, 0.0, 4999998.0, 0.0, -0.25), source.grid.crs_wkt)
        values, valid = source.read(grid)
    # The centre of the first pixel lies at column 4.25 and row 4.25 of the source.
    assert values[0, 0, 0] == pytest.approx((4.25 - 0.5) * 10 + 3.75, abs=0.01)
    assert values[2, 4, 0] == pytest.approx((6.25 - 0.5) * 10 + 4.75, abs=0.01)
    assert valid.all()


@pytest.mark.parametrize(("pixel", "outside"), [(0.25, 20), (1.0, 5)])
def test_partly_outside_on_another_grid(make_raster, pixel, outside):
    path = make_raster("image.tif", np.full((3, 20, 20), 50, np.uint8))
    with RasterSource.open(path) as source:
        size = round(10 / pixel)
        place = (499995.0, pixel, 0.0, 5000000.0, 0.0, -pixel)
        values, valid = source.read(Grid(size, size, place, source.grid.crs_wkt))
    # GDAL's average takes in the pixel whose edge touches the raster's.
    sure = outside - 1 if pixel > 0.5 else outside
    assert not valid[:, :sure].any()
    assert valid[:, outside:].all()
    assert (values[valid] == 50).all()
    assert not values[~valid].any()


def test_another_crs_lies_where_it_should(make_raster):
    # A ramp over the longitude: read in UTM, each pixel must hold its own longitude.
    step = 1e-5
    _, columns = np.mgrid[0:200, 0:200]
    longitudes = (15.0 + (columns + 0.5) * step).astype(np.float64)
    path = make_raster("lon.tif", longitudes, (15.0, step, 0.0, 45.154, 0.0, -step), "EPSG:4326")
    transform = osr.CoordinateTransformation(spatial_reference(UTM), spatial_reference("EPSG:4326"))
    grid = Grid(
        30, 30, (500060.0, 0.9, 0.0, 5000000.0, 0.0, -0.9), spatial_reference(UTM).ExportToWkt()
    )
    with RasterSource.open(path) as source:
        values, valid = source.read(grid)
    assert valid.all()
    for row, column in ((0, 0), (15, 7), (29, 29)):
        lon = transform.TransformPoint(*grid.pixel_to_map(column + 0.5, row + 0.5))[0]
        assert values[row, column, 0] == pytest.approx(lon, abs=0.15 * step)


def test_rotated_raster(make_raster):
    # Turned by 90 degrees: x = 500000 + row / 2, y = 4999990 + column / 2.
    array = np.arange(20 * 20, dtype=np.float32).reshape(20, 20)
    path = make_raster("turned.tif", array, (500000.0, 0.0, 0.5, 4999990.0, 0.5, 0.0))
    with RasterSource.open(path) as source:
        own, _ = source.read(source.grid)
        grid = Grid(20, 20, UTM_GRID, source.grid.crs_wkt)
        values, valid = source.read(grid)
    np.testing.assert_array_equal(own[..., 0], array)
    assert valid.all()
    # North-up column c, row r is the turned raster's column 19 - r, row c.
    np.testing.assert_allclose(values[..., 0], array[:, ::-1].T, atol=1e-3)


def test_a_grid_out_of_reach_is_empty(make_raster):
    path = make_raster("image.tif", bands(3))
    pole = Grid(
        4, 4, (0.0, 0.1, 0.0, -89.0, 0.0, -0.1), spatial_reference("EPSG:4326").ExportToWkt()
    )
    with RasterSource.open(path) as source:
        _, valid = source.read(pole)
    assert not valid.any()


# Georeference ---------------------------------------------------------------------------------


def test_no_georeference_is_drawn_as_qgis_does(make_raster):
    array = bands(3)
    path = make_raster("plain.tif", array, None)
    with RasterSource.open(path) as source:
        assert source.grid == Grid(8, 6, (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), "")
        assert not source.grid.georeferenced
        values, valid = source.read(source.grid.window(2, 3, 2, 2))
        np.testing.assert_array_equal(values[0, 0], array[:, 3, 2])
        assert valid.all()
        # Half-size pixels have no use in a run, but the reader does not care.
        fine, valid = source.read(Grid(16, 12, (0.0, 0.5, 0.0, 0.0, 0.0, -0.5), ""))
        assert valid.all()
        assert fine[0, 0, 0] == 10


def test_ground_control_points_are_warped(make_raster):
    array = np.arange(20 * 20, dtype=np.uint16).reshape(20, 20) + 1
    path = make_raster("gcp.tif", array, None)

    def change(dataset):
        points = [
            gdal.GCP(500000.0 + x * 0.5, 5000000.0 - y * 0.5, 0, x, y)
            for x, y in ((0, 0), (20, 0), (20, 20), (0, 20))
        ]
        dataset.SetGCPs(points, spatial_reference(UTM).ExportToWkt())

    edit(path, change)
    with RasterSource.open(path) as source:
        assert source.grid.crs_wkt
        assert source.grid.bounds == pytest.approx((500000, 4999990, 500010, 5000000), abs=0.5)
        values, valid = source.read(Grid(20, 20, UTM_GRID, source.grid.crs_wkt))
    inner = (slice(2, 18), slice(2, 18))
    assert valid[inner].all()
    assert np.abs(values[inner][..., 0].astype(int) - array[inner]).max() <= 1


# Process --------------------------------------------------------------------------------------


def test_threads_with_a_source_each(make_raster):
    path = make_raster("image.tif", np.full((3, 64, 64), 9, np.uint16))
    results = []

    def work():
        with RasterSource.open(path) as source:
            grid = Grid(16, 16, (500000.0, 2.0, 0.0, 5000000.0, 0.0, -2.0), source.grid.crs_wkt)
            results.extend(int(source.read(grid)[0].min()) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [9] * 20
