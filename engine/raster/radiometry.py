# SPDX-License-Identifier: GPL-3.0-or-later
"""Radiometry: stretch two rasters of any data type to 8 bits so that unchanged ground matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .grid import Grid
    from .reader import RasterSource

#: Statistics are taken from WINDOWS x WINDOWS windows of WINDOW_SIZE x WINDOW_SIZE pixels.
WINDOWS = 8
WINDOW_SIZE = 128
#: Percentiles mapped to 0 and 255.
PERCENTILES = (2.0, 98.0)


@dataclass(frozen=True)
class Stretch:
    """A linear stretch of three bands to 8 bits.

    Attributes:
        low: values of the three bands mapped to 0; None leaves 8-bit data unchanged.
        high: values mapped to 255.
    """

    low: Optional[tuple[float, float, float]] = None
    high: Optional[tuple[float, float, float]] = None

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Map v to round(255 (v - low) / (high - low)) in 0 to 255, uint8; NaN becomes 0."""
        if self.low is None or self.high is None:
            return array.astype(np.uint8, copy=False)
        low = np.asarray(self.low, dtype=np.float32)
        span = np.asarray(self.high, dtype=np.float32) - low
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = (array.astype(np.float32) - low) * (np.float32(255.0) / span)
        return np.clip(np.nan_to_num(np.rint(scaled)), 0, 255).astype(np.uint8)


def joint_stretch(before: RasterSource, after: RasterSource, grid: Grid) -> tuple[Stretch, Stretch]:
    """Find the stretch of each raster over the area that both cover, seen on ``grid``.

    8-bit rasters stay unchanged, since they were made for display. Otherwise, per band, values v
    are normalised to z = (v - m) / s with each raster's median m and interquartile range s, which
    removes what differs between the dates everywhere (sun, haze, sensor scale), and the 2nd to
    98th percentile of z of both rasters together is mapped to 0 to 255. Percentiles of each
    raster separately would follow the change itself: new roofs on three pixels in a hundred would
    move the upper one and darken all unchanged ground, whereas median and quartiles hold until a
    quarter of the pixels have changed. If one raster has 8 bits, the other is matched to its
    median and interquartile range.

    Statistics come from windows spread evenly over the area at full resolution: averaged pixels
    have narrower tails, and a decimated read of a raster without overviews reads all of it.

    Raises:
        InputError: a file is damaged.
    """
    fixed = [source.dtype == np.uint8 for source in (before, after)]
    if all(fixed):
        return Stretch(), Stretch()
    samples = [_sample(source, grid) for source in (before, after)]
    limits = np.zeros((2, 2, 3))  # raster, low and high, band
    for band in range(3):
        values = [sample[:, band] for sample in samples]
        limits[:, :, band] = _limits(values, fixed)
    stretches = [
        Stretch() if eight_bit else Stretch(tuple(low.tolist()), tuple(high.tolist()))
        for eight_bit, (low, high) in zip(fixed, limits)
    ]
    return stretches[0], stretches[1]


def _sample(source: RasterSource, grid: Grid) -> np.ndarray:
    """Return (N, 3) float64: the valid pixels in windows spread over the grid."""
    parts = []
    for window in sample_windows(grid):
        array, valid = source.read(window)
        parts.append(array[valid])
    return np.concatenate(parts).astype(np.float64)


def sample_windows(grid: Grid) -> Iterator[Grid]:
    """Yield windows spread over a grid."""
    for y, height in _windows(grid.height):
        for x, width in _windows(grid.width):
            yield grid.window(x, y, width, height)


def _windows(size: int) -> list[tuple[int, int]]:
    """Return start and length of the windows along one side."""
    if size <= WINDOWS * WINDOW_SIZE:
        return [(start, min(WINDOW_SIZE, size - start)) for start in range(0, size, WINDOW_SIZE)]
    cell = size / WINDOWS
    return [(int((i + 0.5) * cell - WINDOW_SIZE / 2), WINDOW_SIZE) for i in range(WINDOWS)]


def _limits(values: list[np.ndarray], fixed: list[bool]) -> np.ndarray:
    """Return (2, 2): low and high of one band of both rasters; an 8-bit raster ignores its own."""
    centres = [_centre(sample) for sample in values]
    if any(fixed):
        reference, other = (0, 1) if fixed[0] else (1, 0)
        median, spread = centres[reference]
        limits = np.zeros((2, 2))
        limits[other] = _distinct(
            *(centres[other][0] + centres[other][1] * (np.array([0, 255]) - median) / spread)
        )
        return limits
    scores = [(sample - m) / s for sample, (m, s) in zip(values, centres)]
    pooled = np.concatenate(scores)
    low, high = np.percentile(pooled, PERCENTILES) if len(pooled) else (0.0, 1.0)
    return np.array([_distinct(m + s * low, m + s * high) for m, s in centres])


def _centre(sample: np.ndarray) -> tuple[float, float]:
    """Return median and spread of a sample; the spread is never 0."""
    if not len(sample):
        return 0.0, 1.0
    low, first, median, third, high = np.percentile(
        sample, [PERCENTILES[0], 25, 50, 75, PERCENTILES[1]]
    )
    # The quartiles coincide where half of the pixels are equal (water, a mask).
    spread = third - first or (high - low) / 2 or 1.0
    return float(median), float(spread)


def _distinct(low: float, high: float) -> tuple[float, float]:
    """Keep the two ends of a span distinct in float32."""
    gap = max(abs(low), abs(high), 1e-30) * 1e-5
    return low, max(high, low + gap)
