# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a generated pair, derived from its labels, and sentences about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..classes import CLASSES
from ..request import APPEARED, REMOVED

OTHER_NAME = "other"
#: Minimum area of a change, in m2.
MIN_AREA = 8.0
#: Minimum visible area of a building, in m2.
MIN_BUILDING = 20.0


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


@dataclass(frozen=True)
class Dating:
    """Labels and building numbers of one date, both (h, w)."""

    labels: NDArray[np.uint8]
    buildings: NDArray[np.int32]


def class_name(code: int) -> str:
    """Return the name of a label code."""
    return CLASSES[code - 1].name if code else OTHER_NAME


def changed_objects(
    before: Dating, after: Dating, pixel_size: float
) -> tuple[tuple[ChangedObject, ...], dict[str, NDArray[np.int32]]]:
    """Return the connected changes of every class and direction, largest first.

    Returns:
        The changes, and for each direction a raster (h, w) of their numbers, from 1 in order of
        the changes; 0 elsewhere.
    """
    found: list[tuple[ChangedObject, tuple[slice, slice], NDArray[np.bool_]]] = []
    for code in range(1, len(CLASSES) + 1):
        for direction in (APPEARED, REMOVED):
            there, here = (before, after) if direction == APPEARED else (after, before)
            parts, count = ndimage.label(
                (here.labels == code) & (there.labels != code), np.ones((3, 3), int)
            )
            for i, box in enumerate(ndimage.find_objects(parts, count), 1):
                inside = parts[box] == i
                if inside.sum() * pixel_size**2 >= MIN_AREA:
                    fact = _described(code, direction, here, there, box, inside, pixel_size)
                    found.append((fact, box, inside))
    found.sort(key=lambda f: -f[0].pixels)
    rasters = {d: np.zeros(before.labels.shape, np.int32) for d in (APPEARED, REMOVED)}
    for number, (fact, box, inside) in enumerate(found, 1):
        rasters[fact.direction][box][inside] = number
    return tuple(f[0] for f in found), rasters


def _described(
    code: int,
    direction: str,
    here: Dating,
    there: Dating,
    box: tuple[slice, slice],
    inside: NDArray[np.bool_],
    pixel_size: float,
) -> ChangedObject:
    name = class_name(code)
    other = class_name(int(np.bincount(there.labels[box][inside], minlength=7).argmax()))
    pixels = int(inside.sum())
    rows, columns = np.nonzero(inside)
    numbers = here.buildings[box][inside] if code == 1 else np.zeros(0, np.int32)
    appeared = direction == APPEARED
    centre = columns.mean() + box[1].start + 0.5, rows.mean() + box[0].start + 0.5
    return ChangedObject(
        object=name,
        direction=direction,
        from_class=other if appeared else name,
        to_class=name if appeared else other,
        pixels=pixels,
        area_m2=pixels * pixel_size**2,
        count=_count(numbers, pixel_size),
        box=(box[1].start, box[0].start, box[1].stop, box[0].stop),
        centre=(float(centre[0]), float(centre[1])),
    )


def _count(numbers: NDArray[np.int32], pixel_size: float) -> int:
    _, counts = np.unique(numbers[numbers > 0], return_counts=True)
    return int((counts * pixel_size**2 >= MIN_BUILDING).sum())


def changed_buildings(before: Dating, after: Dating, pixel_size: float) -> dict[str, int]:
    """Return the numbers of buildings of at least 20 m2 that appeared and were removed."""
    changed = (before.labels == 1) != (after.labels == 1)
    return {
        direction: _count(date.buildings[changed & (date.labels == 1)], pixel_size)
        for direction, date in ((APPEARED, after), (REMOVED, before))
    }


