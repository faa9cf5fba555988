# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pixels are valid, whatever the file says about them."""

from __future__ import annotations

import numpy as np
import pytest
from osgeo import gdal

from changescribe.engine.raster.grid import Grid
from changescribe.engine.raster.reader import RasterSource
from changescribe.engine.raster.support import spatial_reference

PLACE = (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5)
SIZE = 64
HOLE = (slice(16, 32), slice(24, 48))
COLOURS = (gdal.GCI_RedBand, gdal.GCI_GreenBand, gdal.GCI_BlueBand)
RNG = np.random.default_rng(5)
IMAGE = RNG.integers(40, 200, (3, SIZE, SIZE))
UTM = spatial_reference("EPSG:32633").ExportToWkt()
HOLED = np.ones((SIZE, SIZE), bool)
HOLED[HOLE] = False
EVERYWHERE = np.ones((SIZE, SIZE), bool)


def write(tmp_path, planes, dtype=np.uint8, nodata=None, mask=None, alpha=False, options=()):
    """Write planes (C, H, W); ``mask`` (H, W) as an internal mask; the last band as alpha."""
    path = str(tmp_path / "image.tif")
    code = {np.uint8: gdal.GDT_Byte, np.uint16: gdal.GDT_UInt16, np.float32: gdal.GDT_Float32}
    count = len(planes)
    rgb = ["PHOTOMETRIC=RGB", "ALPHA=YES" if alpha else "ALPHA=NO"] if count == 4 else []
    driver = gdal.GetDriverByName("GTiff")
    raster = driver.Create(path, SIZE, SIZE, count, code[dtype], [*options, *rgb])
    raster.SetGeoTransform(PLACE)
    raster.SetProjection(UTM)
    for number, plane in enumerate(planes, 1):
        raster.GetRasterBand(number).WriteArray(np.asarray(plane).astype(dtype))
        if nodata is not None:
            raster.GetRasterBand(number).SetNoDataValue(nodata)
    if mask is not None:
        raster.CreateMaskBand(gdal.GMF_PER_DATASET)
        raster.GetRasterBand(1).GetMaskBand().WriteArray(mask.astype(np.uint8) * 255)
    return path


