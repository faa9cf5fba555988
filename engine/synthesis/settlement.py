# SPDX-License-Identifier: GPL-3.0-or-later
"""Settlements: residential streets with their lots, farmsteads, and halls with car parks."""

from __future__ import annotations

import itertools
from typing import Optional

import numpy as np

from .plan import Plan, in_polygon
from .plot import HALL_ROOFS, Lot, Style, add_road, build_house, lots_along
from .world import (
    BOTH,
    ONLY_AFTER,
    ONLY_BEFORE,
    Building,
    Dates,
    Points,
    Road,
    Wing,
    blob,
    rectangle,
    resample,
    smooth_line,
)


def streets(
    plan: Plan,
    new: Optional[Points],
    before: Optional[str] = None,
    single: float = 0.05,
    wild: Optional[Points] = None,
) -> None:
    """Lay out streets with houses.

    Args:
        plan: the plan of the scene.
        new: streets inside this polygon are built between the dates; None: all are old.
        before: ground of ``new`` on the first date: ``"soil"``, ``"field"``, ``"nature"`` or
            None to draw one.
        single: probability that a single old house is built or demolished.
        wild: polygon without streets.
    """
    rng = plan.rng
    style = Style.draw(rng)
    ground = str(
        rng.choice(
            ["dry_grass", "dry_grass", "meadow", "litter", "rock"], p=[0.34, 0.2, 0.2, 0.18, 0.08]
        )
    )
    plan.world.base = (ground, ground)
    surface = str(rng.choice(["concrete", "asphalt", "asphalt"]))
    width = rng.uniform(7.5, 10.0)
    # On a building site, streets often precede the houses.
    laid = before == "soil" and rng.random() < 0.65
    if new is not None:
        before = before or str(rng.choice(["nature", "nature", "nature", "field", "soil"]))
        _prepare(plan, new, before)
    lines = _outside(_street_lines(plan, style), wild)
    for line, bulb in lines:
        for part, dates in _split(line, new):
            end = bulb if len(part) and np.allclose(part[-1], line[-1]) else 0.0
            street = Road(part, width, surface, BOTH if laid else dates, kerb=True, bulb=end)
            add_road(plan.world, plan.occupancy, street)
    spots = []
    for line, bulb in lines:
        spots += lots_along(line, style, width + 1.0, rng)
        if bulb:
            spots += _around_bulb(line, bulb)
    _houses(plan, style, _lots(plan, spots, new, single, wild))
    _verges(plan, lines, width, new)


def _prepare(plan: Plan, new: Points, before: str) -> None:
    """Add the ground of the development area on both dates."""
    rng = plan.rng
    plan.development = new
    plan.development_wooded = before == "nature"
    if before == "soil":
        plan.ground("soil", new, ONLY_BEFORE)
        earthworks(plan, new, ONLY_BEFORE)
    elif before == "field":
        material = str(rng.choice(["crop", "plough", "meadow"]))
        plan.ground(material, new, ONLY_BEFORE)
    if rng.random() < 0.35:
        plan.ground("soil", new, ONLY_AFTER)
        earthworks(plan, new, ONLY_AFTER)


def earthworks(plan: Plan, site: Points, dates: Dates) -> None:
    """Add a building site: wheel tracks, graded strips and heaps of other soil."""
    rng = plan.rng
    for _ in range(int(rng.integers(0, 9))):
        x, y = rng.uniform(0, plan.size, 2)
        heap = blob(rng, np.array([x, y]), rng.uniform(2, 14), 0.35)
        if in_polygon(heap, site).all():
            plan.ground(str(rng.choice(["soil", "rock", "plough"])), heap, dates)
    for _ in range(int(rng.integers(3, 14))):
        start, end = rng.uniform(-plan.pad, plan.size + plan.pad, (2, 2))
        line = smooth_line(rng, start, end, rng.uniform(2, 0.1 * plan.size))
        tone = float(rng.choice([0.82, 0.9, 1.1, 1.18]))
        parts = tuple(
            part
            for side in (-1.0, 1.0)
            for part, when in _split(_offset(line, side), site)
            if when == ONLY_AFTER
        )
        if parts:
            plan.world.cover("track", dates, *parts, tone=tone)


