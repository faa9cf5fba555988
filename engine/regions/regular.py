# SPDX-License-Identifier: GPL-3.0-or-later
"""Regular outlines of buildings: sides at right angles, along the building's main direction.

The direction is that of the sides of a simplified outline, modulo 90 degrees, or of its smallest
bounding box, whichever fits better. Each side is laid along or across it, at its mean place; sides
shorter than a step of a wall are taken up by their neighbours. An outline that would change too
much (a round tank) stays as it is.
"""

from __future__ import annotations

import math
from typing import Optional

import numpy as np
from osgeo import ogr

from ..raster.support import gdal_call
from .outline import Polygon, enclosed, simplify, to_wkb

#: Tolerance of the outline whose sides vote, in pixels.
_TOLERANCE = 1.0
#: Shorter sides are taken up by their neighbours, in metres; in pixels at least.
_SHORTEST_M, _SHORTEST_PX = 2.0, 2.0
#: Isoperimetric quotient of round outlines; a square has 0.79, a circle 1.
_ROUND = 0.92
#: In larger pixels, in metres, right angles are not seen.
COARSEST_M = 1.0
#: Overlap with the old outline, as intersection over union, below which it stays.
_OVERLAP = 0.84

#: A side: whether it runs along the direction, its place across it, and its weight.
_Side = tuple[bool, float, float]


def regular(outline: list[Polygon], sides: tuple[float, float]) -> Optional[list[Polygon]]:
    """Return an outline with right angles.

    Args:
        outline: traced polygons, in pixels.
        sides: of a pixel on the ground, in metres.

    Returns:
        The polygons in pixels, one for each; None where the outline would change too much.
    """
    scale = np.array(sides, dtype=float)
    reduced = simplify(outline, _TOLERANCE)
    simple = [[ring * scale for ring in polygon] for polygon in reduced]
    shortest = max(_SHORTEST_M, _SHORTEST_PX * float(np.sqrt(scale.prod())))
    old = _geometry(simple)
    # Simplification cuts corners off.
    growth = enclosed(outline) / enclosed(reduced)
    if _is_round(simple):
        return None
    best, overlap = None, _OVERLAP
    for angle in _directions([polygon[0] for polygon in simple]):
        found = _turned_and_laid(simple, angle, shortest, growth)
        share = _overlap(found, old)
        if share > overlap:
            best, overlap = found, share
    return best and [[ring / scale for ring in polygon] for polygon in best]


def _is_round(polygons: list[Polygon]) -> bool:
    """Return whether the largest polygon is almost a circle (isoperimetric quotient)."""
    ring = max((polygon[0] for polygon in polygons), key=lambda ring: abs(_area(ring)))
    around = float(np.hypot(*(np.roll(ring, -1, axis=0) - ring).T).sum())
    return 4 * math.pi * abs(_area(ring)) > _ROUND * around**2


def _directions(rings: list[np.ndarray]) -> list[float]:
    """Return angles that a building may have: that of its sides, and that of its bounding box."""
    step = np.concatenate([np.roll(ring, -1, axis=0) - ring for ring in rings])
    # Four times the angle is the same for all four sides of a rectangle.
    votes = np.hypot(*step.T) * np.exp(4j * np.arctan2(step[:, 1], step[:, 0]))
    points = np.concatenate(rings)
    angles = np.arange(0, 90, 3) * np.pi / 180
    turned = [_rotated(points, -angle) for angle in angles]
    boxes = [float(np.ptp(points, axis=0).prod()) for points in turned]
    return [float(np.angle(votes.sum())) / 4, float(angles[int(np.argmin(boxes))])]


