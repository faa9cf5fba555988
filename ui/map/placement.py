# SPDX-License-Identifier: GPL-3.0-or-later
"""Greedy placement of captions on the screen without overlaps, in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DIRECTIONS = 16
#: Places tried per side for a caption inside its region.
_STEPS = 7
#: Distances between the outline of a region and its caption.
_GAPS = (14.0, 34.0, 60.0, 95.0, 140.0, 190.0)
_MARGIN = 5.0
#: Costs of a candidate, as extra pixels of distance.
_COVERS_REGION = 60.0
_CROSSES_LEADER = 400.0


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, y downwards."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box, margin: float = 0.0) -> bool:
        """Whether two boxes are closer than the margin."""
        return (
            self.x < other.x + other.width + margin
            and other.x < self.x + self.width + margin
            and self.y < other.y + other.height + margin
            and other.y < self.y + self.height + margin
        )

    def inside(self, other: Box) -> bool:
        """Whether this box lies inside another."""
        return (
            self.x >= other.x
            and self.y >= other.y
            and self.x + self.width <= other.x + other.width
            and self.y + self.height <= other.y + other.height
        )

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Return the nearest point of the box to a point."""
        return (
            min(max(x, self.x), self.x + self.width),
            min(max(y, self.y), self.y + self.height),
        )


@dataclass(frozen=True)
class Item:
    """A caption to place: an anchor in its region, the region's box and the size of the text.

    ``inside`` places it inside its region, without a leader.
    """

    anchor: tuple[float, float]
    region: Box
    width: float
    height: float
    inside: bool = False


def place(items: Sequence[Item], view: Box, regions: Sequence[Box] = ()) -> list[Optional[Box]]:
    """Place captions around their regions, in order of importance; None where there is no place.

    Captions stay inside ``view`` and cover the boxes of ``regions`` only if nothing else is left.
    """
    placed: list[Optional[Box]] = []
    leaders: list[tuple[float, float, float, float]] = []
    for item in items:
        taken = [box for box in placed if box is not None]
        best: Optional[Box] = None
        best_cost = math.inf
        for distance, box in _within(item) if item.inside else _candidates(item):
            if distance >= best_cost or not box.inside(view):
                continue
            if any(box.overlaps(other, _MARGIN) for other in taken):
                continue
            leader = (*item.anchor, *box.nearest(*item.anchor))
            if item.inside:
                leader = (box.x, box.y, box.x, box.y)
            if any(_passes(line, box) for line in leaders) or any(
                _passes(leader, other) for other in taken
            ):
                continue
            cost = distance + _COVERS_REGION * sum(box.overlaps(other) for other in regions)
            cost += _CROSSES_LEADER * sum(_cross(leader, other) for other in leaders)
            if cost < best_cost:
                best, best_cost = box, cost
        placed.append(best)
        if best is not None and not item.inside:
            leaders.append((*item.anchor, *best.nearest(*item.anchor)))
    return placed


def _candidates(item: Item) -> Iterable[tuple[float, Box]]:
    """Yield (cost, box) around a region; the cost grows with the distance."""
    centre_x = item.region.x + item.region.width / 2
    centre_y = item.region.y + item.region.height / 2
    for gap in _GAPS:
        reach_x = item.region.width / 2 + gap + item.width / 2
        reach_y = item.region.height / 2 + gap + item.height / 2
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * step / _DIRECTIONS - math.pi / 4
            x = centre_x + reach_x * _square(math.cos(angle))
            y = centre_y + reach_y * _square(math.sin(angle))
            box = Box(x - item.width / 2, y - item.height / 2, item.width, item.height)
            end = box.nearest(*item.anchor)
            cost = math.hypot(end[0] - item.anchor[0], end[1] - item.anchor[1]) + 0.01 * step
            yield cost, box


def _within(item: Item) -> Iterable[tuple[float, Box]]:
    """Yield (cost, box) inside a region, from its upper left to its lower right corner."""
    room_x = item.region.width - item.width - 2 * _MARGIN
    room_y = item.region.height - item.height - 2 * _MARGIN
    if room_x < 0 or room_y < 0:
        return
    for row in range(_STEPS):
        for column in range(_STEPS):
            x = item.region.x + _MARGIN + room_x * column / (_STEPS - 1)
            y = item.region.y + _MARGIN + room_y * row / (_STEPS - 1)
            yield 1.0 + row + 0.1 * column, Box(x, y, item.width, item.height)


def _square(value: float) -> float:
    """Move a coordinate of the unit circle outwards to the square, so that corners are used."""
    return max(-1.0, min(1.0, value * math.sqrt(2)))


def _cross(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> bool:
    """Whether two segments cross."""

    def side(line: tuple[float, float, float, float], x: float, y: float) -> float:
        return (line[2] - line[0]) * (y - line[1]) - (line[3] - line[1]) * (x - line[0])

    return (
        side(first, second[0], second[1]) * side(first, second[2], second[3]) < 0
        and side(second, first[0], first[1]) * side(second, first[2], first[3]) < 0
    )


def _passes(line: tuple[float, float, float, float], box: Box) -> bool:
    """Whether a segment runs through a box (clipping after Liang and Barsky)."""
    x0, y0, x1, y1 = line
    start, end = 0.0, 1.0
    for delta, low, high in (
        (x1 - x0, box.x - x0, box.x + box.width - x0),
        (y1 - y0, box.y - y0, box.y + box.height - y0),
    ):
        if delta == 0:
            if low >= 0 or high <= 0:
                return False
            continue
        near, far = sorted((low / delta, high / delta))
        start, end = max(start, near), min(end, far)
    return end - start > 1e-9
