# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws a world on one of its dates: colours in even light, relief and labels, then the sun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .materials import MATERIALS, Ground, Season
from .relief import Relief, draw_building, draw_trees, lit_share
from .world import (
    BUILDING,
    OTHER,
    ROAD,
    TREE,
    WATER,
    Canvas,
    Colour,
    Coverage,
    Patch,
    Points,
    Road,
    World,
    offset_line,
    rectangle,
)

Array = NDArray[np.float32]

CAR_COLOURS = (
    (0.85, 0.85, 0.85),
    (0.2, 0.2, 0.21),
    (0.5, 0.5, 0.52),
    (0.1, 0.1, 0.11),
    (0.45, 0.12, 0.11),
    (0.17, 0.22, 0.35),
    (0.65, 0.62, 0.56),
)
#: Materials of linear decks, with their width in metres.
LINE_DECKS = {
    "fence": ("litter", 0.22),
    "walk": ("slab", 1.4),
    "drive": ("gravel", 3.2),
    "paint": ("paint", 0.14),
    "track": ("track", 0.9),
}


@dataclass(frozen=True)
class Light:
    """The sun and the view of one date.

    Attributes:
        sun: direction to the sun (right, down, up).
        ambient: share of the light that comes from the sky.
        lean: displacement of roofs in pixels (right, down), from an off-nadir view.
    """

    sun: tuple[float, float, float]
    ambient: float
    lean: tuple[int, int]


