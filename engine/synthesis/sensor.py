# SPDX-License-Identifier: GPL-3.0-or-later
"""What camera, air and processing do to a scene on one date."""

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
        gain: factor for the brightness.
        gamma: exponent; above 1 darkens the middle tones.
        balance: factors for red, green, blue.
        saturation: 0 grey to 1 as it is, above 1 stronger.
        haze: share of grey-blue veil.
        black: level subtracted, as by a contrast stretch.
        blur: deviation of the blur in pixels.
        sharpen: strength of the sharpening that follows.
        noise: deviation of the noise in grey levels.
        quality: of the JPEG compression; 0 none.
        shift: misregistration in pixels (right, down).
    """

    gain: float
    gamma: float
    balance: tuple[float, float, float]
    saturation: float
    haze: float
    black: float
    blur: float
    sharpen: float
    noise: float
    quality: int
    shift: tuple[float, float]

    @staticmethod
    def draw(rng: np.random.Generator) -> Camera:
        """Return a camera, drawn at random, without misregistration."""
        balance = 1.0 + rng.normal(0, 0.035, 3) + rng.normal(0, 0.045) * np.array([1.0, 0.1, -1.0])
        return Camera(
            gain=float(np.exp(rng.normal(0.0, 0.24))), gamma=float(np.exp(rng.normal(0.12, 0.22))),
            balance=(float(balance[0]), float(balance[1]), float(balance[2])),
            saturation=float(rng.uniform(0.5, 1.1)), haze=float(rng.beta(1.2, 9)),
            black=float(rng.uniform(0.0, 0.1)), blur=float(rng.uniform(0.35, 0.95)),
            sharpen=float(rng.choice([0.0, 0.5, 1.0]) * rng.uniform(0.4, 1.0)),
            noise=float(rng.gamma(1.6, 1.3)), quality=int(rng.integers(60, 96)), shift=(0.0, 0.0))


def draw_light(rng: np.random.Generator, gsd: float) -> Light:
    """Return sun and view of one date; the sun stands in the south, seldom elsewhere."""
    azimuth = rng.normal(np.pi, 0.85) if rng.random() < 0.85 else rng.uniform(0, 2 * np.pi)
    elevation = np.radians(rng.uniform(32, 70))
    lean = rng.normal(0, 0.9, 2) / max(gsd, 0.4) * 0.5
    lean = np.clip(np.round(lean), -3, 3).astype(int)
    return Light(sun_vector(float(azimuth), float(elevation)), float(rng.uniform(0.26, 0.5)),
                 (int(lean[0]), int(lean[1])))


def shifted_crop(image: Array, margin: int, size: int, shift: tuple[float, float]) -> Array:
    """Return the inner (size, size, 3) of ``image``, moved by parts of a pixel, bilinear."""
    x, y = margin + shift[0], margin + shift[1]
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    fx, fy = np.float32(x - x0), np.float32(y - y0)

    def part(dy: int, dx: int) -> Array:
        return image[y0 + dy:y0 + dy + size, x0 + dx:x0 + dx + size]

    if fx == 0 and fy == 0:
        return part(0, 0).copy()
    upper = part(0, 0) * (1 - fx) + part(0, 1) * fx
    lower = part(1, 0) * (1 - fx) + part(1, 1) * fx
    return upper * (1 - fy) + lower * fy


def expose(scene: Array, camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture (h, w, 3) uint8 of a lit scene (h, w, 3)."""
    image = scene
    if camera.blur > 0.3:
        image = ndimage.gaussian_filter(image, (camera.blur, camera.blur, 0), truncate=2.5)
    image = (image - np.float32(camera.black)) * np.float32(camera.gain / (1 - camera.black))
    image *= np.array(camera.balance, np.float32)
    grey = image @ np.array([0.3, 0.55, 0.15], np.float32)
    image = grey[..., None] + (image - grey[..., None]) * np.float32(camera.saturation)
    veil = np.array([0.62, 0.66, 0.70], np.float32)
    image = image * np.float32(1 - camera.haze) + veil * np.float32(camera.haze)
    np.clip(image, 0.002, 1.0, out=image)
    if abs(camera.gamma - 1) > 0.01:
        image = np.exp(np.log(image) * np.float32(camera.gamma))
    if camera.sharpen:
        smooth = ndimage.uniform_filter(image, (3, 3, 1))
        image += (image - smooth) * np.float32(camera.sharpen)
    image *= 255.0
    if camera.noise > 0.2:
        image += rng.standard_normal(image.shape[:2] + (1,), np.float32) * np.float32(camera.noise)
    pixels = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    if not camera.quality:
        return pixels
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=camera.quality)
    return np.asarray(Image.open(stream)).copy()