def _street_lines(plan: Plan, style: Style) -> list[tuple[Points, float]]:
    """Return centre lines of streets with the radius of a turning circle at the end, or 0.

    The lines of a grid are bent by two waves and rotated.
    """
    rng = plan.rng
    block = 2 * style.depth + rng.uniform(9, 14)
    cross = rng.uniform(110, 240)
    reach = plan.size * 0.75 + 40
    turn = rng.uniform(0, 2 * np.pi)
    wave = [
        (rng.uniform(0, 0.12) * k, 2 * np.pi / k, rng.uniform(0, 2 * np.pi))
        for k in rng.uniform(220, 420, 2)
    ]
    c, s = np.cos(turn), np.sin(turn)

    def bend(points: Points) -> Points:
        x = points[:, 0] + wave[0][0] * np.sin(wave[0][1] * points[:, 1] + wave[0][2])
        y = points[:, 1] + wave[1][0] * np.sin(wave[1][1] * points[:, 0] + wave[1][2])
        return np.stack([x * c - y * s, x * s + y * c], 1) + plan.size / 2

    cross_at = np.arange(-reach, reach, cross) + rng.uniform(-cross / 2, cross / 2)
    lines: list[tuple[Points, float]] = []
    for t in np.arange(-reach, reach, block) + rng.uniform(-block / 2, block / 2):
        if rng.random() < 0.45 and len(cross_at) > 2:  # dead ends between cross streets
            for a, b in itertools.pairwise(cross_at):
                stop = a + (b - a) * rng.uniform(0.45, 0.72)
                lines.append((bend(_straight(a, stop, t)), rng.uniform(11, 13.5)))
        else:
            lines.append((bend(_straight(-reach, reach, t)), 0.0))
    for a in cross_at:
        line = _straight(-reach, reach, a)[:, ::-1]
        lines.append((bend(line), 0.0))
    return lines


def _straight(start: float, end: float, at: float) -> Points:
    x = np.linspace(start, end, max(2, int(abs(end - start) / 4.0) + 1))
    return np.stack([x, np.full_like(x, at)], 1)


def _outside(
    lines: list[tuple[Points, float]], wild: Optional[Points]
) -> list[tuple[Points, float]]:
    """Return the parts of streets outside a polygon."""
    if wild is None:
        return lines
    kept = []
    for line, bulb in lines:
        for part, dates in _split(line, wild):
            if dates == BOTH and len(part) > 4:
                kept.append((part, bulb if np.allclose(part[-1], line[-1]) else 0.0))
    return kept


def _split(line: Points, new: Optional[Points]) -> list[tuple[Points, Dates]]:
    """Cut a line where it enters or leaves the development area."""
    if new is None:
        return [(line, BOTH)]
    inside = in_polygon(line, new)
    cuts = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    parts = []
    for a, b in itertools.pairwise([0, *cuts, len(line)]):
        part = line[max(0, a - 1) : b]
        if len(part) > 1:
            parts.append((part, ONLY_AFTER if inside[a] else BOTH))
    return parts


def _around_bulb(line: Points, bulb: float) -> list[tuple[Points, float]]:
    end = line[-1]
    ahead = np.arctan2(*(line[-1] - line[-2])[::-1])
    return [
        (end + (bulb + 0.5) * np.array([np.cos(a), np.sin(a)]), float(a))
        for a in ahead + np.array([-1.5, -0.75, 0.0, 0.75, 1.5])
    ]


def _lots(
    plan: Plan,
    spots: list[tuple[Points, float]],
    new: Optional[Points],
    single: float,
    wild: Optional[Points],
) -> list[Lot]:
    """Return the lots near the scene, with the dates of their houses."""
    if not spots:
        return []
    kerbs = np.array([kerb for kerb, _ in spots])
    inwards = np.array([inward for _, inward in spots])
    middles = kerbs + 14.0 * np.stack([np.cos(inwards), np.sin(inwards)], 1)
    near = np.abs(middles - plan.size / 2).max(1) < plan.size / 2 + plan.pad + 15
    if wild is not None:
        near &= ~in_polygon(kerbs, wild)
    built = np.zeros(len(spots), bool)
    if new is not None:
        built = in_polygon(middles, new) | in_polygon(kerbs, new)
    lots = []
    for i in np.flatnonzero(near):
        draw = plan.rng.random()
        if built[i]:  # some lots of a new street are still empty on the second date
            dates = ONLY_AFTER if draw < 0.93 else None
        elif draw < single:
            dates = ONLY_AFTER if draw < single / 2 else ONLY_BEFORE
        else:
            dates = BOTH if draw < 0.97 else None
        if dates is not None:
            lots.append(Lot(kerbs[i], float(inwards[i]), dates, dates == ONLY_AFTER))
    return lots