class Painter:
    """Draws one date of a world."""

    def __init__(
        self, world: World, date: int, canvas: Canvas, ground: Ground, rng: np.random.Generator
    ) -> None:
        self._world = world
        self._date = date
        self._canvas = canvas
        self._ground = ground
        self._rng = rng
        whole = (slice(0, canvas.size), slice(0, canvas.size))
        base = world.base[date]
        self.colour = ground.colour(base, whole)
        self.label = np.full((canvas.size, canvas.size), MATERIALS[base].label, np.uint8)
        #: Metres above ground of fences and cars, for their shadows.
        self.low = np.zeros((canvas.size, canvas.size), np.float32)

    def grain(self) -> Array:
        """Return pixel noise shared by both dates, (size, size), standard deviation 1."""
        return self._ground.edge

    def leaves(self) -> Array:
        """Return pixel noise of this date, (size, size), standard deviation 1."""
        return self._ground.grain

    def paint(self) -> None:
        """Draw the ground with roads, decks and cars."""
        for patch in self._merged(self._world.patches):
            self._patch(patch)
        self._roads([r for r in self._world.roads if r.dates[self._date]])
        for patch in self._merged(self._world.decks):
            self._deck(patch)
        self._cars()

    def _merged(self, patches: Sequence[Patch]) -> list[Patch]:
        """Return the patches of this date; adjacent ones of equal appearance are merged."""
        merged: list[Patch] = []
        groups: dict[tuple[object, ...], int] = {}
        for patch in patches:
            if not patch.dates[self._date]:
                continue
            tone = round(patch.tone * 20) / 20
            key = (patch.material, tone, round(patch.angle, 3), patch.tint)
            # Only small, non-overlapping objects may be merged out of order.
            if patch.material in ("lawn", "concrete", "slab", *LINE_DECKS) and key in groups:
                at = groups[key]
                both = merged[at].polygons + patch.polygons
                merged[at] = replace(patch, polygons=both, coverage=None, tone=tone)
                continue
            groups[key] = len(merged)
            merged.append(patch)
        return merged

    def _blend(
        self,
        coverage: Coverage,
        name: str,
        tone: float = 1.0,
        tint: float = 0.0,
        label: Optional[int] = None,
        rows: Optional[Array] = None,
    ) -> None:
        share, here = coverage
        if not share.size:
            return
        colour = self._ground.colour(name, here, tone, tint)
        if rows is not None:
            colour *= rows
        under = self.colour[:, here[0], here[1]]
        colour -= under
        colour *= share
        under += colour
        code = MATERIALS[name].label if label is None else label
        np.copyto(self.label[here], np.uint8(code), where=share > 0.5)

    def _patch(self, patch: Patch) -> None:
        if patch.material in LINE_DECKS:
            self._deck(patch)
            return
        share, here = self._canvas.polygons(list(patch.polygons))
        soft = MATERIALS[patch.material].soft / self._canvas.gsd
        if soft > 0.4 and share.size:
            # A ragged edge: the blurred outline, displaced by noise.
            share = ndimage.uniform_filter(share, max(2, int(2 * soft)), mode="nearest")
            share = share + 0.09 * self._ground.edge[here] + 0.09 * self._ground.blend[here]
            share = np.clip((share - 0.36) * 3.6, 0, 1)
        rows = None
        if patch.material in ("crop", "plough", "lawn") and share.size:
            rows = self._rows(patch, here)
        self._blend((share, here), patch.material, patch.tone, patch.tint, rows=rows)

    def _rows(self, patch: Patch, here: tuple[slice, slice]) -> Array:
        """Return a brightness factor: crop rows, furrows, mowing stripes."""
        x, y = self._canvas.coordinates()
        period = {"crop": 3.2, "plough": 2.4, "lawn": 3.0}[patch.material]
        period = max(period, 3.2 * self._canvas.gsd)
        strength = {"crop": 0.05, "plough": 0.05, "lawn": 0.02}[patch.material]
        across = x[:, here[1]] * np.float32(np.cos(patch.angle)) + y[here[0]] * np.float32(
            np.sin(patch.angle)
        )
        wide = np.sin(across * np.float32(2 * np.pi / (period * 7.3)))
        fine = np.sin(across * np.float32(2 * np.pi / period) + self._ground.edge[here])
        return 1.0 + np.float32(strength) * (fine + 0.7 * wide)

    def _roads(self, roads: list[Road]) -> None:
        groups: dict[tuple[object, ...], list[Road]] = {}
        for road in roads:
            groups.setdefault(
                (road.surface, road.width, road.kerb, road.tone, road.bulb, road.marking), []
            ).append(road)
        for same in groups.values():
            first, lines = same[0], [r.points for r in same]
            if first.verge:
                self._blend(self._canvas.lines(lines, first.width + 2 * first.verge), "verge")
            if first.kerb:
                edge = first.bulb and first.bulb + 0.45
                self._blend(
                    self._rounded(self._canvas.lines(lines, first.width + 0.9, edge)), "kerb"
                )
        for same in groups.values():
            first, lines = same[0], [r.points for r in same]
            coverage = self._canvas.lines(lines, first.width, first.bulb)
            self._blend(self._rounded(coverage), first.surface, first.tone)
        for same in groups.values():
            self._wear(same)

    def _rounded(self, coverage: Coverage) -> Coverage:
        """Round the corners of junctions, filling pixels that are mostly road after a blur."""
        share, here = coverage
        reach = int(7.0 / self._canvas.gsd)
        if reach < 4 or min(share.shape) < reach:
            return coverage
        near = ndimage.uniform_filter(share, reach, mode="nearest")
        near -= np.float32(0.57)
        near *= np.float32(9.0)
        return np.maximum(share, np.clip(near, 0, 1, out=near), out=near), here

    def _wear(self, roads: list[Road]) -> None:
        """Draw wheel tracks and centre lines on roads of one kind."""
        first = roads[0]
        stop = -max(1, int(first.bulb / 4) + 1) if first.bulb else None
        lines = [road.points[:stop] for road in roads if len(road.points[:stop]) > 2]
        if not lines:
            return
        if first.surface in ("asphalt", "dirt") and first.width > 3:
            tracks = [
                offset_line(line, side * first.width * 0.22) for line in lines for side in (-1, 1)
            ]
            share, here = self._canvas.lines(tracks, first.width * 0.14)
            worn = np.float32(0.06 if first.surface == "asphalt" else -0.07)
            self.colour[:, here[0], here[1]] *= 1.0 + worn * share
        if first.marking == "dashed":
            self._paint_lines(
                [line[i : i + 2] for line in lines for i in range(0, len(line) - 1, 3)], 0.15
            )
        elif first.marking == "double":
            self._paint_lines(
                [offset_line(line, a) for line in lines for a in (-0.3, 0.3)], 0.12, True
            )
            edge = first.width / 2 - 0.5
            self._paint_lines([offset_line(line, a) for line in lines for a in (-edge, edge)], 0.12)

    def _paint_lines(self, lines: list[Points], width: float, yellow: bool = False) -> None:
        self._tint(
            self._canvas.lines(lines, width), (0.78, 0.66, 0.34) if yellow else (0.86, 0.86, 0.84)
        )

    def _tint(self, coverage: Coverage, colour: Colour) -> None:
        """Cover with one uniform colour."""
        share, here = coverage
        under = self.colour[:, here[0], here[1]]
        under += (np.array(colour, np.float32)[:, None, None] - under) * share

    def _deck(self, patch: Patch) -> None:
        if patch.material in LINE_DECKS:
            material, width = LINE_DECKS[patch.material]
            lines = list(patch.polygons)
            if material == "paint":
                self._paint_lines(lines, width)
                return
            share, here = self._canvas.lines(lines, width)
            if material == "track":  # wheel tracks, which keep the label of the ground
                self.colour[:, here[0], here[1]] *= 1.0 + np.float32(patch.tone - 1.0) * share
                return
            if patch.material == "fence":
                self._tint((share * np.float32(0.8), here), (0.44, 0.39, 0.33))
                np.maximum(self.low[here], 1.4 * (share > 0.4), out=self.low[here])
                return
            self._blend((share, here), material, patch.tone, label=OTHER)
            return
        self._blend(
            self._canvas.polygons(list(patch.polygons)), patch.material, patch.tone, label=OTHER
        )

    def _cars(self) -> None:
        rng = self._rng
        full = rng.uniform(0.1, 0.8)
        spots = [
            (x, y, a)
            for x, y, a, dates in self._world.parking
            if dates[self._date] and rng.random() < full
        ]
        for road in self._world.roads:
            if not road.dates[self._date] or road.surface in ("dirt", "gravel"):
                continue
            for _ in range(int(rng.poisson(len(road.points) * 4.0 / 90))):
                i = int(rng.integers(0, len(road.points) - 1))
                step = road.points[i + 1] - road.points[i]
                angle = float(np.arctan2(step[1], step[0]))
                side = rng.choice([-1, 1]) * road.width * 0.27
                x, y = road.points[i] + side * np.array([-np.sin(angle), np.cos(angle)])
                spots.append((x, y, angle))
        parked: list[tuple[float, float]] = []
        for x, y, angle in spots:
            if any(abs(x - u) + abs(y - v) < 6.5 for u, v in parked):
                continue
            parked.append((x, y))
            body = rectangle(x, y, rng.uniform(2.1, 2.6), 0.95, angle + rng.normal(0, 0.03))
            share, here = self._canvas.polygons([body])
            self._tint((share, here), CAR_COLOURS[int(rng.integers(len(CAR_COLOURS)))])
            np.maximum(self.low[here], 1.5 * (share > 0.5), out=self.low[here])


