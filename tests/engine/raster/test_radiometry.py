# SPDX-License-Identifier: GPL-3.0-or-later
"""The joint stretch: the same ground looks alike, changes stay."""

from __future__ import annotations

import numpy as np
import pytest

from changescribe.engine.raster.radiometry import Stretch, joint_stretch
from changescribe.engine.raster.reader import RasterSource


@pytest.fixture
def stretched(make_raster):
    """Return a function that stretches two arrays (3, H, W), and gives (H, W, 3) bytes."""

    def run(before, after, nodata=None):
        paths = [
            make_raster("b.tif", before, nodata=nodata),
            make_raster("a.tif", after, nodata=nodata),
        ]
        with RasterSource.open(paths[0]) as first, RasterSource.open(paths[1]) as second:
            stretches = joint_stretch(first, second, first.grid)
            return stretches, [
                stretch.apply(source.read(first.grid)[0])
                for stretch, source in zip(stretches, (first, second))
            ]

    return run


def scene(seed=0, size=200):
    rng = np.random.default_rng(seed)
    return rng.normal(1000, 150, (3, size, size)).clip(1, 4000)


def test_eight_bits_pass_unchanged(stretched):
    array = np.random.default_rng(0).integers(0, 256, (3, 50, 60)).astype(np.uint8)
    stretches, images = stretched(array, array // 2)
    assert stretches == (Stretch(), Stretch())
    np.testing.assert_array_equal(images[0], np.moveaxis(array, 0, -1))


def test_percentiles_by_hand(stretched):
    # 0 to 1000 evenly: the 2nd percentile is 20, the 98th is 980.
    ramp = np.arange(1001, dtype=np.float32).reshape(1, 7, 143).repeat(3, axis=0)
    (before, after), images = stretched(ramp, ramp)
    assert before.low == pytest.approx((20, 20, 20))
    assert before.high == pytest.approx((980, 980, 980))
    assert after == before
    image = images[0].reshape(-1, 3)
    assert image[500].tolist() == [128, 128, 128]  # 255 / 2 = 127.5, to the even number
    assert image[20].tolist() == [0, 0, 0]
    assert image[[0, 1000], 0].tolist() == [0, 255]


def test_a_global_difference_is_taken_out(stretched):
    before = scene()
    after = before * 1.7 + 300
    _, (first, second) = stretched(before.astype(np.uint16), after.astype(np.uint16))
    assert np.abs(first.astype(int) - second).max() <= 1


def test_other_sensor_ranges(stretched):
    before = scene()
    _, (first, second) = stretched(before.astype(np.uint16), (before / 10000).astype(np.float32))
    assert np.abs(first.astype(int) - second).max() <= 1


def test_new_bright_roofs_do_not_darken_the_rest(stretched):
    before = scene()
    after = before.copy()
    after[:, :40, :40] = 3500  # 4 % of the pixels
    _, (first, second) = stretched(before.astype(np.uint16), after.astype(np.uint16))
    unchanged = np.abs(first[50:].astype(int) - second[50:])
    assert unchanged.max() <= 12
    # And the roofs are there.
    assert (second[:40, :40].astype(int) - first[:40, :40]).mean() > 60


def test_nodata_and_nan_do_not_count(stretched):
    before = scene().astype(np.float32)
    (clean, _), _ = stretched(before, before)
    broken = before.copy()
    broken[:, :60] = np.nan
    broken[:, 60:70] = -9999
    (stretch, _), (image, _) = stretched(broken, broken, nodata=-9999)
    assert stretch.low == pytest.approx(clean.low, rel=0.03)
    assert stretch.high == pytest.approx(clean.high, rel=0.03)
    assert not image[:70].any()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_constant_bands(stretched, dtype):
    before = np.full((3, 20, 20), 700, dtype)
    after = before.copy()
    after[:, :2] = 900
    with np.errstate(all="raise"):
        _, (first, second) = stretched(before, before)
        assert len(np.unique(first)) == 1
        np.testing.assert_array_equal(first, second)
        _, (first, second) = stretched(before, after)
    np.testing.assert_array_equal(first[5:], second[5:])
    assert (second[:2] > first[:2]).all()


def test_nothing_valid(stretched):
    empty = np.zeros((3, 20, 20), np.uint16)
    _, (first, _) = stretched(empty, empty, nodata=0)
    assert not first.any()


def test_beside_an_eight_bit_raster(stretched):
    before = np.random.default_rng(0).normal(120, 20, (3, 150, 150)).clip(0, 255).astype(np.uint8)
    after = before.astype(np.uint16) * 30 + 500
    stretches, (first, second) = stretched(before, after)
    assert stretches[0] == Stretch()
    assert np.abs(first.astype(int) - second).max() <= 1
    stretches, (first, second) = stretched(after, before)
    assert stretches[1] == Stretch()
    assert np.abs(first.astype(int) - second).max() <= 1


def test_apply_is_safe():
    stretch = Stretch((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    array = np.array([[np.nan, np.inf, -np.inf], [0.5, 2.0, -1.0]], np.float32)
    assert stretch.apply(array).tolist() == [[0, 255, 0], [128, 255, 0]]


def test_large_areas_are_sampled(make_raster, monkeypatch):
    path = make_raster("wide.tif", np.zeros((1, 40, 5000), np.uint16))
    with RasterSource.open(path) as source:
        pixels = []
        read = source.read
        monkeypatch.setattr(
            source, "read", lambda grid: pixels.append(grid.width * grid.height) or read(grid)
        )
        joint_stretch(source, source, source.grid)
    assert max(pixels) <= 128 * 128
    assert sum(pixels) <= 2 * 1024 * 1024
