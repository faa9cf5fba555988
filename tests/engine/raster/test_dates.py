# SPDX-License-Identifier: GPL-3.0-or-later
"""Dates of images: their order, and that asking for them in names loads no GDAL."""

from __future__ import annotations

import subprocess
import sys

import pytest

from changescribe.engine.raster.dates import date_in_name, reversed_dates


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
