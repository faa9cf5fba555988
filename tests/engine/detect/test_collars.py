# SPDX-License-Identifier: GPL-3.0-or-later
"""Areas without an image that no nodata value marks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from osgeo import gdal

from changescribe.engine.detect import pipeline
from changescribe.engine.detect.collars import hide_collars
from changescribe.engine.raster.reader import RasterSource

SIZE = 400
ROWS, COLUMNS = np.mgrid[0:SIZE, 0:SIZE]
TURNED = (ROWS + COLUMNS // 4 > 120) & (ROWS + COLUMNS // 4 < 420)
FRAME = (ROWS >= 30) & (COLUMNS >= 30) & (ROWS < 370) & (COLUMNS < 370)
GAP = ~((ROWS >= 100) & (ROWS < 200) & (COLUMNS >= 150) & (COLUMNS < 310))
TWO_TILES = GAP & ~((ROWS >= 200) & (ROWS < 300) & (COLUMNS >= 150) & (COLUMNS < 230))
THIN = COLUMNS >= 3
SCALLOPED = ~((ROWS >= 300) & (COLUMNS >= 100) & (COLUMNS < 200 + ROWS // 8))
RAGGED = np.hypot(ROWS - 200, COLUMNS - 200) > 80  # a lake


def image(where, value, dtype=np.uint8, bands=3):
    """Return noise where there is an image, and one value elsewhere."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(1, 250, (bands, SIZE, SIZE)).astype(dtype)
    return np.where(where, pixels, dtype(value))


def read(path, part=None):
    """Return notes and valid pixels after collars are hidden; also read twice as coarse."""
    with RasterSource.open(path) as source:
        grid = source.grid.window(*part) if part else source.grid
        notes = hide_collars(source, grid)
        _, valid = source.read(grid)
        _, coarse = source.read(grid.scaled(2, 2))
        blocks = valid.reshape(coarse.shape[0], 2, coarse.shape[1], 2)
        np.testing.assert_array_equal(coarse, blocks.mean(axis=(1, 3)) >= 0.5)
        return notes, valid


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("where", [TURNED, FRAME, GAP, TWO_TILES, THIN, SCALLOPED], ids=range(6))
def test_collars_and_gaps_are_left_out(make_raster, where, value):
    (note,), valid = read(make_raster("after.tif", image(where, value)))
    # At the tips of wedges, a few pixels remain.
    assert not (where & ~valid).any()
    assert (~where & valid).sum() <= 0.001 * (~where).sum()
    assert "after.tif" in note
    assert f"{int((~where).mean() * 100)}%" in note or "less than 1%" in note


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(0, np.uint16), (65535, np.uint16), (-9999, np.float32), (-32768, np.int16)],
)
@pytest.mark.parametrize("bands", [1, 3])
def test_other_types(make_raster, value, dtype, bands):
    notes, valid = read(make_raster("a.tif", image(FRAME, value, dtype, bands)))
    assert notes
    np.testing.assert_array_equal(valid, FRAME)


def test_what_is_in_the_image_stays(make_raster):
    roof = image(RAGGED, 255)
    roof[:, 0:12, 100:112] = 255  # at the edge, but small
    roof[:, 300:320, 300:320] = 0
    roof[0, 60:160, 20:120] = 0  # in one band only
    notes, valid = read(make_raster("a.tif", roof))
    assert notes == []
    assert valid.all()


@pytest.mark.parametrize("nodata", [7, 300, -9999])
def test_a_file_that_marks_invalid_pixels_is_believed(make_raster, nodata):
    path = make_raster("a.tif", image(GAP & FRAME, 0))
    dataset = gdal.Open(path, gdal.GA_Update)
    for number in (1, 2, 3):
        dataset.GetRasterBand(number).SetNoDataValue(nodata)
    del dataset
    notes, valid = read(path)
    assert notes == []
    assert valid.mean() > 0.98


def test_a_part_of_a_raster(make_raster):
    part = (20, 40, 300, 200)
    notes, valid = read(make_raster("a.tif", image(FRAME & GAP, 0)), part)
    assert notes
    np.testing.assert_array_equal(valid, (FRAME & GAP)[40:240, 20:320])


def test_a_raster_of_one_value_has_no_image(make_raster):
    notes, valid = read(make_raster("a.tif", np.zeros((3, SIZE, SIZE), np.uint8)))
    assert "same value" in notes[0]
    assert valid.all()


def test_a_mosaic_with_a_gap(make_raster, tmp_path):
    pixels = image(np.ones_like(GAP), 0)
    place = (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5)
    tiles = [
        make_raster(
            f"{x}{y}.tif",
            pixels[:, y : y + 200, x : x + 200],
            (place[0] + x / 2, 0.5, 0, place[3] - y / 2, 0, -0.5),
        )
        for x, y in ((0, 0), (200, 0), (200, 200))
    ]
    path = str(tmp_path / "mosaic.vrt")
    gdal.BuildVRT(path, tiles).FlushCache()
    notes, valid = read(path)
    assert "25%" in notes[0]
    assert not valid[200:, :200].any()
    assert valid.mean() == 0.75


def test_a_run_leaves_them_out_and_can_keep_them(brightness, request_, make_raster):
    before = image(np.ones_like(GAP), 0) // 4 + 20
    before[:, 30:60, 30:60] = 20
    after = before.copy()
    after[:, 100:200, 100:250] = 255
    request = replace(
        request_,
        before=make_raster("b.tif", before),
        after=make_raster("a.tif", after),
        prompt="buildings built",
    )
    result = pipeline.detect(request, brightness)
    assert result.count == 0
    assert any("9% of" in warning and "a.tif" in warning for warning in result.warnings)
    kept = replace(request, nodata="mask", overwrite=True)
    result = pipeline.detect(kept, brightness)
    assert (result.count, result.warnings) == (1, ())