def _turned_and_laid(
    simple: list[Polygon], angle: float, shortest: float, growth: float
) -> list[Polygon]:
    """Return polygons in metres whose sides run along and across a direction."""
    found = []
    for exterior, *holes in simple:
        outer = _corners(_rotated(exterior, -angle), shortest, growth)
        if outer is None or (abs(_area(exterior)) < shortest**2 and len(simple) > 1):
            continue  # a speck that touches the rest at a corner
        courts = (hole for hole in holes if abs(_area(hole)) >= shortest**2)
        inner = (_corners(_rotated(hole, -angle), shortest, growth) for hole in courts)
        rings = [outer, *(corners for corners in inner if corners is not None)]
        found.append([_rotated(corners, angle) for corners in rings])
    return found


def _rotated(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _corners(ring: np.ndarray, shortest: float, growth: float) -> Optional[np.ndarray]:
    """Return the corners of a ring whose sides are laid along the axes; None if none is left."""
    step = np.roll(ring, -1, axis=0) - ring
    middle = ring + step / 2
    sides: list[_Side] = []
    for (dx, dy), (x, y) in zip(np.abs(step).tolist(), middle.tolist()):
        along = dx >= dy
        sides.append((along, y if along else x, max(dx, dy)))
    sides = _merged(sides)
    while len(sides) > 4:
        lengths = _lengths(sides)
        index = int(np.argmin(lengths))
        if lengths[index] >= shortest:
            break
        # Without this side its neighbours are one.
        sides = _merged([*sides[index + 1 :], *sides[:index]])
    if len(sides) < 4:
        return None
    points = _points(sides)
    step = np.roll(points, -1, axis=0) - points
    # Outwards or inwards until the area is that of the outline.
    shift = (
        (growth * abs(_area(ring)) - abs(_area(points)))
        / np.abs(step).sum()
        * np.sign(_area(points))
    )
    ahead = np.roll(step, 1, axis=0)  # the step of a side ends at its point
    moved = [
        (along, place + shift * (-np.sign(dx) if along else np.sign(dy)), weight)
        for (along, place, weight), (dx, dy) in zip(sides, ahead.tolist())
    ]
    return _points(moved)


def _points(sides: list[_Side]) -> np.ndarray:
    """Return where each side meets the next, (N, 2)."""
    following = [*sides[1:], sides[0]]
    return np.array(
        [
            (other[1], one[1]) if one[0] else (one[1], other[1])
            for one, other in zip(sides, following)
        ]
    )


def _area(ring: np.ndarray) -> float:
    """Return the signed area of a ring, positive where x turns towards y."""
    ahead = np.roll(ring, -1, axis=0)
    return float((ring[:, 0] * ahead[:, 1] - ahead[:, 0] * ring[:, 1]).sum()) / 2


def _merged(sides: list[_Side]) -> list[_Side]:
    """Join neighbours that run the same way, at their mean place by weight."""
    merged: list[_Side] = []
    for side in sides:
        if merged and merged[-1][0] == side[0]:
            merged[-1] = _joined(merged[-1], side)
        else:
            merged.append(side)
    if len(merged) > 1 and merged[0][0] == merged[-1][0]:
        merged[0] = _joined(merged.pop(), merged[0])
    return merged


def _joined(one: _Side, other: _Side) -> _Side:
    weight = one[2] + other[2]
    return one[0], (one[1] * one[2] + other[1] * other[2]) / weight, weight


def _lengths(sides: list[_Side]) -> list[float]:
    """Return the length of each side, between the places of its neighbours."""
    return [
        abs(sides[(index + 1) % len(sides)][1] - sides[index - 1][1]) for index in range(len(sides))
    ]


def _geometry(polygons: list[Polygon]) -> Optional[ogr.Geometry]:
    geometry = ogr.CreateGeometryFromWkb(to_wkb(polygons))
    return geometry if geometry is not None and gdal_call(geometry.IsValid)[0] else None


def _overlap(found: list[Polygon], old: Optional[ogr.Geometry]) -> float:
    """Return intersection over union; 0 for polygons that are not valid."""
    new = _geometry(found) if found else None
    if new is None or old is None:
        return 0.0
    shared, _ = gdal_call(new.Intersection, old)
    if shared is None:
        return 0.0
    both = shared.GetArea()
    return float(both / (new.GetArea() + old.GetArea() - both))
