# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed in a generated pair, read off its labels, and sentences that say it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..classes import CLASSES

OTHER_NAME = "other"


@dataclass(frozen=True)
class ChangedObject:
    """A connected change of one class.

    Attributes:
        object: class that appeared or disappeared.
        direction: ``"appeared"`` or ``"removed"``.
        from_class: class most common there on the first date.
        to_class: on the second.
        pixels: area in pixels.
        area_m2: area.
        count: number of buildings in it; 0 for other classes.
        box: x0, y0, x1, y1 in pixels.
        centre: x, y in pixels.
    """

    object: str
    direction: str
    from_class: str
    to_class: str
    pixels: int
    area_m2: float
    count: int
    box: tuple[int, int, int, int]
    centre: tuple[float, float]


def class_name(code: int) -> str:
    """Return the name of a label code."""
    return CLASSES[code - 1].name if code else OTHER_NAME


def changed_objects(before: NDArray[np.uint8], after: NDArray[np.uint8],
                    buildings_before: NDArray[np.int32], buildings_after: NDArray[np.int32],
                    pixel_size: float, min_area: float = 8.0) -> tuple[ChangedObject, ...]:
    """Return the connected changes of every class and direction, largest first.

    Args:
        before: labels of the first date, (h, w).
        after: of the second.
        buildings_before: numbers of the buildings, (h, w).
        buildings_after: the same for the second date.
        pixel_size: metres.
        min_area: smaller changes, in m2, are left out.
    """
    found: list[ChangedObject] = []
    for code, land_cover in enumerate(CLASSES, 1):
        for direction in ("appeared", "removed"):
            here, there = (after, before) if direction == "appeared" else (before, after)
            numbers = buildings_after if direction == "appeared" else buildings_before
            parts, count = ndimage.label((here == code) & (there != code), np.ones((3, 3), int))
            for i, box in enumerate(ndimage.find_objects(parts, count), 1):
                inside = parts[box] == i
                pixels = int(inside.sum())
                area = pixels * pixel_size**2
                if area < min_area:
                    continue
                other = class_name(int(np.bincount(there[box][inside], minlength=7).argmax()))
                rows, columns = np.nonzero(inside)
                found.append(ChangedObject(
                    land_cover.name, direction,
                    other if direction == "appeared" else land_cover.name,
                    land_cover.name if direction == "appeared" else other, pixels, area,
                    _whole_buildings(numbers[box][inside], pixel_size) if code == 1 else 0,
                    (box[1].start, box[0].start, box[1].stop, box[0].stop),
                    (float(columns.mean() + box[1].start), float(rows.mean() + box[0].start))))
    return tuple(sorted(found, key=lambda f: -f.pixels))


def _whole_buildings(numbers: NDArray[np.int32], pixel_size: float) -> int:
    """Return how many buildings show at least 20 m2."""
    values, counts = np.unique(numbers[numbers > 0], return_counts=True)
    return int((counts * pixel_size**2 >= 20.0).sum()) if len(values) else 0
