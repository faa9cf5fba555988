# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of whole images through the same tiles and blending as in the plugin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ...detect.tiling import Blender, plan
from ...raster.common_grid import working_size
from ...request import Query
from ...systems.base import ChangeSystem
from ...training.scenes.sources import magnified


def score_pair(
    system: ChangeSystem,
    before: np.ndarray,
    after: np.ndarray,
    queries: Sequence[Query],
    pixel_size: float,
) -> np.ndarray:
    """Score whole images (H, W, 3) uint8 at the pixel size that the plugin would choose.

    Returns:
        (Q, H, W) float32 in [0, 1].
    """
    factor = pixel_size / working_size(pixel_size, system.info.pixel_sizes)
    if factor == 1:
        return _score(system, before, after, queries)
    images = (magnified(image, factor) for image in (before, after))
    scores = _score(system, *images, queries)
    size = before.shape[1::-1]
    return np.stack(
        [
            np.asarray(Image.fromarray(score).resize(size, Image.Resampling.BILINEAR))
            for score in scores
        ]
    )


def _score(
    system: ChangeSystem, before: np.ndarray, after: np.ndarray, queries: Sequence[Query]
) -> np.ndarray:
    """Score a pair, tile by tile."""
    height, width = before.shape[:2]
    info = system.info
    tiles = plan(width, height, info.tile_size, info.overlap, largest=info.largest_tile)
    blender = Blender(tiles, len(queries))
    scores = np.zeros((len(queries), height, width), np.float32)
    # A tile may extend past a small image; as in the plugin, it is black there.
    beyond = [(0, max(0, tiles.tile_size - side)) for side in (height, width)]
    before, after = (np.pad(image, (*beyond, (0, 0))) for image in (before, after))
    for tile in tiles:
        window = np.s_[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        prediction = system.predict(before[window][None], after[window][None], queries)
        for block in blender.add(tile, prediction.scores[0]):
            block_height, block_width = block.array.shape[1:]
            rows = slice(block.y, block.y + block_height)
            scores[:, rows, block.x : block.x + block_width] = block.array
    return scores
