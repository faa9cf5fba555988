# SPDX-License-Identifier: GPL-3.0-or-later
"""Roofs and tree crowns as height fields, with light and shadow.

Buildings and trees are drawn into rasters of height above ground. Slopes are lit by the sun
(Lambert), and ray marching towards it finds the shadows, so that shading and shadows agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .world import Building, Canvas, Wing

Array = NDArray[np.float32]


@dataclass
class Relief:
    """Rasters of objects on the ground, (size, size) or (n, size, size).

    Attributes:
        height: metres above ground of roofs.
        normal: x and y part of the surface normal of roofs, (2, size, size).
        colour: albedo of roofs, (3, size, size).
        roof: share of each pixel that is covered by roofs.
        number: number of the building, from 1; 0 for none.
        crown: metres above ground of tree crowns.
        tint: 0 to 1, lightness of a crown's leaves.
        species: 0 evergreen to 1 leafless in winter.
    """

    height: Array
    normal: Array
    colour: Array
    roof: Array
    number: NDArray[np.int32]
    crown: Array
    tint: Array
    species: Array

    @staticmethod
    def flat(size: int) -> Relief:
        """Return an empty relief."""

        def plane(*axis: int) -> Array:
            return np.zeros((*axis, size, size), np.float32)

        number = np.zeros((size, size), np.int32)
        return Relief(plane(), plane(2), plane(3), plane(), number, plane(), plane(), plane())

    def copy(self) -> Relief:
        """Return an independent copy."""
        return Relief(*(getattr(self, name).copy() for name in self.__dataclass_fields__))


def draw_building(relief: Relief, canvas: Canvas, building: Building, number: int) -> None:
    """Add ``building`` to ``relief``; the higher roof of overlapping wings is visible."""
    for wing in building.wings:
        _draw_wing(relief, canvas, wing, building, number)


def _draw_wing(relief: Relief, canvas: Canvas, wing: Wing, building: Building, number: int) -> None:
    gsd, margin, size = canvas.gsd, canvas.margin, canvas.size
    reach = float(np.hypot(wing.half_length, wing.half_width)) + gsd
    x0 = max(0, int((wing.x - reach) / gsd) + margin)
    x1 = min(size, int((wing.x + reach) / gsd) + margin + 2)
    y0 = max(0, int((wing.y - reach) / gsd) + margin)
    y1 = min(size, int((wing.y + reach) / gsd) + margin + 2)
    if x0 >= x1 or y0 >= y1:
        return
    x = ((np.arange(x0, x1) + 0.5 - margin) * gsd - wing.x).astype(np.float32)[None, :]
    y = ((np.arange(y0, y1) + 0.5 - margin) * gsd - wing.y).astype(np.float32)[:, None]
    c, s = np.float32(np.cos(wing.angle)), np.float32(np.sin(wing.angle))
    u, v = x * c + y * s, y * c - x * s
    to_end = np.float32(wing.half_length) - np.abs(u)
    to_side = np.float32(wing.half_width) - np.abs(v)
    edge = np.minimum(to_end, to_side)
    cover = np.clip(edge / np.float32(gsd) + np.float32(0.5), 0, 1)
    height, nx, ny = _roof_surface(wing, u, v, to_end, to_side, edge, c, s)
    here = (slice(y0, y1), slice(x0, x1))
    higher = (height > relief.height[here]) & (cover > 0.5)
    np.copyto(relief.height[here], height, where=higher)
    np.copyto(relief.normal[0][here], nx, where=higher)
    np.copyto(relief.normal[1][here], ny, where=higher)
    np.copyto(relief.number[here], np.int32(number), where=higher)
    np.maximum(relief.roof[here], cover, out=relief.roof[here])
    colour = np.array(building.colour, np.float32)[:, None, None] * _roof_pattern(
        building, wing, u, v
    )
    np.copyto(
        relief.colour[:, here[0], here[1]],
        colour,
        where=(cover > 0) & (higher | (relief.number[here] == 0)),
    )


def _roof_surface(
    wing: Wing,
    u: Array,
    v: Array,
    to_end: Array,
    to_side: Array,
    edge: Array,
    c: np.float32,
    s: np.float32,
) -> tuple[Array, Array, Array]:
    """Return height and the x and y part of the normal of a wing's roof."""
    eave = np.float32(wing.eave)
    if wing.roof == "flat":
        parapet = (edge < 0.5).astype(np.float32) * np.float32(0.5)
        zero = np.zeros_like(edge)
        return eave + parapet, zero, zero
    pitch = np.float32(wing.pitch)
    rise = to_side if wing.roof == "gable" else edge
    length = np.float32(1.0 / np.sqrt(1.0 + pitch * pitch))
    fall = pitch * length
    to_ends = np.zeros(edge.shape, bool) if wing.roof == "gable" else to_end < to_side
    along = np.where(to_ends, np.sign(u) * fall, np.float32(0))
    across = np.where(to_ends, np.float32(0), np.sign(v) * fall)
    return eave + pitch * rise, along * c - across * s, along * s + across * c


