# SPDX-License-Identifier: GPL-3.0-or-later
"""The shift between two dates: planted, measured, made up for."""

from __future__ import annotations

import numpy as np
import pytest
from blobs import SIZE, ground
from osgeo import gdal

from changescribe.engine.raster.comparison import alignment
from changescribe.engine.raster.comparison.alignment import Move, align
from changescribe.engine.raster.grid import PIXEL_GEOTRANSFORM, Grid
from changescribe.engine.raster.reader import RasterSource

UTM_GRID = (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5)


def measured(make_raster, before, after, *, auto=False, **options):
    paths = [
        make_raster(f"{name}.tif", np.stack([image] * 3), **options)
        for name, image in (("before", before), ("after", after))
    ]
    with RasterSource.open(paths[0]) as first, RasterSource.open(paths[1]) as second:
        return align(first, second, first.grid, first.grid, auto=auto)


@pytest.mark.parametrize("shift", [(0.5, 0), (-1, 1), (2.25, -1.75), (6, 0), (-5.5, 5.5), (0, 8)])
def test_a_planted_shift_comes_back(make_raster, shift):
    found, move = measured(make_raster, ground(), ground(*shift), auto=True)
    assert (found.dx_px, found.dy_px) == pytest.approx(shift, abs=0.1)
    length = float(np.hypot(*shift))
    assert found.shift_px == pytest.approx(length, abs=0.1)
    assert found.shift_m == pytest.approx(length / 2, abs=0.05)
    assert found.rotation_deg == 0
    assert found.agreeing == found.usable == found.blocks == 9
    assert found.state == ("moved" if length >= 1 else "aligned")
    assert (move is None) == (length < 1)


def test_a_rotation_comes_back(make_raster):
    found, move = measured(make_raster, ground(1, 2, 1.0), ground(1, 2), auto=True)
    assert found.rotation_deg == pytest.approx(-1.0, abs=0.02)
    corners = np.array([[0.0, 0.0], [SIZE, SIZE / 2]])
    # A turn by -1 degree about (129, 130): (x, y) moves by about (y, -x) times 0.01745.
    relative = (corners - (129, 130)) * 0.01745
    expected = np.column_stack([relative[:, 1], -relative[:, 0]])
    assert move.offsets(corners) == pytest.approx(expected, abs=0.1)


def test_brightness_and_contrast_do_not_matter(make_raster):
    dark = (40 + ground(3, -2) * 0.4).astype(np.uint8)
    found, _ = measured(make_raster, ground(), dark)
    assert (found.dx_px, found.dy_px) == pytest.approx((3, -2), abs=0.1)


def test_aligned_rasters_stay_as_they_are(make_raster):
    found, move = measured(make_raster, ground(), ground(), auto=True)
    assert (found.state, found.shift_px, move) == ("aligned", 0.0, None)
    assert "aligned" in found.text


def test_a_shift_is_reported_with_the_way_to_correct_it(make_raster):
    found, move = measured(make_raster, ground(), ground(6, 0))
    assert (found.state, move) == ("shifted", None)
    assert "6.0 pixels (2.98 m)" in found.text
    assert "auto" in found.text
    assert "9 of 9 blocks" in found.text


def test_change_in_a_third_of_the_blocks_does_not_move_the_result(make_raster):
    after = ground(4, 0)
    after[:, :80] = ground(seed=2)[:, :80]
    found, _ = measured(make_raster, ground(), after)
    assert (found.dx_px, found.dy_px) == pytest.approx((4, 0), abs=0.1)


def test_what_cannot_be_aligned_says_so(make_raster):
    random = np.random.default_rng(0)
    flat = np.full((SIZE, SIZE), 90, np.uint8)
    water = [random.normal(60, 3, (SIZE, SIZE)).astype(np.uint8) for _ in range(2)]
    for before, after in ((flat, flat), water, (ground(), ground(seed=2)), (ground(), flat)):
        found, move = measured(make_raster, before, after, auto=True)
        assert (found.state, move) == ("unknown", None)
        assert "cannot be measured" in found.text