def _houses(plan: Plan, style: Style, lots: list[Lot]) -> None:
    rng = plan.rng
    lawns: dict[Dates, list[tuple[Points, float]]] = {}
    for lot in lots:
        if not build_house(rng, plan.world, plan.occupancy, style, lot):
            continue
        direction = np.array([np.cos(lot.inward), np.sin(lot.inward)])
        middle = lot.kerb + direction * style.depth / 2
        shape = rectangle(
            middle[0], middle[1], style.depth / 2, style.frontage / 2 + 0.3, lot.inward
        )
        lawns.setdefault(lot.dates, []).append((shape, style.lush + rng.normal(0, 0.45)))
        if style.fence:
            _fence(plan, shape, lot.dates)
    for dates, shapes in lawns.items():
        bare = 0.12 if dates == ONLY_AFTER else 0.03
        for shape, tint in shapes:
            if rng.random() < bare:
                plan.world.cover("soil", dates, shape, tone=0.9)
            else:
                # A few shades of gardens, so that each shade is drawn at once.
                shade = float(np.clip(round(tint * 2) / 2, -1, 1))
                plan.world.cover("lawn", dates, shape, tint=shade)


def _fence(plan: Plan, lot: Points, dates: Dates) -> None:
    # Corners 1 and 2 are at the back of the lot; the front garden has no fence.
    front = 0.45
    a, b, c, d = lot
    line = np.stack([a + (b - a) * front, b, c, d + (c - d) * front])
    if plan.occupancy.free(resample(line, 1.5)).mean() < 0.93:  # would cross a street
        return
    plan.world.deck("fence", dates, line)


def _verges(
    plan: Plan, lines: list[tuple[Points, float]], width: float, new: Optional[Points]
) -> None:
    """Add pavements along both kerbs."""
    if plan.rng.random() < 0.5:
        return
    for line, _ in lines:
        for part, dates in _split(line, new):
            if len(part) < 3:
                continue
            for side in (-1.0, 1.0):
                plan.world.cover("walk", dates, _offset(part, side * (width / 2 + 2.2)))


