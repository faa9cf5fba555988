# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a generated scene: roads, buildings, trees and ground, on two dates.

All coordinates are metres from the upper left corner of the scene, x to the right and y down. An
object exists on its ``dates``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]
Colour = tuple[float, float, float]
Dates = tuple[bool, bool]
Window = tuple[slice, slice]
#: Covered share of each pixel in a window of the canvas, and the window (rows, columns).
Coverage = tuple[NDArray[np.float32], Window]

BOTH: Dates = (True, True)
ONLY_BEFORE: Dates = (True, False)
ONLY_AFTER: Dates = (False, True)

#: Label code of the training data (``changescribe.engine.classes`` order, plus one).
OTHER, BUILDING, ROAD, TREE, GRASS, WATER, BARE = range(7)


@dataclass(frozen=True)
class Wing:
    """A rectangular part of a building: centre, half sides, direction of the long side."""

    x: float
    y: float
    half_length: float
    half_width: float
    angle: float
    roof: str  # "hip", "gable" or "flat"
    eave: float
    pitch: float


@dataclass(frozen=True)
class Building:
    """A building of one or more wings with the same roofing."""

    wings: tuple[Wing, ...]
    colour: Colour
    dates: Dates
    texture: str = "shingle"  # "shingle", "metal", "membrane"


@dataclass(frozen=True)
class Road:
    """A road as a centre line with a width.

    Attributes:
        surface: ``"asphalt"``, ``"concrete"``, ``"gravel"`` or ``"dirt"``.
        bulb: radius of the turning circle at the end, or 0.
        marking: ``""``, ``"dashed"`` or ``"double"`` centre line.
    """

    points: Points
    width: float
    surface: str
    dates: Dates
    kerb: bool = False
    marking: str = ""
    bulb: float = 0.0
    verge: float = 0.0
    tone: float = 1.0


@dataclass(frozen=True)
class Patch:
    """A piece of ground: polygons, or a coverage raster, with the material on it."""

    material: str
    dates: Dates
    polygons: tuple[Points, ...] = ()
    coverage: Optional[NDArray[np.float32]] = None
    tone: float = 1.0
    angle: float = 0.0
    tint: float = 0.0


@dataclass(frozen=True)
class Trees:
    """A set of trees: rows of x, y, crown radius, height, tint in [0, 1], species."""

    rows: NDArray[np.float64]
    dates: Dates


@dataclass
class World:
    """A scene to be drawn.

    Attributes:
        size: side of the scene in metres.
        base: material of uncovered ground, by date.
        patches: ground, in painting order, below the roads.
        decks: ground above the roads: driveways, car parks, pools, walks.
    """

    size: float
    base: tuple[str, str] = ("meadow", "meadow")
    patches: list[Patch] = field(default_factory=list)
    roads: list[Road] = field(default_factory=list)
    decks: list[Patch] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    trees: list[Trees] = field(default_factory=list)
    parking: list[tuple[float, float, float, Dates]] = field(default_factory=list)
    layout: str = ""

    def cover(
        self, material: str, dates: Dates, *polygons: Points, tone: float = 1.0, tint: float = 0.0
    ) -> None:
        """Add a patch of ground."""
        self.patches.append(Patch(material, dates, polygons, tone=tone, tint=tint))

    def deck(self, material: str, dates: Dates, *polygons: Points, tone: float = 1.0) -> None:
        """Add a patch of ground above the roads."""
        self.decks.append(Patch(material, dates, polygons, tone=tone))


