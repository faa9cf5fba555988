# SPDX-License-Identifier: GPL-3.0-or-later
"""Clouds on one of two dates, and what is not taken for a cloud."""

from __future__ import annotations

import numpy as np
import pytest
from blobs import ground

from changescribe.engine.raster.comparison.clouds import CloudMask, _count, find_clouds
from changescribe.engine.raster.grid import Grid
from changescribe.engine.raster.reader import RasterSource

TEN_METRES = (500000.0, 10.0, 0.0, 5000000.0, 0.0, -10.0)
CLOUD = (slice(None), slice(60, 100), slice(60, 100))
SHADOW = (slice(None), slice(110, 150), slice(90, 130))


def land():
    return np.stack([700 + ground().astype(np.uint16) * 4] * 3)


def found(make_raster, after, geotransform=TEN_METRES):
    before = land().astype(after.dtype)
    paths = [
        make_raster(name, image, geotransform=geotransform)
        for name, image in (("before.tif", before), ("after.tif", after))
    ]
    with RasterSource.open(paths[0]) as first, RasterSource.open(paths[1]) as second:
        return find_clouds(first, second, first.grid)


@pytest.fixture
def clear():
    return land()


def with_cloud(image, *, shadow=True, colour=(6000, 6200, 6500)):
    image = image.copy()
    image[CLOUD] = np.array(colour)[:, None, None]
    if shadow:
        image[SHADOW] //= 2
    return image


def test_a_cloud_with_its_shadow(make_raster, clear):
    before, after = found(make_raster, with_cloud(clear))
    assert before is None
    assert after.clouds[CLOUD[1:]].all()
    assert after.shadows[SHADOW[1:]].mean() > 0.95
    assert after.clouds.sum() + after.shadows.sum() < 1.6 * 2 * 40 * 40


def test_what_is_no_cloud(make_raster, clear):
    cases = {
        "nothing": clear,
        "no shadow": with_cloud(clear, shadow=False),
        "not white": with_cloud(clear, colour=(9000, 3000, 2600)),
        "not bright": with_cloud(clear, colour=(2000, 2000, 2000)),
    }
    small = clear.copy()
    small[:, 60:70, 60:70] = 6000
    small[:, 110:120, 90:100] //= 2
    cases["small"] = small
    for name, image in cases.items():
        assert found(make_raster, image) == (None, None), name


def test_an_overcast_part_needs_no_shadow(make_raster, clear):
    after = clear.copy()
    after[:, :, :60] = 6000
    assert found(make_raster, after)[1].clouds[:, :60].mean() > 0.8


def test_only_coarse_16_bit_rasters_are_tested(make_raster, clear):
    after = with_cloud(clear)
    assert found(make_raster, after, (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5)) == (None, None)
    assert found(make_raster, (after // 10 % 256).astype(np.uint8)) == (None, None)


def test_squares_are_counted():
    mask = np.zeros((3, 4), bool)
    mask[0, 0] = mask[1, 2] = True
    assert _count(mask, 1).tolist() == [[1, 2, 1, 1], [1, 2, 1, 1], [0, 1, 1, 1]]


def test_a_mask_on_a_finer_and_moved_grid():
    grid = Grid(2, 2, (0.0, 10.0, 0.0, 0.0, 0.0, -10.0), "")
    mask = CloudMask(grid, np.array([[1, 0], [0, 0]], bool), np.zeros((2, 2), bool))
    fine = Grid(4, 2, (5.0, 5.0, 0.0, -5.0, 0.0, -5.0), "")
    assert mask.hidden(fine).tolist() == [[True, False, False, False], [False] * 4]
