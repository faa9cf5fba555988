# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts: roads, houses, fields, trees and water of a scene, and their changes.

Each layout fills a :class:`~.world.World`. Changes are planned with the place: new streets are in a
development area with another use before. Swapping the dates gives the reverse of every change.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Optional

import numpy as np
from numpy.typing import NDArray

from . import settlement
from .plan import Plan, in_polygon
from .plot import add_road
from .world import BOTH, ONLY_AFTER, ONLY_BEFORE, Dates, Patch, Road, World, blob, smooth_line

Layout = Callable[[Plan], None]


def suburb(plan: Plan) -> None:
    """Plan curved residential streets, some of them new."""
    plan.worn(int(plan.rng.integers(0, 8)))
    wild = plan.front(plan.rng.uniform(0.15, 0.4)) if plan.rng.random() < 0.4 else None
    settlement.streets(plan, plan.front(plan.rng.uniform(0.25, 1.0)), wild=wild)
    plan.scatter(plan.rng.uniform(30, 400), plan.rng.uniform(0.3, 0.7))
    _extras(plan, 0.25)


def construction(plan: Plan) -> None:
    """Plan bare ground with streets, where houses are built."""
    settlement.streets(plan, plan.front(plan.rng.uniform(0.5, 1.0)), before="soil")
    plan.scatter(plan.rng.uniform(10, 80), 0.7)


def established(plan: Plan) -> None:
    """Plan old streets where at most a single house changes."""
    settlement.streets(plan, None, single=float(plan.rng.choice([0.0, 0.0, 0.12])))
    plan.scatter(plan.rng.uniform(60, 220), 0.5)


def rural(plan: Plan) -> None:
    """Plan a winding road through fields with farmsteads, tree rows and ponds."""
    rng = plan.rng
    plan.world.base = ("meadow", "meadow")
    fields(plan, rng.uniform(60, 150))
    plan.worn(int(rng.integers(0, 6)))
    road = country_road(plan, BOTH)
    for line in road:
        settlement.farmsteads(plan, line, int(rng.integers(1, 5)))
    if rng.random() < 0.4:
        country_road(plan, ONLY_AFTER)
    plan.scatter(rng.uniform(15, 90), 0.8)
    plan.tree_rows(int(rng.integers(1, 5)))
    _extras(plan, 0.6)


def forest(plan: Plan) -> None:
    """Plan woods with an edge or a clearing, a track, and trees cut or houses built in them."""
    rng = plan.rng
    plan.world.base = (str(rng.choice(["dry_grass", "meadow", "litter", "litter", "rock"])),) * 2
    plan.worn(int(rng.integers(0, 6)))
    if rng.random() < 0.7:
        country_road(plan, BOTH)
    woods = plan.front(rng.uniform(0.5, 1.0))
    if rng.random() < 0.6:
        plan.clear_trees(
            blob(rng, plan.spot(), rng.uniform(0.12, 0.32) * plan.size, 0.3),
            str(rng.choice(["soil", "soil", "dry_grass", "meadow"])),
        )
    if rng.random() < 0.35:
        road = country_road(plan, ONLY_AFTER)
        for line in road:
            settlement.farmsteads(plan, line, int(rng.integers(0, 4)), ONLY_AFTER)
    plan.scatter(rng.uniform(350, 700), rng.uniform(0.1, 0.45), woods)
    plan.scatter(rng.uniform(10, 60), 0.8)
    _extras(plan, 0.3)


def open_fields(plan: Plan) -> None:
    """Plan a mosaic of fields whose crops differ between the dates, which is no change."""
    rng = plan.rng
    fields(plan, rng.uniform(50, 140))
    if rng.random() < 0.6:
        country_road(plan, BOTH)
    if rng.random() < 0.3:
        country_road(plan, ONLY_AFTER)
    plan.tree_rows(int(rng.integers(0, 5)))
    plan.scatter(rng.uniform(2, 25), 0.9)
    _extras(plan, 0.5)


def pond(plan: Plan) -> None:
    """Plan a park or pasture with ponds, paths and groups of trees."""
    rng = plan.rng
    plan.world.base = (str(rng.choice(["lawn", "meadow", "dry_grass"])),) * 2
    for line in country_road(plan, BOTH):
        settlement.farmsteads(plan, line, int(rng.integers(0, 4)))
    for _ in range(int(rng.integers(0, 3))):
        path(plan, BOTH)
    for _ in range(int(rng.integers(1, 4))):
        plan.pond(
            dates=[BOTH, ONLY_AFTER, ONLY_BEFORE][int(rng.integers(3))],
            radius=rng.uniform(0.05, 0.22) * plan.size,
        )
    plan.scatter(rng.uniform(30, 200), 0.7)
    _extras(plan, 0.3)


def industrial(plan: Plan) -> None:
    """Plan large halls with car parks and wide roads."""
    plan.worn(int(plan.rng.integers(0, 8)))
    settlement.halls(plan)
    plan.scatter(plan.rng.uniform(10, 70), 0.8)
    _extras(plan, 0.2)