class Canvas:
    """The pixel grid for drawing a scene, with a margin around it.

    Args:
        size: pixels of the scene proper.
        margin: pixels around it, whose objects cast shadows and lean inwards.
        gsd: pixel size in metres.
    """

    def __init__(self, size: int, margin: int, gsd: float) -> None:
        self.scene = size
        self.margin = margin
        self.gsd = gsd
        self.size = size + 2 * margin

    def to_pixels(self, points: Points) -> Points:
        """Convert metres to pixel coordinates, of the same shape."""
        return np.asarray(points, np.float64) / self.gsd + self.margin

    def coordinates(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return x (1, size) and y (size, 1) of the pixel centres in metres."""
        axis = ((np.arange(self.size) + 0.5 - self.margin) * self.gsd).astype(np.float32)
        return axis[None, :], axis[:, None]

    def polygons(self, shapes: list[Points]) -> Coverage:
        """Return the share of each pixel covered by closed shapes in metres."""
        pixels = [self.to_pixels(shape) for shape in shapes]
        bounds = np.array([[p.min(0), p.max(0)] for p in pixels])
        return self._draw(pixels, bounds)

    def lines(self, lines: list[Points], width: float, bulb: float = 0.0) -> Coverage:
        """Return the share of each pixel covered by lines ``width`` metres wide.

        A line becomes a quadrilateral per segment and a disc per joint, because PIL's lines have
        whole pixels of width and notched joints. ``bulb`` is the radius of a disc at the end of
        each line.
        """
        wanted = width / self.gsd
        # Lines thinner than half a pixel are drawn wider, but paler.
        half = max(wanted, 0.5) / 2.0
        quads, discs = [np.zeros((0, 4, 2))], [np.zeros((0, 3))]
        for line in lines:
            pixels = self.to_pixels(line)
            near = np.abs(pixels - self.size / 2).max(1) < self.size / 2 + half + 12 / self.gsd
            step = np.diff(pixels, axis=0)
            length = np.maximum(np.hypot(step[:, 0], step[:, 1]), 1e-9)
            normal = np.stack([-step[:, 1], step[:, 0]], 1) / length[:, None] * half
            quad = np.stack(
                [
                    pixels[:-1] + normal,
                    pixels[1:] + normal,
                    pixels[1:] - normal,
                    pixels[:-1] - normal,
                ],
                1,
            )
            # Long segments may cross the canvas although both ends are outside.
            quads.append(quad[near[1:] | near[:-1] | (length > 12 / self.gsd)])
            if half > 1.0:
                joints = pixels[1:-1][near[1:-1]]
                discs.append(np.column_stack([joints, np.full(len(joints), half)]))
            if bulb:
                discs.append(np.array([[*pixels[-1], bulb / self.gsd]]))
        shapes, circles = np.concatenate(quads), np.concatenate(discs)
        bounds = np.concatenate(
            [
                np.stack([shapes.min(1), shapes.max(1)], 1),
                np.stack([circles[:, :2] - circles[:, 2:], circles[:, :2] + circles[:, 2:]], 1),
            ]
        )
        share, here = self._draw(list(shapes), bounds, circles.tolist())
        return (share * np.float32(wanted / 0.5) if wanted < 0.5 else share), here

    def _draw(
        self, shapes: list[Points], bounds: Points, discs: Sequence[Sequence[float]] = ()
    ) -> Coverage:
        """Draw shapes and discs, in pixels, at twice the resolution inside ``bounds`` (n, 2, 2)."""
        if not len(bounds):
            return np.zeros((0, 0), np.float32), (slice(0, 0), slice(0, 0))
        low = np.clip(np.floor(bounds[:, 0].min(0)).astype(int) - 1, 0, self.size)
        high = np.clip(np.ceil(bounds[:, 1].max(0)).astype(int) + 1, 0, self.size)
        here = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
        width, height = (int(v) for v in high - low)
        if width <= 0 or height <= 0:
            return np.zeros((0, 0), np.float32), (slice(0, 0), slice(0, 0))
        image = Image.new("L", (2 * width, 2 * height), 0)
        draw = ImageDraw.Draw(image)
        for shape in shapes:
            draw.polygon(((shape - low) * 2.0 - 0.5).ravel().tolist(), fill=255)
        for disc in discs:
            x, y = (disc[0] - low[0]) * 2.0 - 0.5, (disc[1] - low[1]) * 2.0 - 0.5
            r = 2.0 * disc[2]
            if -r < x < 2 * width + r and -r < y < 2 * height + r:
                draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
        return np.asarray(image.reduce(2), np.float32) * np.float32(1.0 / 255.0), here


def rectangle(x: float, y: float, half_length: float, half_width: float, angle: float) -> Points:
    """Return the corners (4, 2) of a rotated rectangle."""
    c, s = np.cos(angle), np.sin(angle)
    u = np.array([-1, 1, 1, -1]) * half_length
    v = np.array([-1, -1, 1, 1]) * half_width
    return np.stack([x + u * c - v * s, y + u * s + v * c], 1)


def resample(points: Points, step: float) -> Points:
    """Return ``points`` (n, 2) as a line with a vertex about every ``step`` metres."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    count = max(2, int(np.ceil(lengths[-1] / step)) + 1)
    at = np.linspace(0.0, lengths[-1], count)
    return np.stack([np.interp(at, lengths, points[:, i]) for i in (0, 1)], 1)


def offset_line(points: Points, distance: float) -> Points:
    """Return a line (n, 2) offset by ``distance`` metres to the right of its direction."""
    tangent = np.gradient(points, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
    return points + distance * np.stack([-tangent[:, 1], tangent[:, 0]], 1)


def smooth_line(
    rng: np.random.Generator, start: Points, end: Points, bend: float, step: float = 4.0
) -> Points:
    """Return a winding line (n, 2) between two points that deviates by about ``bend`` metres."""
    length = float(np.hypot(*(end - start)))
    count = max(4, int(length / step) + 1)
    t = np.linspace(0.0, 1.0, count)
    sway = np.zeros(count)
    for k in (1, 2, 3):
        sway += rng.normal(0, bend / k**1.3) * np.sin(np.pi * k * t + rng.uniform(-0.4, 0.4))
    direction = (end - start) / max(length, 1e-9)
    normal = np.array([-direction[1], direction[0]])
    return start + t[:, None] * (end - start) + sway[:, None] * normal


def blob(rng: np.random.Generator, centre: Points, radius: float, rough: float = 0.25) -> Points:
    """Return a smooth closed outline (40, 2) about ``radius`` metres around a point (2,)."""
    x, y = centre
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    r = np.ones(40)
    for k in (1, 2, 3, 4):
        r += rng.normal(0, rough / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    r = radius * np.clip(r, 0.45, 1.8)
    stretch = rng.uniform(0.65, 1.0)
    turn = rng.uniform(0, np.pi)
    u, v = r * np.cos(angle), r * np.sin(angle) * stretch
    return np.stack(
        [x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], 1
    )
