# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiles cover the raster, weights sum to one, memory stays bounded."""

from __future__ import annotations

import numpy as np
import pytest

from changescribe.engine.detect.tiling import Blender, plan

SIZES = [
    (1, 1, 64, 16),
    (64, 64, 64, 16),
    (65, 64, 64, 16),
    (40, 300, 64, 16),
    (200, 130, 64, 0),
    (200, 131, 64, 16),
    (333, 257, 96, 32),
    (150, 150, 64, 48),  # more than two tiles meet in a place
    (129, 500, 128, 63),
]


def blend(tiles, scores_of, channels=1):
    """Blend a plan into one array, and count how often each pixel is handed out."""
    result = np.full((channels, tiles.height, tiles.width), np.nan, np.float32)
    count = np.zeros((tiles.height, tiles.width), int)
    blender = Blender(tiles, channels)
    most = 0
    for tile in tiles:
        for block in blender.add(tile, scores_of(tile)):
            _, height, width = block.array.shape
            area = (slice(block.y, block.y + height), slice(block.x, block.x + width))
            result[(slice(None), *area)] = block.array
            count[area] += 1
        most = max(most, blender.pending_pixels)
    return result, count, most


@pytest.mark.parametrize("panel_width", [64, 150, 4096])
@pytest.mark.parametrize(("width", "height", "tile_size", "overlap"), SIZES)
def test_weights_sum_to_one_and_blocks_cover_once(width, height, tile_size, overlap, panel_width):
    tiles = plan(width, height, tile_size, overlap, panel_width)
    ones = np.full((2, tile_size, tile_size), 0.75, np.float32)
    result, count, most = blend(tiles, lambda _: ones, channels=2)
    np.testing.assert_array_equal(count, 1)
    np.testing.assert_allclose(result, 0.75, atol=1e-6)
    assert most <= tiles.max_pending_pixels
    assert len(list(tiles)) == len(tiles)


@pytest.mark.parametrize(("width", "height", "tile_size", "overlap"), SIZES)
def test_tiles_have_one_size_and_lie_inside(width, height, tile_size, overlap):
    for tile in plan(width, height, tile_size, overlap):
        assert (tile.width, tile.height) == (tile_size, tile_size)
        assert tile.x >= 0
        assert tile.y >= 0
        assert tile.x + tile_size <= max(width, tile_size)
        assert tile.y + tile_size <= max(height, tile_size)


@pytest.mark.parametrize(("width", "height", "tile_size", "overlap"), SIZES)
def test_neighbours_share_the_overlap(width, height, tile_size, overlap):
    xs = sorted({tile.x for tile in plan(width, height, tile_size, overlap)})
    assert xs[0] == 0
    assert xs[-1] == max(0, width - tile_size)
    assert all(b - a <= tile_size - overlap for a, b in zip(xs, xs[1:]))


@pytest.mark.parametrize("panel_width", [64, 150, 4096])
@pytest.mark.parametrize(("width", "height", "tile_size", "overlap"), SIZES)
def test_cores_cover_the_raster_once(width, height, tile_size, overlap, panel_width):
    tiles = plan(width, height, tile_size, overlap, panel_width)
    count = np.zeros((height, width), int)
    for tile in tiles:
        core = tiles.core(tile)
        if core is None:
            continue
        x0, y0, x1, y1 = core
        assert tile.x <= x0 < x1 <= tile.x + tile_size
        assert tile.y <= y0 < y1 <= tile.y + tile_size
        count[y0:y1, x0:x1] += 1
    np.testing.assert_array_equal(count, 1)


def test_ramp_by_hand():
    # Two tiles of 32 share the columns 28 to 31: weights 7/8, 5/8, 3/8, 1/8 for the left one.
    tiles = plan(60, 32, 32, 4)
    left, right = list(tiles)
    assert (left.x, right.x) == (0, 28)
    rows, columns = tiles.weights(left)
    np.testing.assert_array_equal(rows, 1)
    np.testing.assert_array_equal(columns[:28], 1)
    np.testing.assert_allclose(columns[28:], [7 / 8, 5 / 8, 3 / 8, 1 / 8])
    result, _, _ = blend(tiles, lambda tile: np.full((1, 32, 32), tile.x / 28, np.float32))
    np.testing.assert_allclose(result[0, 5, 27:33], [0, 1 / 8, 3 / 8, 5 / 8, 7 / 8, 1])


def box_mean(part):
    """Mean of 9 x 9 pixels of (H, W), with zeros around: wrong within 4 pixels of the border."""
    padded = np.pad(part, ((5, 4), (5, 4)))
    total = padded.cumsum(axis=0).cumsum(axis=1)
    return (total[9:, 9:] - total[:-9, 9:] - total[9:, :-9] + total[:-9, :-9]) / 81


def whole_tile_mean(part):
    return np.full_like(part, part.mean())


