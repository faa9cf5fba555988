# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring two rasters of any data type to 8 bits so that the same ground looks alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import numpy as np

if TYPE_CHECKING:
    from .grid import Grid
    from .reader import RasterSource

#: Pixels are sampled in this many windows along each side of the area,
WINDOWS = 8
#: of this many pixels along each side: 1024 x 1024 pixels in all.
WINDOW_SIZE = 128
#: Percentiles that become 0 and 255.
PERCENTILES = (2.0, 98.0)


@dataclass(frozen=True)
class Stretch:
    """A linear stretch of three bands to 8 bits.

    Attributes:
        low: values of the three bands that become 0; None passes 8-bit data unchanged.
        high: values that become 255.
    """

    low: Optional[tuple[float, float, float]] = None
    high: Optional[tuple[float, float, float]] = None

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Stretch pixels: round(255 (v - low) / (high - low)), cut to 0 to 255.

        Args:
            array: (..., 3) of any real type.

        Returns:
            The same shape, uint8; NaN becomes 0.
        """
        if self.low is None or self.high is None:
            return array.astype(np.uint8, copy=False)
        low = np.asarray(self.low, dtype=np.float32)
        span = np.asarray(self.high, dtype=np.float32) - low
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = (array.astype(np.float32) - low) * (np.float32(255.0) / span)
        return np.clip(np.nan_to_num(np.rint(scaled)), 0, 255).astype(np.uint8)


def joint_stretch(before: RasterSource, after: RasterSource, grid: Grid) -> tuple[Stretch, Stretch]:
    """Find the stretch of each raster over the area that both cover.

    8-bit rasters pass unchanged: they were made to be looked at. For others, per band, each
    raster's median m and interquartile range s take out what differs between the dates
    everywhere (sun, haze, the sensor's scale), and one span, shared by both dates, is laid over
    z = (v - m) / s, from the 2nd to the 98th percentile of both together. Percentiles of each
    raster by itself would not do: new roofs on three pixels of a hundred would move the upper
    one, and all the unchanged ground would look darker. Up to a quarter of the pixels may
    change before median and quartiles follow. Beside an 8-bit raster the other is brought to
    the 8-bit one's median and interquartile range.

    Pixels are taken from windows spread evenly over the area, at full resolution: statistics
    of averaged pixels have narrower tails, and a decimated read of a raster without overviews
    reads all of it.

    Args:
        before: the earlier raster.
        after: the later raster.
        grid: of the area analysed, as it will be read.

    Returns:
        Stretches of the earlier and of the later raster.
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
    """Valid pixels in windows spread over the grid, (N, 3) float64."""
    parts = []
    for y, height in _windows(grid.height):
        for x, width in _windows(grid.width):
            array, valid = source.read(grid.window(x, y, width, height))
            parts.append(array[valid])
    return np.concatenate(parts).astype(np.float64)


def _windows(size: int) -> list[tuple[int, int]]:
    """Start and length of the windows along one side."""
    if size <= WINDOWS * WINDOW_SIZE:
        return [(start, min(WINDOW_SIZE, size - start)) for start in range(0, size, WINDOW_SIZE)]
    cell = size / WINDOWS
    return [(int((i + 0.5) * cell - WINDOW_SIZE / 2), WINDOW_SIZE) for i in range(WINDOWS)]


def _limits(values: list[np.ndarray], fixed: list[bool]) -> np.ndarray:
    """Low and high of one band of both rasters, (2, 2); those of an 8-bit one are not used."""
    centres = [_centre(sample) for sample in values]
    if any(fixed):
        reference, other = (0, 1) if fixed[0] else (1, 0)
        median, spread = centres[reference]
        limits = np.zeros((2, 2))
        limits[other] = _apart(
            *(centres[other][0] + centres[other][1] * (np.array([0, 255]) - median) / spread)
        )
        return limits
    scores = [(sample - m) / s for sample, (m, s) in zip(values, centres)]
    pooled = np.concatenate(scores)
    low, high = np.percentile(pooled, PERCENTILES) if len(pooled) else (0.0, 1.0)
    return np.array([_apart(m + s * low, m + s * high) for m, s in centres])


def _centre(sample: np.ndarray) -> tuple[float, float]:
    """Median and spread of a sample; the spread is never 0."""
    if not len(sample):
        return 0.0, 1.0
    low, first, median, third, high = np.percentile(
        sample, [PERCENTILES[0], 25, 50, 75, PERCENTILES[1]]
    )
    # Where half of the pixels are equal (water, a mask), the quartiles say nothing.
    spread = third - first or (high - low) / 2 or 1.0
    return float(median), float(spread)


def _apart(low: float, high: float) -> tuple[float, float]:
    """Keep the two ends of a span apart, also in float32."""
    least = max(abs(low), abs(high), 1e-30) * 1e-5
    return low, max(high, low + least)
