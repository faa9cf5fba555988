# SPDX-License-Identifier: GPL-3.0-or-later
"""F1 on disturbed pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from ...request import APPEARED, Query
from ...systems.base import ChangeSystem
from ...training.metrics import BinaryCounts
from ..places.levir import PIXEL_SIZE, LevirTile
from ..places.whole_image import score_pair
from .disturbances import DISTURBANCES, resized

#: Factors of resolution.
RESOLUTIONS = (0.5, 2.0)
_BUILT = (Query("buildings", APPEARED),)


def measure_robustness(
    system: ChangeSystem, tiles: Sequence[LevirTile], log: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Score "buildings built" on disturbed tiles.

    Returns:
        Figures by name of the disturbance; scores are resampled to the labels.
    """
    result = {}
    for name, disturb in DISTURBANCES.items():
        log(f"robustness: {name}")
        counts = BinaryCounts()
        for tile in tiles:
            pair = disturb(tile.before, tile.after, np.random.default_rng(tile.number))
            counts.add(score_pair(system, *pair, _BUILT, PIXEL_SIZE)[0] >= 0.5, tile.label)
        result[name] = counts.figures()
    for factor in RESOLUTIONS:
        name = f"{factor:g} x resolution"
        log(f"robustness: {name}")
        counts = BinaryCounts()
        for tile in tiles:
            pair = (resized(image, factor) for image in (tile.before, tile.after))
            score = score_pair(system, *pair, _BUILT, PIXEL_SIZE / factor)[0]
            score = _back(score, tile.label.shape)
            counts.add(score >= 0.5, tile.label)
        result[name] = counts.figures()
    return result


def _back(score: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resize a score, bilinearly."""
    picture = Image.fromarray(score.astype(np.float32))
    return np.asarray(picture.resize(shape[::-1], Image.Resampling.BILINEAR))