def _offset(line: Points, distance: float) -> Points:
    tangent = np.gradient(line, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
    return line + distance * np.stack([-tangent[:, 1], tangent[:, 0]], 1)


def farmsteads(plan: Plan, line: Points, count: int, dates: Optional[Dates] = None) -> None:
    """Place houses with barns and drives along a country road."""
    rng = plan.rng
    dense = resample(line, 2.0)
    inside = ((dense > 0) & (dense < plan.size)).all(1)
    dense = dense[inside]
    if len(dense) < 8:
        return
    for _ in range(count):
        i = int(rng.integers(2, len(dense) - 2))
        tangent = dense[i + 1] - dense[i - 1]
        side = rng.choice([-1.0, 1.0])
        inward = float(np.arctan2(tangent[1], tangent[0]) + side * np.pi / 2)
        direction = np.array([np.cos(inward), np.sin(inward)])
        away = rng.uniform(8, 35)
        when = dates or [BOTH, BOTH, BOTH, ONLY_AFTER, ONLY_BEFORE][int(rng.integers(5))]
        style = Style.draw(rng)
        lot = Lot(dense[i] + direction * away, inward, when, when == ONLY_AFTER)
        if not build_house(rng, plan.world, plan.occupancy, style, lot):
            continue
        drive = np.stack([dense[i], dense[i] + direction * (away + style.setback)])
        plan.world.deck("drive", when, drive, tone=rng.uniform(0.9, 1.1))
        plan.occupancy.take_line(drive, 4.0)
        middle = lot.kerb + direction * 14
        if rng.random() < 0.7:
            length, width = rng.uniform(16, 24), rng.uniform(14, 22)
            lawn = rectangle(middle[0], middle[1], length, width, inward)
            plan.world.cover("lawn", when, lawn, tint=rng.uniform(-0.6, 0.8))
        for _ in range(int(rng.integers(0, 3))):
            spot = middle + rng.uniform(-32, 32, 2)
            hall(
                plan, spot[0], spot[1], rng.uniform(5, 14), rng.uniform(3, 7), inward, when, "gable"
            )


def hall(
    plan: Plan,
    x: float,
    y: float,
    half_length: float,
    half_width: float,
    angle: float,
    dates: Dates,
    roof: str,
) -> bool:
    """Place a hall, shed or barn; False without room."""
    rng = plan.rng
    ground = plan.occupancy.fill(x, y, half_length + 2, half_width + 2, angle)
    if not plan.occupancy.free(ground).all():
        return False
    plan.occupancy.take(ground)
    colour = np.array(HALL_ROOFS[int(rng.integers(len(HALL_ROOFS)))]) * rng.uniform(0.9, 1.08)
    height = rng.uniform(3, 4.5) if half_width < 8 else rng.uniform(6, 11)
    wings = [Wing(x, y, half_length, half_width, angle, roof, height, 0.25)]
    if roof == "flat":
        c, s = np.cos(angle), np.sin(angle)
        for _ in range(int(half_length * half_width / 60) + 1):  # equipment on the roof
            u, v = rng.uniform(-0.85, 0.85, 2) * (half_length, half_width)
            size = rng.uniform(0.8, 2.0)
            at_x, at_y, length = x + u * c - v * s, y + u * s + v * c, size * rng.uniform(1, 1.8)
            top = height + rng.uniform(1, 1.8)
            wings.append(Wing(at_x, at_y, length, size, angle, "flat", top, 0.0))
    texture = "membrane" if roof == "flat" else "metal"
    plan.world.buildings.append(
        Building(tuple(wings), tuple(np.clip(colour, 0, 0.95).tolist()), dates, texture)
    )
    return True


def halls(plan: Plan) -> None:
    """Lay out an industrial estate: roads, halls, car parks and yards."""
    rng = plan.rng
    ground = str(rng.choice(["meadow", "dry_grass"]))
    plan.world.base = (ground, ground)
    turn = rng.uniform(0, np.pi)
    c, s = np.cos(turn), np.sin(turn)
    axis = np.array([c, s])
    normal = np.array([-s, c])
    middle = rng.uniform(0.3, 0.7, 2) * plan.size
    reach = plan.size + plan.pad + 40
    for direction, dates in ((axis, BOTH), (normal, [BOTH, ONLY_AFTER][int(rng.integers(2))])):
        line = resample(np.stack([middle - direction * reach, middle + direction * reach]), 4.0)
        road = Road(line, rng.uniform(9, 14), "asphalt", dates, kerb=True, marking="double")
        add_road(plan.world, plan.occupancy, road, 3.0)
    for _ in range(int(rng.integers(12, 40))):
        x, y = rng.uniform(0, plan.size, 2)
        half = np.sort(rng.uniform(8, 38, 2))[::-1] * min(1.0, plan.size / 200)
        dates = [BOTH, BOTH, BOTH, ONLY_AFTER, ONLY_AFTER, ONLY_BEFORE][int(rng.integers(6))]
        if not hall(
            plan, x, y, half[0], half[1], turn, dates, "flat" if rng.random() < 0.7 else "gable"
        ):
            continue
        side = rng.choice([-1.0, 1.0])
        depth = rng.uniform(9, 18)
        spot = np.array([x, y]) + normal * side * (half[1] + depth + 1)
        _car_park(plan, spot, half[0], depth, turn, dates)
        if dates != BOTH and rng.random() < 0.7:
            yard = rectangle(x, y, half[0] + 12, half[1] + 12, turn)
            plan.ground("soil", yard, (not dates[0], not dates[1]))


def _car_park(
    plan: Plan, spot: Points, half_length: float, half_width: float, angle: float, dates: Dates
) -> None:
    rng = plan.rng
    cells = plan.occupancy.fill(spot[0], spot[1], half_length, half_width, angle)
    if plan.occupancy.free(cells).mean() < 0.97:
        return
    plan.occupancy.take(cells)
    shape = rectangle(spot[0], spot[1], half_length, half_width, angle)
    material = str(rng.choice(["asphalt", "concrete"]))
    plan.world.deck(material, dates, shape, tone=rng.uniform(0.85, 1.1))
    c, s = np.cos(angle), np.sin(angle)
    for v in np.arange(-half_width + 3, half_width - 2, 7.5):
        for u in np.arange(-half_length + 2, half_length - 2, 2.8):
            x, y = float(spot[0] + u * c - v * s), float(spot[1] + u * s + v * c)
            plan.world.parking.append((x, y, angle + np.pi / 2, dates))
            tick = np.array([[u - 1.4, v - 2.4], [u - 1.4, v + 2.4]]) @ np.array([[c, s], [-s, c]])
            plan.world.deck("paint", dates, tick + spot)
