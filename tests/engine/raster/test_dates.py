# SPDX-License-Identifier: GPL-3.0-or-later
"""Dates of images: in names, in metadata, their order; reading names loads no GDAL."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from osgeo import gdal

from changescribe.engine.raster.dates import date_in_name, reversed_dates
from changescribe.engine.raster.reader import RasterSource


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("2019.tif", "2019"),
        ("site_2019-06.tif", "2019-06"),
        ("S2A_MSIL1C_20150826T084006.tif", "2015-08-26"),
        ("ortho_2019_06_12_v2.tif", "2019-06-12"),
        ("ortho_201906.tif", "2019-06"),
        ("test_1.tif", None),
        ("tile_2999.tif", None),
        ("tile_20101.tif", None),
        ("x20190231.tif", None),
    ],
)
def test_dates_in_names(name, date):
    assert date_in_name(name) == date


def test_dates_in_metadata(make_raster):
    def dated(name):
        path = make_raster(name, np.zeros((3, 4, 4), np.uint8))
        dataset = gdal.Open(path, gdal.GA_Update)
        dataset.SetMetadataItem("TIFFTAG_DATETIME", "2021:01:05 10:00:00")
        dataset.FlushCache()
        del dataset
        with RasterSource.open(path) as source:
            return source.date

    assert dated("ortho_2018.tif") == "2018"  # the name counts more than the day of processing
    assert dated("ortho.tif") == "2021-01-05"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("2019", "2012", True),
        ("2012-05-04", "2012-05-03", True),
        ("2012-05-04", "2012-04", True),
        ("2012-05-04", "2012", False),
        ("2012", "2012-05-04", False),
        ("2012-05", "2012-05", False),
        ("2012", "2019", False),
        (None, "2012", False),
        ("2019", "", False),
    ],
)
def test_reversed_as_far_as_both_dates_go(before, after, expected):
    assert reversed_dates(before, after) is expected


def test_size_of_a_tile_is_no_date():
    assert date_in_name("tile_2048x2048_2019.tif") == "2019"


def test_loads_no_gdal():
    code = (
        "import sys, changescribe.engine.raster.dates; "
        "print([name for name in ('osgeo', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