def test_blocks_that_disagree_are_not_averaged(make_raster):
    after = ground(8, 0)
    after[:128, 128:] = ground(-8, 0)[:128, 128:]
    after[128:, :128] = ground(0, 8)[128:, :128]
    after[128:, 128:] = ground(0, -8)[128:, 128:]
    found, move = measured(make_raster, ground(), after, auto=True)
    assert (found.state, move) == ("unknown", None)
    assert f"only {found.agreeing} of {found.usable} blocks" in found.text


def test_small_areas_are_not_measured(make_raster):
    found, _ = measured(make_raster, ground(size=100), ground(size=100))
    assert (found.state, found.blocks) == ("unknown", 0)


def test_the_edge_of_nodata_is_no_feature(make_raster):
    before, after = ground(), ground(5, 0)
    before[:60], after[:60] = 0, 0
    found, _ = measured(make_raster, before, after, nodata=0)
    assert (found.dx_px, found.dy_px) == pytest.approx((5, 0), abs=0.1)


def test_rasters_without_georeference(make_raster):
    found, _ = measured(make_raster, ground(), ground(3, 3), geotransform=None, crs=None)
    assert (found.dx_px, found.dy_px) == pytest.approx((3, 3), abs=0.05)
    assert found.shift_m is None
    assert " m)" not in found.text


def test_a_move_by_hand():
    grid = Grid(200, 100, UTM_GRID, "")
    move = Move(grid, np.array([[4.0, 0, 0], [-2.0, 0, 0]]))
    window = grid.window(10, 20, 30, 40)
    # 4 columns of 0.5 m east, 2 rows of 0.5 m north.
    assert move.moved(window).geotransform == pytest.approx((500007, 0.5, 0, 4999991, 0, -0.5))
    # Finer pixels of the same CRS move by the same metres.
    fine = grid.scaled(0.5, 0.5)
    assert move.moved(fine).geotransform == pytest.approx((500002, 0.25, 0, 5000001, 0, -0.25))
    # 1 column more at the right edge than at the centre (100 columns): 1 % larger pixels.
    stretched = Move(grid, np.array([[0, 1.0, 0], [0, 0, 0]])).moved(grid)
    assert stretched.geotransform == pytest.approx((499999.5, 0.505, 0, 5000000, 0, -0.5))


def test_a_moved_raster_reads_as_the_earlier_one(make_raster):
    before, after = ground(), ground(6, -3)
    paths = [make_raster(f"{i}.tif", np.stack([im] * 3)) for i, im in enumerate((before, after))]
    with RasterSource.open(paths[0]) as first, RasterSource.open(paths[1]) as second:
        _, move = align(first, second, first.grid, first.grid, auto=True)
        window = first.grid.window(50, 50, 100, 100)
        was, is_now = first.read(window)[0], second.read(move.moved(window))[0]
    assert np.abs(was.astype(int) - is_now).max() <= 4


def test_a_large_raster_is_sampled(make_raster, monkeypatch):
    monkeypatch.setattr(alignment, "BLOCK_SIZES", (64,))
    windows = []

    class Large:
        grid = Grid(100_000, 50_000, PIXEL_GEOTRANSFORM, "")

        def read(self, grid):
            windows.append(grid)
            return np.zeros((grid.height, grid.width, 3), np.uint8), np.ones((64, 64), bool)

    found, _ = align(Large(), Large(), Large.grid, Large.grid, auto=True)
    assert (found.blocks, len(windows)) == (64, 128)
    assert {(grid.width, grid.height) for grid in windows} == {(64, 64)}


def test_a_coarser_later_raster_is_measured_in_its_own_pixels(make_raster):
    paths = [
        make_raster("before.tif", np.stack([ground(size=512)] * 3)),
        make_raster("after.tif", np.stack([ground(8, 0, size=512)] * 3)),
    ]
    coarse = paths[1].replace("after", "coarse")
    gdal.Translate(coarse, paths[1], width=256, height=256, resampleAlg="average")
    with RasterSource.open(paths[0]) as first, RasterSource.open(coarse) as second:
        found, _ = align(first, second, first.grid, first.grid, auto=False)
    assert found.dx_px == pytest.approx(8, abs=0.1)
    assert found.shift_m == pytest.approx(4, abs=0.1)
