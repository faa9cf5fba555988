# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise for all surfaces of a generated scene.

Some large tileable noise images with power-law spectra are made once per process, and each scene
reads them at its own places. Power laws are scale-free, so the images suit all pixel sizes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

POOL_SIZE = 1024
#: Exponent of the amplitude spectrum of each pool: grain, patches, clouds.
SLOPES = {"white": 0.0, "grain": 0.55, "fine": 1.0, "patch": 1.45, "cloud": 2.1}
#: Streaks of standard deviation 1, stretched along x: mowing, ploughing, tyre wear.
STREAK = "streak"


@cache
def pool(name: str) -> Array:
    """Return the noise image ``name``, (POOL_SIZE, POOL_SIZE), mean 0, standard deviation 1."""
    seed = sorted([*SLOPES, STREAK]).index(name)
    rng = np.random.default_rng(7919 + seed)
    spectrum = np.fft.rfft2(rng.standard_normal((POOL_SIZE, POOL_SIZE)))
    fy = np.fft.fftfreq(POOL_SIZE)[:, None]
    fx = np.fft.rfftfreq(POOL_SIZE)[None, :]
    if name == STREAK:
        radius = np.sqrt((12.0 * fx) ** 2 + fy**2)
        slope = 0.9
    else:
        radius = np.hypot(fx, fy)
        slope = SLOPES[name]
    radius[0, 0] = 1.0
    spectrum *= radius**-slope
    spectrum[0, 0] = 0.0
    noise = np.fft.irfft2(spectrum, s=(POOL_SIZE, POOL_SIZE))
    return np.ascontiguousarray((noise / noise.std()).astype(np.float32))


class Noise:
    """Noise fields of one scene, all of one size."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self._rng = rng
        self.size = size

    def field(self, name: str) -> Array:
        """Return a field of pool ``name``, shape (size, size), in a new place and orientation."""
        source = pool(name)
        y, x = (int(v) for v in self._rng.integers(0, POOL_SIZE, 2))
        turn = int(self._rng.integers(0, 4))
        flip = bool(self._rng.integers(0, 2))
        if name == STREAK:
            turn = 0
        if y + self.size <= POOL_SIZE and x + self.size <= POOL_SIZE:
            view = source[y : y + self.size, x : x + self.size]
        else:
            rows = (np.arange(self.size) + y) % POOL_SIZE
            columns = (np.arange(self.size) + x) % POOL_SIZE
            view = source[rows][:, columns]
        if turn:
            view = np.rot90(view, turn)
        return view[:, ::-1] if flip else view

    def wave(self, cycles: float) -> Array:
        """Return a smooth field, about ``cycles`` swells across, shape (size, size), deviation 1.

        It consists of a few plane waves. Without the detail of the pools, thresholding gives
        smooth outlines.
        """
        axis = np.linspace(0.0, 1.0, self.size, dtype=np.float32)
        total = np.zeros((self.size, self.size), np.float32)
        for _ in range(5):
            angle = self._rng.uniform(0, 2 * np.pi)
            frequency = cycles * self._rng.uniform(0.5, 1.3) * 2 * np.pi
            phase = self._rng.uniform(0, 2 * np.pi)
            along = (axis * (frequency * np.cos(angle)) + phase).astype(np.float32)
            across = (axis * (frequency * np.sin(angle))).astype(np.float32)
            # sin(a + b) from one-dimensional tables is much cheaper than a 2-D sine.
            total += np.sin(across)[:, None] * np.cos(along)[None, :]
            total += np.cos(across)[:, None] * np.sin(along)[None, :]
        return total / np.float32(np.sqrt(2.5))
