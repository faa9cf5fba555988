# SPDX-License-Identifier: GPL-3.0-or-later
"""Quality rasters: which values hide the ground."""

from __future__ import annotations

import numpy as np
import pytest
from osgeo import gdal

from changescribe.engine.errors import InputError
from changescribe.engine.raster.comparison.quality import (
    QualityMask,
    hidden_share,
    parse_values,
    split,
)
from changescribe.engine.raster.grid import Grid
from changescribe.engine.raster.reader import RasterSource

GEOTRANSFORM = (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5)


def hidden_of(text, grid=None):
    with QualityMask(text) as mask:
        return mask.hidden(grid or mask._source.grid)


def test_scene_classification_by_name(make_raster):
    path = make_raster("T33_20200101_SCL_20m.tif", np.arange(12, dtype=np.uint8)[None])
    # No data, saturated, shadow, two clouds, cirrus; not dark (2), unclassified (7) or snow (11).
    hidden = [0, 1, 3, 8, 9, 10]
    assert np.flatnonzero(hidden_of(path)[0]).tolist() == hidden
    assert np.flatnonzero(hidden_of(f"{path}:scl,11")[0]).tolist() == [*hidden, 11]
    assert np.flatnonzero(hidden_of(f"{path}:4-6, 2")[0]).tolist() == [2, 4, 5, 6]


def test_qa_pixel_by_name(make_raster):
    # Clear land, clear water, snow; fill, dilated cloud, cirrus, high cloud, cloud shadow.
    values = [21824, 21952, 30048, 1, 21826, 54596, 22280, 23888]
    path = make_raster("LC09_L2SP_T1_QA_PIXEL.TIF", np.array([values], np.uint16))
    assert hidden_of(path)[0].tolist() == [False, False, False, True, True, True, True, True]
    assert hidden_of(f"{path}:bit5")[0].tolist() == [False, False, True] + [False] * 5


def test_another_mask_hides_where_it_is_zero_or_nodata(make_raster):
    path = make_raster("valid.tif", np.array([[0, 1, 7, 255]], np.uint8), nodata=255)
    assert hidden_of(path)[0].tolist() == [True, False, False, True]


def test_a_palette_and_an_inverted_scale_do_not_matter(make_raster):
    path = make_raster("scl.tif", np.array([[3, 4, 5, 9]], np.uint8))
    dataset = gdal.Open(path, gdal.GA_Update)
    table = gdal.ColorTable()
    for index in range(12):
        table.SetColorEntry(index, (9, 9, 9, 255))
    dataset.GetRasterBand(1).SetColorTable(table)
    del dataset
    assert hidden_of(path)[0].tolist() == [True, False, False, True]


def test_classes_are_not_averaged_on_other_grids(make_raster):
    values = np.array([[3, 5], [5, 3]], np.uint8)
    path = make_raster("SCL.tif", values)
    fine = Grid(8, 8, (500000.0, 0.125, 0.0, 5000000.0, 0.0, -0.125), "")
    with QualityMask(path) as mask:
        fine = Grid(8, 8, fine.geotransform, mask._source.grid.crs_wkt)
        # 3 and 5 average to 4, which hides nothing.
        assert (mask.hidden(fine) == np.kron(values == 3, np.ones((4, 4)))).all()
        outside = mask._source.grid.window(-1, 0, 2, 2)
        assert mask.hidden(outside).tolist() == [[True, True], [True, False]]


def test_the_share_of_what_is_hidden(make_raster):
    image = make_raster("image.tif", np.full((3, 40, 40), 9, np.uint8))
    values = np.full((40, 40), 4, np.uint8)
    values[:10] = 9
    path = make_raster("SCL.tif", values)
    with RasterSource.open(image) as source, QualityMask(path) as mask:
        source.excluded.append(mask.hidden)
        assert hidden_share(source, source.grid) == pytest.approx(0.25)
        assert source.read(source.grid)[1].tolist() == (values == 4).tolist()


def test_file_and_values(tmp_path):
    assert split("a/SCL.tif:3,8-10") == ("a/SCL.tif", "3,8-10")
    assert split("C:\\data\\SCL.tif") == ("C:\\data\\SCL.tif", "")
    assert split("C:\\data\\SCL.tif:scl,11") == ("C:\\data\\SCL.tif", "scl,11")
    odd = tmp_path / "mask:3"
    odd.touch()
    assert split(str(odd)) == (str(odd), "")
    assert parse_values("bit3,bit4") == ([], 0b11000)
    for wrong in ("", "cloud", "3-", "-3", "99999"):
        with pytest.raises(InputError, match="quality mask"):
            parse_values(wrong)


def test_what_is_no_mask(make_raster, tmp_path):
    with pytest.raises(InputError, match="whole numbers"):
        QualityMask(make_raster("float.tif", np.ones((2, 2), np.float32)))
    with pytest.raises(InputError, match="does not exist"):
        QualityMask(str(tmp_path / "missing.tif"))
    plain = make_raster("plain.tif", np.ones((2, 2), np.uint8), geotransform=None)
    with QualityMask(plain) as mask:
        mask.check(Grid(2, 2, (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), ""))
        for grid in (Grid(2, 2, GEOTRANSFORM, ""), Grid(3, 2, (0.0, 1, 0, 0.0, 0, -1.0), "")):
            with pytest.raises(InputError, match="cannot be placed"):
                mask.check(grid)