def raise_relief(
    relief: Relief, canvas: Canvas, world: World, dates: tuple[bool, bool], first_number: int
) -> None:
    """Add the buildings and trees of exactly ``dates`` to ``relief``."""
    for i, building in enumerate(world.buildings):
        if building.dates == dates:
            draw_building(relief, canvas, building, first_number + i)
    for trees in world.trees:
        if trees.dates == dates:
            draw_trees(relief, canvas, trees.rows)


def label_relief(label: NDArray[np.uint8], relief: Relief) -> None:
    """Write buildings and trees into ``label`` (size, size), in place.

    The gaps of a closed canopy count as trees. Buildings, roads and water keep their label under a
    crown, since otherwise cutting a tree beside a road would "build" part of the road.
    """
    crown = relief.crown > 0.8
    dense = ndimage.uniform_filter(crown.astype(np.float32), 5)
    roof = relief.roof > 0.5
    label[(crown | (dense > 0.62)) & (label != ROAD) & (label != WATER)] = TREE
    label[roof] = BUILDING


def lit(painter: Painter, relief: Relief, season: Season, light: Light, canvas: Canvas) -> Array:
    """Return the sunlit scene, (3, size, size), about 0 to 1."""
    colour = painter.colour
    right, down, up = light.sun
    roof, height, normal, roof_colour = _leaned(relief, light.lean)
    if light.lean != (0, 0):  # walls uncovered by the displaced roof
        wall = relief.roof * (1.0 - roof)
        colour += (np.float32(0.55) * relief.colour + np.float32(0.22) - colour) * wall
    grain = 1.0 + np.float32(0.028) * painter.grain()
    colour += (roof_colour * grain - colour) * roof
    top = np.maximum(np.maximum(height, relief.crown), painter.low)
    slope = normal[0] * np.float32(right) + normal[1] * np.float32(down)
    steep = np.sqrt(np.clip(1.0 - normal[0] ** 2 - normal[1] ** 2, 0.05, 1))
    shade = (slope + steep * np.float32(up)) / np.float32(up)
    crown = relief.crown > height
    _crowns(colour, shade, relief, season, light, canvas, crown, painter)
    reach = lit_share(top, canvas.gsd, light.sun)
    reach = ndimage.uniform_filter(reach, 2)
    around = ndimage.uniform_filter(top, max(3, int(9.0 / canvas.gsd)))
    sky = 1.0 - 0.45 * np.clip((around - top) / 7.0, 0, 1)
    direct = np.clip(shade, 0, 1.9) * reach * np.float32(1 - light.ambient)
    blue = np.array([0.93, 0.99, 1.14], np.float32) * np.float32(light.ambient)
    warm = np.array([1.02, 1.0, 0.95], np.float32)
    for channel in range(3):
        colour[channel] *= direct * warm[channel] + sky * blue[channel]
    return colour


