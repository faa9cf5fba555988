# SPDX-License-Identifier: GPL-3.0-or-later
"""Disturbed pairs: shifts, different light, noise, different resolution.

MMChange's table IV ("noise", "light", "noise + light") states no magnitudes, only that noise and
illumination were "inspired by" Hong et al. (2018), who model variability as a brightness factor and
noise. Here, light multiplies each date by its own factor between 0.75 and 1.25, and noise is white,
Gaussian, 25 dB below the signal, on both dates.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

Pair = tuple[np.ndarray, np.ndarray]
Disturbance = Callable[[np.ndarray, np.ndarray, np.random.Generator], Pair]

LIGHT = (0.75, 1.25)
NOISE_DECIBEL = 25.0


def shift_before(pixels: int) -> Disturbance:
    """Shift the earlier date to the right, repeating its left edge; labels follow the later."""

    def disturb(before: np.ndarray, after: np.ndarray, _rng: np.random.Generator) -> Pair:
        moved = np.concatenate([before[:, :1].repeat(pixels, 1), before[:, :-pixels]], 1)
        return moved, after

    return disturb


def brighter(factor: float) -> Disturbance:
    """Multiply the later date by a factor."""
    return lambda before, after, _rng: (before, _to_bytes(after * np.float32(factor)))


def contrast(factor: float) -> Disturbance:
    """Scale the later date around its mean."""

    def disturb(before: np.ndarray, after: np.ndarray, _rng: np.random.Generator) -> Pair:
        mean = after.mean((0, 1), dtype=np.float64).astype(np.float32)
        return before, _to_bytes(mean + (after - mean) * np.float32(factor))

    return disturb


def hue(degrees: float) -> Disturbance:
    """Rotate the hue of the later date."""

    def disturb(before: np.ndarray, after: np.ndarray, _rng: np.random.Generator) -> Pair:
        hsv = np.array(Image.fromarray(after).convert("HSV"))
        # PIL's hue is a byte that wraps around.
        hsv[..., 0] = (hsv[..., 0].astype(int) + round(degrees / 360 * 256)) % 256
        return before, np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))

    return disturb


def gaussian(deviation: float) -> Disturbance:
    """Add white noise of a standard deviation in grey levels to both dates."""

    def disturb(before: np.ndarray, after: np.ndarray, rng: np.random.Generator) -> Pair:
        return tuple(_noisy(image, deviation, rng) for image in (before, after))

    return disturb


def salt_and_pepper(share: float) -> Disturbance:
    """Make a share of the pixels of both dates white or black."""

    def disturb(before: np.ndarray, after: np.ndarray, rng: np.random.Generator) -> Pair:
        pair = []
        for image in (before, after):
            drawn = rng.random(image.shape[:2])
            spotted = image.copy()
            spotted[drawn < share / 2] = 0
            spotted[drawn > 1 - share / 2] = 255
            pair.append(spotted)
        return tuple(pair)

    return disturb


def light(before: np.ndarray, after: np.ndarray, rng: np.random.Generator) -> Pair:
    """Multiply each date by its own factor within :data:`LIGHT`."""
    return tuple(_to_bytes(image * np.float32(rng.uniform(*LIGHT))) for image in (before, after))


def noise(before: np.ndarray, after: np.ndarray, rng: np.random.Generator) -> Pair:
    """Add white noise :data:`NOISE_DECIBEL` below the mean square of each date."""
    pair = []
    for image in (before, after):
        power = np.square(image, dtype=np.float64).mean()
        pair.append(_noisy(image, float(np.sqrt(power / 10 ** (NOISE_DECIBEL / 10))), rng))
    return tuple(pair)


def noise_and_light(before: np.ndarray, after: np.ndarray, rng: np.random.Generator) -> Pair:
    """Apply :func:`light`, then :func:`noise`, as in a sensor."""
    return noise(*light(before, after, rng), rng)


#: Name in the report -> disturbance.
DISTURBANCES: dict[str, Disturbance] = {
    **{f"earlier date shifted by {n} px": shift_before(n) for n in (1, 2, 3, 4)},
    "later date 30 % darker": brighter(0.7),
    "later date 30 % brighter": brighter(1.3),
    "later date, contrast x 0.7": contrast(0.7),
    "later date, contrast x 1.3": contrast(1.3),
    "later date, hue -15 degrees": hue(-15),
    "later date, hue +15 degrees": hue(15),
    "Gaussian noise, 5 grey levels": gaussian(5),
    "Gaussian noise, 15 grey levels": gaussian(15),
    "salt and pepper, 1 % of the pixels": salt_and_pepper(0.01),
    "noise (25 dB)": noise,
    "light (x 0.75 to 1.25 per date)": light,
    "noise + light": noise_and_light,
}


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    """Change the resolution: averaged when reduced, bicubic when enlarged."""
    height, width = image.shape[:2]
    how = Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC
    size = (round(width * factor), round(height * factor))
    return np.asarray(Image.fromarray(image).resize(size, how))


def _noisy(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    return _to_bytes(image + deviation * rng.standard_normal(image.shape, np.float32))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