def tiled(field, answer, offset, how):
    """Scores of a field from tiles that start at an offset, blended, cropped or pasted."""
    seen = field[offset:, offset:]
    tiles = plan(seen.shape[1], seen.shape[0], 96, 32)

    def scores(tile):
        part = seen[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        return answer(part).astype(np.float32)[None]

    if how == "blended":
        return blend(tiles, scores)[0][0]
    result = np.zeros_like(seen)
    for tile in tiles:
        x0, y0, x1, y1 = tile.x, tile.y, tile.x + tile.width, tile.y + tile.height
        if how == "cropped":
            x0, y0, x1, y1 = tiles.core(tile)
        result[y0:y1, x0:x1] = scores(tile)[0, y0 - tile.y : y1 - tile.y, x0 - tile.x : x1 - tile.x]
    return result


def test_scores_hardly_depend_on_where_the_tiles_lie():
    """A system that sees nothing outside its tile, on two tilings 23 pixels apart."""
    field = np.random.default_rng(2).random((400, 430)).astype(np.float32)

    def difference(how):
        one, other = (tiled(field, box_mean, offset, how) for offset in (0, 23))
        # At the border of the raster, no tile sees more.
        return float(np.abs(one[23:, 23:] - other)[8:-8, 8:-8].max())

    # By hand: 2 pixels from a tile's border 2 of 9 rows are missing, where the tile counts
    # 2.5 / 32; twice that where four tiles meet. Scores are about 0.5, and at most 0.7.
    assert difference("blended") < 2 * 0.7 * (2 / 9) * (2.5 / 32)
    assert difference("pasted") > 0.2


def test_seams_cannot_be_seen():
    """A system whose answer depends on its whole tile: neighbours differ by a third."""
    field = np.tile(np.linspace(0, 2, 400, dtype=np.float32), (96, 1))

    def step(how):
        return float(np.abs(np.diff(tiled(field, whole_tile_mean, 0, how), axis=1)).max())

    assert step("blended") < 0.011
    assert step("cropped") > 0.3


def test_panels_give_the_same_scores():
    rng = np.random.default_rng(1)
    field = rng.random((1, 700, 700)).astype(np.float32)

    def scores(tile):
        # Depends on the place in the tile, so that wrong weights would show.
        ramp = np.linspace(0, 1, tile.width, dtype=np.float32)
        part = field[:, tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        return part * ramp

    one, _, _ = blend(plan(500, 300, 64, 16), scores)
    many, _, _ = blend(plan(500, 300, 64, 16, panel_width=130), scores)
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_memory_does_not_grow_with_the_raster():
    tiles = plan(40_000, 2_000, 512, 64)
    assert tiles.max_pending_pixels <= 512 * 4096
    assert max(end - start for start, end in tiles.panels) <= 4096
    # The price of panels: one column of tiles more for each border.
    columns = len({tile.x for tile in tiles})
    rows = len({tile.y for tile in tiles})
    assert len(tiles) <= rows * (columns + len(tiles.panels) - 1)
    blender = Blender(tiles, 1)
    most = 0
    for tile in tiles:
        blocks = blender.add(tile, None)
        most = max(most, blender.pending_pixels, *(b.array[0].size for b in blocks), 0)
    assert most <= 512 * 4096
    assert plan(40_000, 10**6, 512, 64).max_pending_pixels == tiles.max_pending_pixels


def test_blocks_come_as_soon_as_they_are_finished():
    tiles = plan(100, 1_000, 64, 16)
    blender = Blender(tiles, 1)
    for tile in tiles:
        blocks = blender.add(tile, None)
        last_of_row = tile.x + 64 == 100
        assert bool(blocks) == last_of_row
    assert blender.pending_pixels == 0


def test_wrong_order_and_shape_are_errors():
    tiles = plan(100, 100, 64, 16)
    first, second = list(tiles)[:2]
    with pytest.raises(ValueError, match="not the next"):
        Blender(tiles, 1).add(second, None)
    with pytest.raises(ValueError, match="shape"):
        Blender(tiles, 1).add(first, np.zeros((2, 64, 64), np.float32))


@pytest.mark.parametrize("arguments", [(0, 5, 64, 8), (5, 5, 50, 8), (5, 5, 64, 64)])
def test_sizes_that_make_no_sense(arguments):
    with pytest.raises(ValueError):
        plan(*arguments)


@pytest.mark.parametrize(
    ("size", "largest", "side", "count"),
    [
        (1024, 0, 512, 9),
        (1024, 544, 544, 4),  # 2 x 544 - 64
        (1024, 1024, 1024, 1),
        (1280, 672, 672, 4),  # 2 x 672 - 64
        (1294, 704, 704, 4),
        (500, 672, 512, 1),
        (640, 672, 640, 1),
    ],
)
def test_tiles_grow_where_that_saves_work(size, largest, side, count):
    tiles = plan(size, size, 512, 64, largest=largest)
    assert (tiles.tile_size, len(tiles)) == (side, count)
    assert tiles.overlap == 64
