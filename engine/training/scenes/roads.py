# SPDX-License-Identifier: GPL-3.0-or-later
"""Centre lines of new roads on LEVIR tiles, drawn by eye for this project.

LEVIR-CD labels buildings only. ``levir_new_roads.geojson`` contains, for each of the 36 tiles,
the centre lines of roads that are in *after* but not in *before* (``kind`` "road"), and debatable
cases (``kind`` "doubt"), which are ignored in training and evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from .labels import UNKNOWN

#: Points (column, row) in pixels of a tile.
Line = list[tuple[float, float]]

LINES = Path(__file__).resolve().parent / "levir_new_roads.geojson"
#: Within the first distance of a centre line, in pixels, is road; beyond the second is none.
SURELY_ROAD, SURELY_NONE = 5, 14


@cache
def _features() -> list[dict]:
    """Return the features of the file."""
    return json.loads(LINES.read_text(encoding="utf-8"))["features"]


def lines_of(tile: int, kind: str, geotransform: Sequence[float]) -> list[Line]:
    """Return the lines of a tile in pixels."""
    west, width, _, north, _, height = geotransform
    return [
        [((x - west) / width, (y - north) / height) for x, y in feature["geometry"]["coordinates"]]
        for feature in _features()
        if feature["properties"] == {"tile": tile, "kind": kind}
    ]


def distance_to(lines: list[Line], shape: tuple[int, int]) -> np.ndarray:
    """Return the distance of each pixel to the nearest line, in pixels; infinite without lines."""
    if not lines:
        return np.full(shape, np.inf, np.float32)
    picture = Image.new("L", (shape[1], shape[0]), 1)
    pen = ImageDraw.Draw(picture)
    for line in lines:
        pen.line(line, fill=0)
    return ndimage.distance_transform_edt(np.asarray(picture)).astype(np.float32)


def new_roads(tile: int, shape: tuple[int, int], geotransform: Sequence[float]) -> np.ndarray:
    """Return the new roads of a tile.

    Returns:
        (H, W) uint8: 1 new road, 0 none, 255 unknown (between the two distances, or near a
        doubtful line).
    """
    distance = distance_to(lines_of(tile, "road", geotransform), shape)
    state = np.where(distance <= SURELY_ROAD, 1, UNKNOWN).astype(np.uint8)
    state[distance > SURELY_NONE] = 0
    doubt = distance_to(lines_of(tile, "doubt", geotransform), shape)
    state[(doubt <= SURELY_NONE) & (state == 0)] = UNKNOWN
    return state
