# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores and classes placed on the output grid block by block, against GDAL's warping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from changescribe.engine.detect.placing import Axis, ClassPlacer, ScorePlacer, axes
from changescribe.engine.detect.tiling import plan
from changescribe.engine.raster.grid import Grid
from changescribe.engine.raster.writer import RasterWriter, warp_to

if TYPE_CHECKING:
    from pathlib import Path

NODATA = 255
UTM = "EPSG:32614"


def _wkt(code: str) -> str:
    from changescribe.engine.raster.support import spatial_reference

    return spatial_reference(code).ExportToWkt()


def _output(width: int, height: int, turned: bool = False) -> Grid:
    across = (0.4, 0.3, 0.3, -0.4) if turned else (0.5, 0.0, 0.0, -0.5)
    place = (600000.0, across[0], across[1], 3300000.0, across[2], across[3])
    return Grid(width, height, place, _wkt(UTM))


def _scores(height: int, width: int, *, hole: bool) -> np.ndarray:
    """Return two bands of smooth scores with steps, and nodata in a hole."""
    y, x = np.mgrid[:height, :width]
    first = 127 + 100 * np.sin(x / 9) * np.cos(y / 7)
    second = np.where((x // 23 + y // 17) % 2, 230, 0)
    values = np.rint(np.stack([first, second])).astype(np.uint8)
    if hole:
        values[:, 40:75, 50:120] = NODATA
        values[:, :, :3] = NODATA
    return values


def _read(path: Path) -> np.ndarray:
    return gdal.Open(str(path)).ReadAsArray()


@pytest.mark.parametrize("factor", [0.88, 1.3, 0.4, 0.97])
@pytest.mark.parametrize("hole", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_blocks_placed_equal_a_warp_of_the_whole(
    tmp_path: Path, factor: float, hole: bool, turned: bool
) -> None:
    output = _output(211, 187, turned)
    working = output.scaled(factor, factor)
    values = _scores(working.height, working.width, hole=hole)
    classes = (values[:1] // 60).astype(np.uint8)
    for name, whole in (("score", values), ("class", classes)):
        with RasterWriter(str(tmp_path / f"w_{name}.tif"), working, len(whole), nodata=NODATA) as w:
            w.write(0, 0, whole)
            w.commit()
        method = "bilinear" if name == "score" else "nearest"
        warp_to(str(tmp_path / f"w_{name}.tif"), output, str(tmp_path / f"g_{name}.tif"), method)

    parallel = axes(working, output)
    assert parallel is not None
    tiles = plan(working.width, working.height, 64, 16, panel_width=128)
    starts = sorted({tile.y for tile in tiles} | {working.height})
    with RasterWriter(str(tmp_path / "score.tif"), output, 2, nodata=NODATA) as writer:
        placer = ScorePlacer(*parallel, working.height, writer)
        for left, right in tiles.panels:
            for top, bottom in zip([0, *starts[1:]], starts[1:]):
                placer.write(left, top, values[:, top:bottom, left:right])
        writer.commit()
    with RasterWriter(str(tmp_path / "class.tif"), output, nodata=NODATA) as writer:
        placer = ClassPlacer(*parallel, writer)
        for tile in tiles:
            core = tiles.core(tile)
            if core is not None:
                x0, y0, x1, y1 = core
                placer.write(x0, y0, classes[:, y0:y1, x0:x1])
        writer.commit()

    placed, warped = (_read(tmp_path / f"{p}score.tif").astype(int) for p in ("", "g_"))
    sure = np.ix_(*(_sure(length, factor) for length in placed.shape[1:]))
    for band, known in zip(placed, warped):
        assert np.array_equal(band[sure] == NODATA, known[sure] == NODATA)
        # GDAL takes the width of its filter from whole windows.
        assert np.abs(band[sure] - known[sure]).max() <= 1
    one, other = (_read(tmp_path / f"{p}class.tif") for p in ("", "g_"))
    np.testing.assert_array_equal(one[sure], other[sure])


def _sure(length: int, factor: float) -> np.ndarray:
    """Return where the nearest pixel is one alone: the centre lies on no edge, (N,) bool."""
    centre = (np.arange(length) + 0.5) / factor
    return np.abs(centre - centre.round()) > 1e-6


def test_weights_by_hand() -> None:
    # Three pixels of 2 over six of 1: centres 1, 3, 5; the triangle is 2 wide on each side:
    # taps at 0.5 and 1.5 weigh 0.75, at 2.5 (distance 1.5) 0.25; outside nothing, then divided.
    axis = Axis.of(3, 6, 0.0, 2.0)
    dense = np.zeros((3, 6))
    for row, (first, weights) in enumerate(zip(axis.first, axis.weights)):
        dense[row, first : first + len(weights)] = weights
    expected = np.array([[3, 3, 1, 0, 0, 0], [0, 1, 3, 3, 1, 0], [0, 0, 0, 1, 3, 3]], dtype=float)
    np.testing.assert_allclose(dense, expected / expected.sum(axis=1, keepdims=True), atol=1e-6)


def test_grids_that_are_not_parallel_are_left_to_gdal() -> None:
    output = _output(100, 80)
    turned = Grid(100, 80, (600000.0, 0.4, 0.01, 3300000.0, 0.01, -0.4), output.crs_wkt)
    assert axes(turned, output) is None
    assert axes(Grid(100, 80, output.geotransform, _wkt("EPSG:4326")), output) is None


def test_a_panel_that_is_never_written_stays_nodata(tmp_path: Path) -> None:
    output = _output(100, 80)
    working = output.scaled(0.88, 0.88)
    parallel = axes(working, output)
    assert parallel is not None
    with RasterWriter(str(tmp_path / "s.tif"), output, nodata=NODATA) as writer:
        placer = ScorePlacer(*parallel, working.height, writer)
        placer.write(0, 0, np.full((1, 40, 60), 100, np.uint8))
        writer.commit()
    placed = _read(tmp_path / "s.tif")
    assert set(np.unique(placed)) == {100, NODATA}
    # 40 rows of 0.44 m are 35.2 of 0.5 m; the last whose neighbours are known is the 34th.
    assert np.flatnonzero((placed == 100).any(axis=1)).max() in (33, 34)