_NO_CHANGE = (
    "no change has occurred",
    "the scene is the same as before",
    "there is no difference",
    "the two scenes seem identical",
    "almost nothing has changed",
)
_VERBS = {
    ("building", APPEARED): ("were built", "have been constructed", "appeared"),
    ("building", REMOVED): ("were demolished", "have been torn down", "disappeared"),
    ("road", APPEARED): ("were built", "have been laid out", "appeared"),
    ("road", REMOVED): ("were removed", "have disappeared"),
    ("tree", APPEARED): ("were planted", "have grown", "appeared"),
    ("tree", REMOVED): ("were cleared", "have been cut down", "were removed"),
    ("water", APPEARED): ("appeared",),
    ("water", REMOVED): ("disappeared",),
    ("bare ground", APPEARED): ("appeared",),
    ("bare ground", REMOVED): ("was covered", "disappeared"),
}
#: Minimum share of the scene for an object in a sentence.
MIN_SHARE = 0.004


def captions(
    facts: Sequence[ChangedObject],
    buildings: dict[str, int],
    shape: tuple[int, int],
    seed: int,
    count: int = 5,
) -> tuple[str, ...]:
    """Return ``count`` sentences about a scene, each supported by its labels."""
    rng = np.random.default_rng([seed, 77])
    totals: dict[tuple[str, str], list[ChangedObject]] = {}
    for fact in facts:
        if fact.object != "grass":
            totals.setdefault((fact.object, fact.direction), []).append(fact)
    weights = {key: sum(f.pixels for f in group) for key, group in totals.items()}
    least = MIN_SHARE * shape[0] * shape[1]
    reported = [
        key
        for key, pixels in sorted(weights.items(), key=lambda item: -item[1])
        if (pixels >= least if key[0] != "building" else buildings[key[1]])
    ]
    if not reported:
        quiet = not facts
        words = _NO_CHANGE[:4] if quiet else _NO_CHANGE[4:]
        return tuple(str(rng.choice(words)) for _ in range(count))
    sentences = []
    for i in range(count):
        chosen = reported[:1] if i % 2 else reported[:2]
        parts = [_clause(rng, key, totals[key], buildings, shape) for key in chosen]
        sentences.append(" and ".join(parts))
    return tuple(sentences)


def _clause(
    rng: np.random.Generator,
    key: tuple[str, str],
    group: list[ChangedObject],
    buildings: dict[str, int],
    shape: tuple[int, int],
) -> str:
    name, direction = key
    plural = next(c.plural for c in CLASSES if c.name == name)
    verb = str(rng.choice(_VERBS[key]))
    if name == "building":
        n = buildings[direction]
        subject = (
            f"{n} {plural if n > 1 else name}"
            if rng.random() < 0.6
            else (f"some {rng.choice(['houses', 'buildings'])!s}" if n > 1 else "a building")
        )
        if n == 1:
            verb = verb.replace("were", "was").replace("have", "has")
    else:
        subject = plural
    text = f"{subject} {verb}"
    pixels = sum(f.pixels for f in group)
    other = _majority(group, "from_class" if direction == APPEARED else "to_class")
    if rng.random() < 0.5 and other != OTHER_NAME:
        text += _replacing(other, direction)
    if rng.random() < 0.6:
        x = sum(f.centre[0] * f.pixels for f in group) / pixels / shape[1]
        y = sum(f.centre[1] * f.pixels for f in group) / pixels / shape[0]
        text += f" in the {compass(x, y)}"
    return text


def _replacing(other: str, direction: str) -> str:
    land_cover = next(c for c in CLASSES if c.name == other)
    if direction == REMOVED:
        return f" and gave way to {land_cover.plural}"
    if land_cover.kind == "stuff" and other != "tree":
        return f" on {other}" if other != "water" else " where there was water"
    return f" where there were {land_cover.plural}"


def _majority(group: list[ChangedObject], attribute: str) -> str:
    areas: dict[str, int] = {}
    for fact in group:
        name = getattr(fact, attribute)
        areas[name] = areas.get(name, 0) + fact.pixels
    return max(areas, key=lambda name: areas[name])


def compass(x: float, y: float) -> str:
    """Return the part of a scene, "centre" or a compass point, for x and y from 0 to 1."""
    ns = "north" if y < 0.36 else "south" if y > 0.64 else ""
    ew = "west" if x < 0.36 else "east" if x > 0.64 else ""
    return "-".join(filter(None, (ns, ew))) or "centre"