def scrub(plan: Plan) -> None:
    """Plan dry savanna with tracks, where trees are cleared or a road is cut."""
    rng = plan.rng
    plan.world.base = (str(rng.choice(["dry_grass", "dry_grass", "meadow", "litter", "rock"])),) * 2
    plan.worn(int(rng.integers(0, 12)))
    for _ in range(int(rng.integers(1, 3))):
        path(plan, BOTH)
    if rng.random() < 0.4:
        country_road(plan, ONLY_AFTER if rng.random() < 0.6 else BOTH)
    if rng.random() < 0.4:
        plan.clear_trees(
            blob(rng, plan.spot(), rng.uniform(0.15, 0.35) * plan.size, 0.3),
            str(rng.choice(["soil", "dry_grass"])),
        )
    plan.scatter(rng.uniform(150, 600), rng.uniform(0.3, 0.8))
    _extras(plan, 0.4)


LAYOUTS: dict[str, Layout] = {
    "suburb": suburb,
    "construction": construction,
    "established": established,
    "rural": rural,
    "forest": forest,
    "fields": open_fields,
    "pond": pond,
    "industrial": industrial,
    "scrub": scrub,
}
_WEIGHTS = (0.27, 0.13, 0.1, 0.12, 0.1, 0.06, 0.07, 0.07, 0.08)


def build_world(rng: np.random.Generator, size: float, pad: float, layout: Optional[str]) -> World:
    """Plan a scene of a given or random layout, and ``pad`` metres around it.

    Returns:
        The world, with dates swapped half of the time.
    """
    name = layout or str(rng.choice(list(LAYOUTS), p=_WEIGHTS))
    plan = Plan(rng, size, pad)
    plan.world.layout = name
    LAYOUTS[name](plan)
    return plan.world


def country_road(plan: Plan, dates: Dates) -> list[NDArray[np.float64]]:
    """Add a winding road across the scene, and return its line."""
    rng = plan.rng
    start, end = plan.across()
    line = smooth_line(rng, start, end, rng.uniform(0, 0.12) * plan.size)
    surface = str(rng.choice(["asphalt", "asphalt", "gravel", "dirt"]))
    paved = surface == "asphalt"
    width = rng.uniform(6, 9) if paved else rng.uniform(3.5, 6)
    marking = str(rng.choice(["", "dashed", "double"])) if paved else ""
    verge, tone = rng.uniform(0, 2.5), rng.uniform(0.85, 1.15)
    road = Road(line, width, surface, dates, marking=marking, verge=verge, tone=tone)
    add_road(plan.world, plan.occupancy, road, 2.5)
    return [line]


def path(plan: Plan, dates: Dates) -> None:
    """Add a narrow dirt track."""
    rng = plan.rng
    start, end = plan.across()
    line = smooth_line(rng, start, end, rng.uniform(0.03, 0.15) * plan.size)
    track = Road(line, rng.uniform(2.2, 3.6), "dirt", dates, tone=rng.uniform(0.9, 1.1))
    add_road(plan.world, plan.occupancy, track, 0.5)


def fields(plan: Plan, side: float) -> None:
    """Cover the scene with fields about ``side`` metres wide, each with its own crop."""
    rng = plan.rng
    turn = rng.uniform(0, np.pi)
    c, s = np.cos(turn), np.sin(turn)
    reach = plan.size * 0.75 + side
    u = np.arange(-reach, reach, side) + rng.uniform(-side / 2, side / 2)
    u = u + rng.uniform(-0.2, 0.2, len(u)) * side
    v = np.arange(-reach, reach, side * rng.uniform(1, 2))
    v = v + rng.uniform(-0.2, 0.2, len(v)) * side
    gap = rng.uniform(0.5, 3.0)
    for u0, u1 in itertools.pairwise(u):
        for v0, v1 in itertools.pairwise(v):
            a, b, c_, d = u0 + gap, u1 - gap, v0 + gap, v1 - gap
            corners = np.array([[a, c_], [b, c_], [b, d], [a, d]])
            shape = corners @ np.array([[c, s], [-s, c]]) + plan.size / 2
            # A field keeps its kind and thus its label; only its appearance differs by date.
            material = str(rng.choice(["crop", "crop", "plough", "dry_grass", "meadow"]))
            angle = turn + (np.pi / 2 if rng.random() < 0.3 else 0.0)
            for dates in (ONLY_BEFORE, ONLY_AFTER):
                tone, tint = rng.uniform(0.82, 1.15), rng.uniform(-1, 1)
                patch = Patch(material, dates, (shape,), tone=tone, angle=angle, tint=tint)
                plan.world.patches.append(patch)


def _extras(plan: Plan, probability: float) -> None:
    """Add further changes on free ground."""
    rng = plan.rng
    if rng.random() < probability * 0.5:
        plan.pond(
            [ONLY_AFTER, ONLY_BEFORE, BOTH][int(rng.integers(3))],
            rng.uniform(0.05, 0.12) * plan.size,
        )
    if rng.random() < probability * 0.6:
        centre = plan.spot()
        shape = blob(rng, centre, rng.uniform(0.1, 0.22) * plan.size)
        plan.plant_trees(
            shape, rng.uniform(200, 600), [ONLY_AFTER, ONLY_BEFORE][int(rng.integers(2))]
        )
    if rng.random() < probability * 0.5:
        shape = blob(rng, plan.spot(), rng.uniform(0.06, 0.2) * plan.size)
        inside = plan.world.roads and any(
            in_polygon(r.points, shape).any() for r in plan.world.roads
        )
        if not inside:
            plan.ground("soil", shape, [ONLY_AFTER, ONLY_BEFORE][int(rng.integers(2))])