def _roof_pattern(building: Building, wing: Wing, u: Array, v: Array) -> Array:
    """Return a factor for the roof colour: seams of metal, strips of membranes."""
    if building.texture == "metal":
        return 1.0 + 0.05 * np.sin(u * np.float32(2 * np.pi / 1.3))
    if building.texture == "membrane":
        return 1.0 + 0.025 * np.sign(np.sin(v * np.float32(2 * np.pi / 7.0)))
    tone = 1.0 + 0.03 * np.sin(np.float32(37.0 * wing.x + 11.0 * wing.y))
    return np.full(u.shape, tone, np.float32)


@lru_cache(maxsize=1)
def _crowns() -> tuple[Array, ...]:
    """Return lumpy crown shapes, each (64, 64): height from 0 (outside) to 1."""
    rng = np.random.default_rng(104729)
    axis = (np.arange(64, dtype=np.float32) - 31.5) / 32.0
    shapes = []
    for _ in range(28):
        shape = np.zeros((64, 64), np.float32)
        lumps = int(rng.integers(22, 52))
        for i in range(lumps):
            r = rng.uniform(0.13, 0.30) if i else 0.5
            away = 0.0 if i == 0 else np.sqrt(rng.uniform(0, 1)) * (1.0 - r)
            angle = rng.uniform(0, 2 * np.pi)
            d2 = (
                (axis[None, :] - away * np.cos(angle)) ** 2
                + (axis[:, None] - away * np.sin(angle)) ** 2
            ) / r**2
            top = (0.95 - 0.5 * away**2) * rng.uniform(0.75, 1.0)
            dome = top * (0.58 + 0.42 * np.sqrt(np.clip(1.0 - d2, 0, 1)))
            shape = np.maximum(shape, np.where(d2 < 1, dome, 0)).astype(np.float32)
        shapes.append(shape)
    return tuple(shapes)


@lru_cache(maxsize=4096)
def _crown(shape: int, pixels: int) -> Array:
    image = Image.fromarray(_crowns()[shape])
    return np.asarray(image.resize((pixels, pixels), Image.Resampling.BOX), np.float32)


def draw_trees(relief: Relief, canvas: Canvas, rows: NDArray[np.float64]) -> None:
    """Add trees to ``relief``: rows (n, 6) of x, y, radius, height (metres), tint, species."""
    size = canvas.size
    shapes = len(_crowns())
    for x, y, radius, height, tint, species in rows:
        pixels = max(2, int(2.0 * radius / canvas.gsd + 0.5))
        left = int(x / canvas.gsd + canvas.margin - pixels / 2 + 0.5)
        top = int(y / canvas.gsd + canvas.margin - pixels / 2 + 0.5)
        x0, x1 = max(0, left), min(size, left + pixels)
        y0, y1 = max(0, top), min(size, top + pixels)
        if x0 >= x1 or y0 >= y1:
            continue
        crown = _crown(int(tint * 7919) % shapes, pixels)[
            y0 - top : y1 - top, x0 - left : x1 - left
        ]
        crown = crown * np.float32(height)
        here = relief.crown[y0:y1, x0:x1]
        higher = crown > here
        np.copyto(here, crown, where=higher)
        np.copyto(relief.tint[y0:y1, x0:x1], np.float32(tint), where=higher)
        np.copyto(relief.species[y0:y1, x0:x1], np.float32(species), where=higher)


def sun_vector(azimuth: float, elevation: float) -> tuple[float, float, float]:
    """Return the direction to the sun as (right, down, up) for angles in radians from north."""
    return (
        float(np.sin(azimuth) * np.cos(elevation)),
        float(-np.cos(azimuth) * np.cos(elevation)),
        float(np.sin(elevation)),
    )


def lit_share(height: Array, gsd: float, sun: tuple[float, float, float]) -> Array:
    """Return the share of sunlight, 0 to 1, that reaches each pixel of a height field.

    Marches from every pixel towards the sun and records how far the ray passes below the highest
    obstacle.
    """
    right, down, up = sun
    flat = float(np.hypot(right, down))
    if flat < 1e-3:
        return np.ones_like(height)
    rise = up / flat * gsd
    top = float(height.max())
    steps = min(int(top / max(rise, 1e-3)) + 1, height.shape[0] - 1)
    below = np.zeros_like(height)
    rows, columns = height.shape
    buffer = np.empty_like(height)
    k = 1
    while k <= steps:
        dx, dy = round(right / flat * k), round(down / flat * k)
        here = (
            slice(max(0, -dy), min(rows, rows - dy)),
            slice(max(0, -dx), min(columns, columns - dx)),
        )
        there = (
            slice(max(0, dy), min(rows, rows + dy)),
            slice(max(0, dx), min(columns, columns + dx)),
        )
        part = buffer[here]
        np.subtract(height[there], height[here], out=part)
        part -= np.float32(rise * k)
        np.maximum(below[here], part, out=below[here])
        k += 1 if k < 24 else 2
    return 1.0 - np.clip(below / np.float32(0.6), 0.0, 1.0)