def check(path, expected, mode="auto", ranges=()):
    """Compare the validity on the raster's own grid, half as fine, and twice as fine."""
    with RasterSource.open(path, nodata=mode, ranges=ranges) as source:
        _, valid = source.read(source.grid)
        np.testing.assert_array_equal(valid, expected)
        coarse = source.grid.scaled(2, 2)
        _, valid = source.read(coarse)
        np.testing.assert_array_equal(valid, expected[::2, ::2])
        _, valid = source.read(source.grid.scaled(4, 4))
        np.testing.assert_array_equal(valid, expected[::4, ::4])
        moved = Grid(SIZE, SIZE, (PLACE[0], 0.25, 0, PLACE[3], 0, -0.25), source.grid.crs_wkt)
        _, valid = source.read(moved)
        fine = expected[: SIZE // 2, : SIZE // 2].repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(valid, fine)
        return source.notes


# Alpha --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_image_marked_as_alpha_hides_nothing(tmp_path, dtype):
    infrared = RNG.integers(1, 254, (SIZE, SIZE))
    path = write(tmp_path, [*IMAGE, infrared], dtype, alpha=True)
    (note,) = check(path, EVERYWHERE)
    assert "Band 4" in note
    assert "image.tif" in note


def test_an_image_with_black_edges_marked_as_alpha_hides_nothing(tmp_path):
    infrared = RNG.integers(1, 254, (SIZE, SIZE))
    infrared[:, :40] = 0
    assert check(write(tmp_path, [*IMAGE, infrared], alpha=True), EVERYWHERE)


@pytest.mark.parametrize(
    ("dtype", "opaque"),
    [(np.uint8, 255), (np.uint8, 1), (np.uint16, 255), (np.uint16, 4095), (np.uint16, 65535),
     (np.float32, 1), (np.float32, 255)],
)  # fmt: skip
def test_an_alpha_band_of_any_range(tmp_path, dtype, opaque):
    path = write(tmp_path, [*IMAGE, HOLED * opaque], dtype, alpha=True)
    assert check(path, HOLED) == ()


def test_an_alpha_band_with_soft_edges(tmp_path):
    alpha = HOLED * 255
    alpha[15, 24:48] = RNG.integers(128, 254, 24)
    alpha[32, 24:48] = RNG.integers(128, 254, 24)
    assert check(write(tmp_path, [*IMAGE, alpha], alpha=True), HOLED) == ()


def test_the_user_decides_about_alpha(tmp_path):
    infrared = np.where(HOLED, RNG.integers(130, 254, (SIZE, SIZE)), 10)
    path = write(tmp_path, [*IMAGE, infrared], alpha=True)
    check(path, EVERYWHERE)
    check(path, HOLED, "alpha")
    path = write(tmp_path, [*IMAGE, HOLED * 255], alpha=True)
    check(path, HOLED)
    check(path, EVERYWHERE, "mask")
    check(path, EVERYWHERE, "none")


# Masks and nodata values --------------------------------------------------------------------


@pytest.mark.parametrize("nodata", [0, 256, -9999, 255])
def test_a_mask_beside_a_nodata_value(tmp_path, nodata):
    check(write(tmp_path, IMAGE, nodata=nodata, mask=HOLED), HOLED)


def test_a_mask_and_nodata_in_other_places(tmp_path):
    image = IMAGE.copy()
    image[:, 48:56, :8] = 0
    expected = HOLED.copy()
    expected[48:56, :8] = False
    path = write(tmp_path, image, nodata=0, mask=HOLED)
    check(path, expected)
    check(path, expected, "mask")
    check(path, EVERYWHERE, "none")


@pytest.mark.parametrize(("nodata", "ground"), [(300, 255), (-9999, 0), (0.5, 0), (1e30, 255)])
def test_a_nodata_value_out_of_range_hides_no_ground(tmp_path, nodata, ground):
    image = IMAGE.copy()
    image[:, HOLE[0], HOLE[1]] = ground
    check(write(tmp_path, image, nodata=nodata), EVERYWHERE)


@pytest.mark.parametrize("nodata", [-9.223372036854776e18, 0.1, float("nan"), -3.4028e38])
def test_a_nodata_value_of_floats(tmp_path, nodata):
    image = IMAGE.astype(np.float32)
    image[:, HOLE[0], HOLE[1]] = nodata
    check(write(tmp_path, image, np.float32, nodata=nodata), HOLED)


def test_values_that_the_user_declared_as_nodata(tmp_path):
    image = IMAGE.copy()
    image[:, HOLE[0], HOLE[1]] = 7
    path = write(tmp_path, image)
    check(path, EVERYWHERE)
    check(path, HOLED, ranges=((5.0, 8.0),))


def test_nodata_of_all_bands_together(tmp_path):
    image = IMAGE.copy()
    for plane, value in zip(image, (1, 2, 3), strict=True):
        plane[HOLE] = value
    path = write(tmp_path, image)
    raster = gdal.Open(path, gdal.GA_Update)
    raster.SetMetadataItem("NODATA_VALUES", "1 2 3")
    raster = None
    check(path, HOLED)


# Palettes, inverted greys, overviews ---------------------------------------------------------


def palette_raster(tmp_path, index, colours, gcps=None):
    path = str(tmp_path / "palette.tif")
    raster = gdal.GetDriverByName("GTiff").Create(path, SIZE, SIZE, 1, gdal.GDT_Byte)
    table = gdal.ColorTable()
    for number, colour in enumerate(colours):
        table.SetColorEntry(number, colour)
    band = raster.GetRasterBand(1)
    band.SetColorTable(table)
    band.SetColorInterpretation(gdal.GCI_PaletteIndex)
    if gcps is None:
        raster.SetGeoTransform(PLACE)
        raster.SetProjection(UTM)
    else:
        raster.SetGCPs(gcps, UTM)
    band.WriteArray(index.astype(np.uint8))
    raster = None
    # GeoTIFF keeps no transparency in its palette.
    vrt = str(tmp_path / "palette.vrt")
    gdal.Translate(vrt, path, format="VRT")
    view = gdal.Open(vrt, gdal.GA_Update)
    view.GetRasterBand(1).SetColorTable(table)
    view = None
    return vrt


def test_transparent_colours_of_a_palette(tmp_path):
    index = np.full((SIZE, SIZE), 2)
    index[HOLE] = 1
    index[48:56, :8] = 0
    expected = HOLED.copy()
    expected[48:56, :8] = False
    path = palette_raster(tmp_path, index, [(0, 0, 0, 0), (255, 255, 255, 0), (90, 120, 60, 255)])
    check(path, expected)
    check(path, EVERYWHERE, "none")


def test_a_palette_placed_by_turned_control_points_keeps_its_colours(tmp_path):
    index = RNG.integers(0, 2, (SIZE, SIZE)) * 200
    colours = [(10, 20, 30, 255)] + [(255, 0, 255, 255)] * 199 + [(200, 210, 220, 255)]
    turned = [
        gdal.GCP(500000 + 0.5 * (0.8 * x + 0.6 * y), 5000000 + 0.5 * (0.6 * x - 0.8 * y), 0, x, y)
        for x, y in ((0, 0), (SIZE, 0), (SIZE, SIZE), (0, SIZE))
    ]
    with RasterSource.open(palette_raster(tmp_path, index, colours, turned)) as source:
        array, valid = source.read(source.grid)
    found = {tuple(colour) for colour in array[valid].tolist()}
    assert found == {(10, 20, 30), (200, 210, 220)}
    assert valid.mean() == pytest.approx(SIZE**2 / valid.size, rel=0.05)


def test_a_mask_of_a_raster_with_control_points(tmp_path):
    path = write(tmp_path, IMAGE, nodata=0, mask=HOLED)
    points = [
        gdal.GCP(500000 + 0.5 * x, 5000000 - 0.5 * y, 0, x, y)
        for x, y in ((0, 0), (SIZE, 0), (SIZE, SIZE), (0, SIZE))
    ]
    raster = gdal.Open(path, gdal.GA_Update)
    raster.SetGeoTransform((0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    raster.SetGCPs(points, UTM)
    raster = None
    with RasterSource.open(path) as source:
        array, valid = source.read(Grid(SIZE, SIZE, PLACE, source.grid.crs_wkt))
    np.testing.assert_array_equal(valid, HOLED)
    assert np.abs(array[HOLED].astype(int) - np.moveaxis(IMAGE, 0, -1)[HOLED]).max() <= 1


def test_white_is_zero(tmp_path):
    path = write(tmp_path, IMAGE[:1], options=["PHOTOMETRIC=MINISWHITE"])
    with RasterSource.open(path) as source:
        array, _ = source.read(source.grid)
        np.testing.assert_array_equal(array[..., 0], 255 - IMAGE[0])


def test_overviews_are_not_taken_for_the_raster(tmp_path):
    path = write(tmp_path, IMAGE)
    raster = gdal.Open(path, gdal.GA_Update)
    raster.BuildOverviews("NEAREST", [4])
    for number in (1, 2, 3):
        overview = raster.GetRasterBand(number).GetOverview(0)
        overview.WriteArray(np.full((SIZE // 4, SIZE // 4), 255, np.uint8))
    raster = None
    with RasterSource.open(path) as source:
        array, _ = source.read(source.grid.scaled(8, 8))
    blocks = IMAGE.reshape(3, 8, 8, 8, 8).mean((2, 4))
    np.testing.assert_allclose(np.moveaxis(array, -1, 0), blocks, atol=1)