def _leaned(relief: Relief, lean: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    if lean == (0, 0):
        return relief.roof, relief.height, relief.normal, relief.colour
    shift = (lean[1], lean[0])
    return (
        np.roll(relief.roof, shift, (0, 1)),
        np.roll(relief.height, shift, (0, 1)),
        np.roll(relief.normal, shift, (1, 2)),
        np.roll(relief.colour, shift, (1, 2)),
    )


def _crowns(
    colour: Array,
    shade: Array,
    relief: Relief,
    season: Season,
    light: Light,
    canvas: Canvas,
    crown: NDArray[np.bool_],
    painter: Painter,
) -> None:
    """Colour the tree crowns and shade their lit and dark sides, in place."""
    right, down, up = light.sun
    dy, dx = np.gradient(relief.crown)
    scale = np.float32(0.55 / canvas.gsd)
    nx, ny = -dx * scale, -dy * scale
    length = np.sqrt(nx * nx + ny * ny + 1.0)
    lambert = (nx * np.float32(right) + ny * np.float32(down) + np.float32(up)) / (
        length * np.float32(up)
    )
    np.copyto(shade, np.clip(lambert, 0.05, 1.7), where=crown)
    bare = relief.species * np.float32(1.0 - season.leaves)
    leaf = np.array(season.tree, np.float32)
    twig = np.array([0.43, 0.40, 0.36], np.float32)
    brightness = np.float32(0.78) + 0.44 * relief.tint + 0.17 * painter.leaves()
    # Leaves and scrub under and near trees.
    below = ndimage.uniform_filter(np.minimum(relief.crown, 1.0), max(3, int(8.0 / canvas.gsd)))
    for channel, darker in enumerate((0.26, 0.30, 0.32)):
        colour[channel] *= 1.0 - np.float32(darker) * below * (1.0 - relief.roof)
    yellow = relief.tint - np.float32(0.5)
    solid = (
        np.clip(relief.crown * np.float32(1 / 1.2), 0, 1) * (1.0 - np.float32(0.45) * bare) * crown
    )
    for channel, warm in enumerate((0.05, 0.01, -0.01)):
        tree = leaf[channel] + np.float32(warm) * yellow + (twig - leaf)[channel] * bare
        tree *= brightness
        tree -= colour[channel]
        tree *= solid
        colour[channel] += tree
