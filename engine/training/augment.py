# SPDX-License-Identifier: GPL-3.0-or-later
"""Augmentation of training pairs: differences between two dates that are not change."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter


def photometric(image: np.ndarray, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """Vary the appearance of an image, not its content; ``strength`` 1 is the full range.

    Brightness, contrast, gamma and colour cast; saturation and hue; sometimes haze or shadow in
    parts of the image; sometimes blur, noise or JPEG compression.
    """
    image = _mix_channels(image, rng, strength)
    image = _tone(image, rng, strength)
    if rng.random() < 0.2:
        image = _haze_or_shadow(image, rng, strength)
    draw = rng.random()
    if draw < 0.15:
        blur = ImageFilter.GaussianBlur(rng.uniform(0.3, 0.6 + strength))
        picture = Image.fromarray(image).filter(blur)
        image = np.asarray(picture)
    elif draw < 0.30:
        noise = rng.normal(0, rng.uniform(2, 10) * strength, image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    elif draw < 0.45:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(40, 90)))
        image = np.asarray(Image.open(buffer))
    return image


def tint(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give a whole image the colours of another sensor or sky: curves, a cast, perhaps haze."""
    grey = np.arange(256, dtype=np.float32)[:, None] / 255
    curves = grey ** np.exp(rng.normal(0, 0.25, 3)) * np.exp(rng.normal(0, 0.22, 3))
    curves = curves + rng.normal(0, 0.06, 3)
    if rng.random() < 0.35:
        haze = rng.uniform(0.1, 0.55)
        curves = curves * (1 - haze) + rng.uniform(0.5, 1.0, 3) * haze
    table = (np.clip(curves, 0, 1) * 255).astype(np.uint8)
    return np.stack([table[image[..., band], band] for band in range(3)], -1)


def _tone(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Vary brightness, contrast, gamma and colour cast with one lookup table per channel."""
    grey = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(rng.uniform(-0.35, 0.35) * strength)
    contrast = np.exp(rng.uniform(-0.35, 0.35) * strength)
    brightness = rng.uniform(-0.15, 0.15) * strength
    result = np.empty_like(image)
    for channel in range(3):
        cast = np.exp(rng.normal(0, 0.06) * strength)
        table = ((grey**gamma) * cast - 0.5) * contrast + 0.5 + brightness
        lookup = np.clip(table * 255, 0, 255).astype(np.uint8)
        result[..., channel] = lookup[image[..., channel]]
    return result


def _mix_channels(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Vary saturation and hue with one 3x3 matrix; sometimes turn to grey."""
    if rng.random() < 0.3:
        return image
    saturation = rng.uniform(1 - 0.6 * strength, 1 + 0.4 * strength)
    if rng.random() < 0.1 * strength:  # like old aerial photographs
        saturation = 0.0
    angle = rng.normal(0, 0.12) * strength
    luma = np.full((3, 3), 1 / 3, np.float32)
    # Rotation about the grey axis (Rodrigues), scaled in the chroma plane.
    axis = 1 / np.sqrt(3)
    cross = np.array([[0, -axis, axis], [axis, 0, -axis], [-axis, axis, 0]], np.float32)
    rotation = np.cos(angle) * (np.eye(3, dtype=np.float32) - luma) + np.sin(angle) * cross
    matrix = luma + saturation * rotation
    mixed = image.astype(np.float32) @ matrix.T.astype(np.float32)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _haze_or_shadow(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Lighten or darken parts of an image, so that old roads do not pass for new."""
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5)).astype(np.uint8))
    size = (image.shape[1], image.shape[0])
    field = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    if rng.random() < 0.5:
        weight, colour = field * rng.uniform(0.2, 0.6) * strength, 235.0
    else:
        # A steeper field, because cloud shadows have an edge.
        weight = np.clip((field - 0.5) * 6, 0, 1) * rng.uniform(0.2, 0.6) * strength
        colour = 10.0
    mixed = image + (colour - image) * weight[..., None]
    return np.clip(mixed, 0, 255).astype(np.uint8)


def symmetry(arrays: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Apply the same flip and quarter turn to all arrays (H, W, ...)."""
    turns, flip = int(rng.integers(4)), rng.random() < 0.5
    turned = [np.rot90(array, turns) for array in arrays]
    return [np.ascontiguousarray(array[:, ::-1] if flip else array) for array in turned]


def shift(arrays: list[np.ndarray], rng: np.random.Generator, most: int = 2) -> list[np.ndarray]:
    """Shift arrays (H, W, ...) by up to ``most`` whole pixels; the border is repeated."""
    down, right = (int(v) for v in rng.integers(-most, most + 1, 2))
    height, width = arrays[0].shape[:2]
    rows = np.clip(np.arange(height) + down, 0, height - 1)
    columns = np.clip(np.arange(width) + right, 0, width - 1)
    return [array[rows][:, columns] for array in arrays]
