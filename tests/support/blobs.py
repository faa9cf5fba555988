# SPDX-License-Identifier: GPL-3.0-or-later
"""Ground full of features, drawn with any shift and rotation without resampling."""

from __future__ import annotations

import functools

import numpy as np

SIZE = 256


@functools.cache
def _ground(dx=0.0, dy=0.0, degrees=0.0, size=SIZE, seed=1):
    """Blobs of light; what lies at p is drawn at the centre + rotated (p - centre) + (dx, dy)."""
    random = np.random.default_rng(seed)
    count = size * size // 80
    places = random.uniform(-20, size + 20, (count, 2)) - size / 2
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    places = places @ matrix.T + size / 2 + (dx, dy)
    heights, widths = random.uniform(-40, 40, count), random.uniform(1.5, 4, count)
    centres = np.arange(size) + 0.5
    rows, columns = (
        np.exp(-((centres - places[:, axis : axis + 1]) ** 2) / (2 * widths[:, None] ** 2))
        for axis in (1, 0)
    )
    image = 120 + (heights[:, None] * rows).T @ columns
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def ground(*shift, **options):
    return _ground(*shift, **options).copy()
