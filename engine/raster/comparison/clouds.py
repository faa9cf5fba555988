# SPDX-License-Identifier: GPL-3.0-or-later
"""Clouds and their shadows on one of two dates, by a simple and cautious test.

After Fmask (Zhu and Woodcock, "Object-based cloud and cloud shadow detection in Landsat imagery",
2012): clouds are bright, white, wide, and have shadows of their shape at one distance in one
direction. As in Tmask (Zhu and Woodcock, 2014), the other date says what the ground looks like
without clouds. Thin and small clouds are missed: a quality mask is better where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import numpy as np

if TYPE_CHECKING:
    from ..grid import Grid
    from ..reader import RasterSource

#: Finest pixels, in metres, that are tested: shadows of clouds lie outside of sharper images.
MIN_PIXEL = 5.0
#: Pixels of a side of the grid of the test, at most.
_MAX_SIDE = 1024
#: In every band, clouds are this many times the median of their date, and this many interquartile
#: ranges above the other date. Their bands differ from their mean by this share in sum, at most
#: (half of Fmask's 0.7).
_BRIGHT, _BRIGHTER, _WHITENESS = 2.0, 3.0, 0.35
#: Shadows are this many interquartile ranges below the other date in every band.
_DARKER = 0.5
#: Narrowest cloud, and farthest shadow, in metres.
_WIDTH, _REACH = 150.0, 3000.0
#: Smallest share of the clouds that finds its shadow; without shadows, smallest share of the area.
_MATCHED, _OVERCAST = 0.4, 0.1


@dataclass(frozen=True)
class CloudMask:
    """Clouds and their shadows.

    Attributes:
        grid: of the masks.
        clouds: (H, W) bool.
        shadows: the same.
    """

    grid: Grid
    clouds: np.ndarray
    shadows: np.ndarray

    def hidden(self, grid: Grid) -> np.ndarray:
        """Return where clouds or shadows hide the ground, on a grid of the same CRS."""
        rows, columns = np.mgrid[0.5 : grid.height, 0.5 : grid.width]
        x, y = self.grid.map_to_pixel(*grid.pixel_to_map(columns, rows))
        x = np.clip(x.astype(np.int64), 0, self.grid.width - 1)
        y = np.clip(y.astype(np.int64), 0, self.grid.height - 1)
        return (self.clouds | self.shadows)[y, x]


def find_clouds(
    before: RasterSource, after: RasterSource, grid: Grid
) -> tuple[Optional[CloudMask], Optional[CloudMask]]:
    """Find the clouds of each date; None for a date without any.

    Only 16-bit rasters with three bands are tested, on ``grid``, if its pixels are not too sharp.
    """
    pair = (before, after)
    if any(source.dtype.str[1:] not in ("u2", "i2") for source in pair):
        return None, None
    if any(len(set(source.bands)) < 3 for source in pair) or (grid.pixel_size or 0) < MIN_PIXEL:
        return None, None
    step = max(1.0, max(grid.width, grid.height) / _MAX_SIDE)
    coarse = grid.scaled(step, step)
    images, valids = zip(*(source.read(coarse) for source in pair))
    valid = valids[0] & valids[1]
    if not valid.any():
        return None, None
    values = [image.astype(np.float32) for image in images]
    quartiles = [np.percentile(image[valid], (25, 50, 75), axis=0) for image in values]
    scaled = [(v - q[1]) / np.maximum(q[2] - q[0], 1) for v, q in zip(values, quartiles)]
    masks = []
    for date in (0, 1):
        difference = scaled[date] - scaled[1 - date]
        mean = values[date].mean(axis=2)
        spread = np.abs(values[date] - mean[..., None]).sum(axis=2)
        bright = (values[date] > _BRIGHT * quartiles[date][1]).all(axis=2)
        clouds = bright & (difference > _BRIGHTER).all(axis=2) & (spread < _WHITENESS * mean)
        dark = (difference < -_DARKER).all(axis=2) & valid
        found = _with_shadows(clouds & valid, dark, valid, coarse.pixel_size or MIN_PIXEL)
        masks.append(None if found is None else CloudMask(coarse, *found))
    return masks[0], masks[1]


def _with_shadows(
    clouds: np.ndarray, dark: np.ndarray, valid: np.ndarray, pixel: float
) -> Optional[tuple[np.ndarray, np.ndarray]]:
    """Return clouds that are wide and have shadows, and these; None without any."""
    radius = max(1, round(_WIDTH / pixel / 2))
    clouds = _grown(_count(clouds, radius) == (2 * radius + 1) ** 2, radius)
    if not clouds.any():
        return None
    shape = tuple(2 * side for side in clouds.shape)
    turned = np.conj(np.fft.rfft2(clouds, shape))
    matched, inside = (np.fft.irfft2(turned * np.fft.rfft2(m, shape), shape) for m in (dark, valid))
    rows, columns = (np.fft.fftfreq(side, 1 / side) for side in shape)
    distance = np.hypot(rows[:, None], columns) * pixel
    possible = (distance <= _REACH) & (distance > 0) & (inside >= clouds.sum() / 2)
    share = np.where(possible, matched / np.maximum(inside, 1), 0)
    row, column = np.unravel_index(int(share.argmax()), shape)
    shadows = np.zeros_like(clouds)
    if share[row, column] >= max(_MATCHED, 3 * dark[valid].mean()):
        moved = np.zeros(shape, bool)
        moved[: clouds.shape[0], : clouds.shape[1]] = clouds
        moved = np.roll(moved, (row, column), (0, 1))[: clouds.shape[0], : clouds.shape[1]]
        shadows = _grown(dark & _grown(moved, max(1, radius // 3)), 1)
    elif clouds[valid].mean() < _OVERCAST:
        return None
    return _grown(clouds, max(1, radius // 3)), shadows


def _count(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return how many pixels are set in the square of 2 radius + 1 pixels around each pixel."""
    sums = np.pad(mask.astype(np.int64), ((radius + 1, radius), (radius + 1, radius)))
    sums = sums.cumsum(axis=0).cumsum(axis=1)
    side = 2 * radius + 1
    return sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]


def _grown(mask: np.ndarray, radius: int) -> np.ndarray:
    return _count(mask, radius) > 0
