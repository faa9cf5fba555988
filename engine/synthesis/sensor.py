# SPDX-License-Identifier: GPL-3.0-or-later
"""Effects of camera, atmosphere and processing on a scene."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from .relief import sun_vector
from .render import Light

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """Radiometry and geometry of one date.

    Attributes:
        low: grey level of the darkest 1 % of the pixels.
        high: grey level of the brightest 1 %.
        stretch: strength of the stretch to these levels, 0 to 1.
        gamma: exponent; above 1 darkens the mid-tones.
        balance: factors for red, green, blue.
        saturation: 0 is grey, 1 unchanged, above 1 stronger.
        haze: share of grey-blue haze.
        blur: standard deviation of the blur in pixels.
        sharpen: strength of the sharpening after it.
        noise: standard deviation of the noise in grey levels.
        quality: JPEG quality; 0 is no compression.
        shift: misregistration in pixels (right, down).
    """

    low: float
    high: float
    stretch: float
    gamma: float
    balance: tuple[float, float, float]
    saturation: float
    haze: float
    blur: float
    sharpen: float
    noise: float
    quality: int
    shift: tuple[float, float]

    @staticmethod
    def draw(rng: np.random.Generator) -> Camera:
        """Return a random camera without misregistration."""
        balance = (
            (0.98, 1.01, 1.03)
            + rng.normal(0, 0.03, 3)
            + rng.normal(0, 0.04) * np.array([1.0, 0.1, -1.0])
        )
        return Camera(
            low=float(rng.gamma(2.0, 4.5)),
            high=float(rng.uniform(135, 248)),
            stretch=float(rng.uniform(0.55, 1.0)),
            gamma=float(np.exp(rng.normal(0.1, 0.2))),
            balance=(float(balance[0]), float(balance[1]), float(balance[2])),
            saturation=float(rng.uniform(0.45, 1.0)),
            haze=float(rng.beta(1.0, 14)),
            blur=float(rng.uniform(0.2, 0.85)),
            sharpen=float(rng.choice([0.0, 1.0, 1.6]) * rng.uniform(0.3, 1.0)),
            noise=float(rng.gamma(1.6, 1.2)),
            quality=int(rng.integers(60, 96)),
            shift=(0.0, 0.0),
        )


def draw_light(rng: np.random.Generator, gsd: float) -> Light:
    """Return sun and view of one date; the sun is usually in the south."""
    azimuth = rng.normal(np.pi, 0.85) if rng.random() < 0.85 else rng.uniform(0, 2 * np.pi)
    elevation = np.radians(rng.uniform(32, 70))
    lean = rng.normal(0, 0.9, 2) / max(gsd, 0.4) * 0.5
    lean = np.clip(np.round(lean), -3, 3).astype(int)
    return Light(
        sun_vector(float(azimuth), float(elevation)),
        float(rng.uniform(0.2, 0.42)),
        (int(lean[0]), int(lean[1])),
    )


def shifted_crop(image: Array, margin: int, size: int, shift: tuple[float, float]) -> Array:
    """Return the inner (3, size, size) of ``image``, shifted by subpixels, bilinear."""
    x, y = margin + shift[0], margin + shift[1]
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    fx, fy = np.float32(x - x0), np.float32(y - y0)

    def part(dy: int, dx: int) -> Array:
        return image[:, y0 + dy : y0 + dy + size, x0 + dx : x0 + dx + size]

    if fx == 0 and fy == 0:
        return part(0, 0).copy()
    upper = part(0, 0) * (1 - fx) + part(0, 1) * fx
    lower = part(1, 0) * (1 - fx) + part(1, 1) * fx
    return upper * (1 - fy) + lower * fy


def _stretched(image: Array, camera: Camera) -> Array:
    """Return ``image`` with its darkest and brightest 1 % near the levels of ``camera``.

    Providers stretch images in this way. The stretch is partial, so that an image of plain meadow
    does not become black and white.
    """
    low, high = np.percentile(image[:, ::4, ::4].mean(0), [1.0, 99.0])
    keep = 1.0 - camera.stretch
    low, high = low * camera.stretch + 0.08 * keep, high * camera.stretch + 0.75 * keep
    high = max(high, low + 0.42)
    # Compensates for the following gamma, which lowers both levels.
    target = (np.array([camera.low, camera.high]) / 255.0) ** (1.0 / camera.gamma)
    slope = (target[1] - target[0]) / (high - low)
    return image * np.float32(slope) + np.float32(target[0] - low * slope)


def expose(scene: Array, camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image (h, w, 3) uint8 of a lit scene (3, h, w)."""
    image = scene
    if camera.blur > 0.3:
        image = ndimage.gaussian_filter(image, (0, camera.blur, camera.blur), truncate=2.5)
    image = _stretched(image, camera)
    image *= np.array(camera.balance, np.float32)[:, None, None]
    grey = np.float32(0.3) * image[0] + np.float32(0.55) * image[1] + np.float32(0.15) * image[2]
    image -= grey
    image *= np.float32(camera.saturation * (1 - camera.haze))
    image += grey * np.float32(1 - camera.haze)
    image += np.array([0.62, 0.66, 0.70], np.float32)[:, None, None] * np.float32(camera.haze)
    np.clip(image, 0.002, 1.0, out=image)
    if abs(camera.gamma - 1) > 0.01:
        image = np.exp(np.log(image) * np.float32(camera.gamma))
    if camera.sharpen:
        smooth = ndimage.uniform_filter(image, (1, 3, 3))
        image += (image - smooth) * np.float32(camera.sharpen)
    image *= 255.0
    if camera.noise > 0.2:
        image += rng.standard_normal(image.shape[1:], np.float32) * np.float32(camera.noise)
    image += np.float32(0.5)
    pixels = np.clip(image, 0, 255, out=image).astype(np.uint8)
    pixels = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    if not camera.quality:
        return pixels
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=camera.quality)
    return np.asarray(Image.open(stream)).copy()
