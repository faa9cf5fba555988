# SPDX-License-Identifier: GPL-3.0-or-later
"""Occupied ground of a scene being planned, and houses with their lots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .world import (
    Building,
    Colour,
    Dates,
    Points,
    Road,
    Trees,
    Wing,
    World,
    rectangle,
    resample,
)

#: Roof colours as albedo, 0 to 1; a subdivision uses one of these families.
ROOFS: dict[str, tuple[Colour, ...]] = {
    "grey": ((0.36, 0.35, 0.34), (0.30, 0.29, 0.29), (0.42, 0.40, 0.38), (0.26, 0.26, 0.27)),
    "brown": ((0.40, 0.33, 0.28), (0.34, 0.28, 0.24), (0.46, 0.38, 0.31), (0.38, 0.35, 0.31)),
    "tan": ((0.60, 0.50, 0.37), (0.55, 0.47, 0.38), (0.52, 0.47, 0.40), (0.64, 0.55, 0.42)),
    "terracotta": ((0.58, 0.37, 0.26), (0.53, 0.35, 0.27), (0.62, 0.42, 0.29), (0.50, 0.36, 0.29)),
    "light": ((0.68, 0.67, 0.65), (0.60, 0.60, 0.59), (0.78, 0.77, 0.75), (0.55, 0.56, 0.57)),
    "dark": ((0.20, 0.20, 0.21), (0.24, 0.23, 0.22), (0.17, 0.17, 0.18), (0.28, 0.26, 0.25)),
    "metal": ((0.50, 0.58, 0.56), (0.62, 0.64, 0.66), (0.38, 0.48, 0.45), (0.52, 0.34, 0.30)),
}
HALL_ROOFS: tuple[Colour, ...] = (
    (0.82, 0.82, 0.80),
    (0.74, 0.74, 0.73),
    (0.62, 0.62, 0.62),
    (0.55, 0.54, 0.52),
    (0.46, 0.45, 0.44),
    (0.68, 0.64, 0.57),
    (0.45, 0.52, 0.60),
    (0.88, 0.88, 0.87),
)


class Occupancy:
    """Map of occupied square metres, for placing objects on free ones."""

    def __init__(self, size: float, pad: float) -> None:
        self.pad = pad
        self.cell = max(1.0, size / 500.0)
        count = int((size + 2 * pad) / self.cell) + 1
        self.taken = np.zeros((count, count), bool)

    def _cells(
        self, points: Points
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        cells = np.floor((points + self.pad) / self.cell).astype(np.int64)
        inside = np.all((cells >= 0) & (cells < self.taken.shape[0]), axis=1)
        return cells[:, 1], cells[:, 0], inside

    def free(self, points: Points) -> NDArray[np.bool_]:
        """Return which points (n, 2) in metres are free; outside counts as free."""
        rows, columns, inside = self._cells(points)
        result = np.ones(len(points), bool)
        result[inside] = ~self.taken[rows[inside], columns[inside]]
        return result

    def take(self, points: Points) -> None:
        """Mark the cells under points (n, 2) in metres as occupied."""
        rows, columns, inside = self._cells(points)
        self.taken[rows[inside], columns[inside]] = True

    def fill(
        self, x: float, y: float, half_length: float, half_width: float, angle: float
    ) -> Points:
        """Return points (n, 2) that cover a rotated rectangle without gaps."""
        step = self.cell * 0.7
        u = np.arange(-half_length, half_length + step, step)
        v = np.arange(-half_width, half_width + step, step)
        gu, gv = np.meshgrid(u, v)
        c, s = np.cos(angle), np.sin(angle)
        return np.stack([(x + gu * c - gv * s).ravel(), (y + gu * s + gv * c).ravel()], 1)

    def take_line(self, points: Points, width: float) -> None:
        """Mark a line of points (n, 2) with the given width in metres as occupied."""
        line = resample(points, self.cell * 0.7)
        tangent = np.gradient(line, axis=0)
        tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
        for away in np.arange(-width / 2, width / 2 + self.cell, self.cell * 0.7):
            self.take(line + away * normal)


@dataclass(frozen=True)
class Style:
    """Common properties of the houses of a neighbourhood (lengths in metres)."""

    roofs: tuple[Colour, ...]
    texture: str
    frontage: float
    depth: float
    house_width: tuple[float, float]
    house_depth: tuple[float, float]
    setback: float
    gable: float  # share of gable roofs
    drive: str  # material of driveways
    fence: bool
    lush: float  # tint of lawns, -1 dry to 1 green

    @staticmethod
    def draw(rng: np.random.Generator) -> Style:
        """Return a random style."""
        family = str(
            rng.choice(
                ["grey", "brown", "tan", "terracotta", "light", "dark", "metal"],
                p=[0.27, 0.22, 0.15, 0.1, 0.08, 0.13, 0.05],
            )
        )
        roofs = list(ROOFS[family])
        if rng.random() < 0.55:  # a mixed neighbourhood
            other = ROOFS[str(rng.choice(["grey", "brown", "dark", "tan"]))]
            roofs += other[: int(rng.integers(1, 4))]
        wide = rng.random() < 0.3
        frontage = rng.uniform(22, 32) if wide else rng.uniform(14.5, 21)
        return Style(
            roofs=tuple(roofs),
            texture="metal" if family == "metal" else "shingle",
            frontage=frontage,
            depth=rng.uniform(28, 40),
            house_width=(frontage * 0.66, frontage * 0.86),
            house_depth=(11.0, 21.0 if wide else 19.0),
            setback=rng.uniform(5.5, 8.5) + (4 if wide else 0),
            gable=rng.choice([0.1, 0.25, 0.7]),
            drive=str(rng.choice(["slab", "slab", "slab", "concrete", "asphalt"])),
            fence=bool(rng.random() < 0.7),
            lush=rng.uniform(-0.8, 1.0),
        )


def house_wings(
    rng: np.random.Generator,
    x: float,
    y: float,
    facing: float,
    width: float,
    depth: float,
    gable: float,
) -> tuple[Wing, ...]:
    """Return the wings of a house, in an I, L, T, U or cross shape.

    Args:
        rng: source of randomness.
        x: centre in metres.
        y: centre in metres.
        facing: direction in radians from the house to its street.
        width: extent along the street in metres.
        depth: extent across it in metres.
        gable: probability of gable roofs; others are hipped.
    """
    roof = "gable" if rng.random() < gable else "hip"
    pitch = rng.uniform(0.4, 0.75)
    eave = rng.uniform(2.7, 3.3) + (2.7 if rng.random() < 0.25 else 0.0)
    side = 1.0 if rng.random() < 0.5 else -1.0
    # Local frame: a along the street, b towards it.
    a_axis = np.array([np.cos(facing + np.pi / 2), np.sin(facing + np.pi / 2)])
    b_axis = np.array([np.cos(facing), np.sin(facing)])

    def wing(a: float, b: float, half_a: float, half_b: float, drop: float = 0.0) -> Wing:
        centre = np.array([x, y]) + a * a_axis + b * b_axis
        long, short = max(half_a, half_b), min(half_a, half_b)
        angle = facing + (np.pi / 2 if half_a >= half_b else 0.0)
        at = float(centre[0]), float(centre[1])
        return Wing(*at, long, short, angle, roof, eave - drop, pitch)

    half_w, half_d = width / 2, depth / 2
    main = half_d * rng.uniform(0.5, 0.75)
    shape = str(rng.choice(["I", "L", "T", "U", "X"], p=[0.16, 0.32, 0.22, 0.14, 0.16]))
    arm = half_w * rng.uniform(0.34, 0.48)
    if shape == "I":
        return (wing(0, 0, half_w, half_d * 0.85),)
    back = -(half_d - main)
    wings = [wing(0, back, half_w, main)]
    if shape in "LU":
        wings.append(wing(side * (half_w - arm), 0, arm, half_d))
    if shape == "U":
        wings.append(
            wing(-side * (half_w - arm * 0.8), 0, arm * 0.8, half_d * rng.uniform(0.85, 1.0))
        )
    if shape == "T":
        wings.append(wing(side * half_w * rng.uniform(0, 0.3), 0, arm, half_d))
    if shape == "X":
        wings.append(wing(side * half_w * 0.45, 0, arm, half_d))
        wings.append(wing(-side * half_w * 0.55, back - main * 0.5, arm * 0.8, main))
    if rng.random() < 0.5:  # a low porch or bay
        wings.append(wing(-side * half_w * 0.4, main * 0.9 + back, arm * 0.7, main * 0.55, 0.4))
    return tuple(wings)


@dataclass(frozen=True)
class Lot:
    """A lot: a point on the kerb, the direction from the street into the lot, and dates."""

    kerb: Points
    inward: float
    dates: Dates
    new: bool


def build_house(
    rng: np.random.Generator, world: World, occupancy: Occupancy, style: Style, lot: Lot
) -> bool:
    """Place a house with driveway, walk, pool and trees; False without room."""
    direction = np.array([np.cos(lot.inward), np.sin(lot.inward)])
    setback = style.setback + rng.normal(0, 0.8)
    for shrink in (1.0, 0.85, 0.7):  # a smaller house where a bend leaves less room
        width = rng.uniform(*style.house_width) * shrink
        depth = rng.uniform(*style.house_depth) * (0.5 + 0.5 * shrink)
        centre = lot.kerb + direction * (setback + depth / 2)
        ground = occupancy.fill(centre[0], centre[1], depth / 2 + 0.5, width / 2 + 0.5, lot.inward)
        if occupancy.free(ground).all():
            break
    else:
        return False
    occupancy.take(ground)
    facing = lot.inward + np.pi
    wings = house_wings(rng, centre[0], centre[1], facing, width, depth, style.gable)
    colour = np.array(style.roofs[int(rng.integers(len(style.roofs)))])
    colour = np.clip(colour * rng.uniform(0.9, 1.1) + rng.normal(0, 0.008, 3), 0.05, 0.95)
    world.buildings.append(Building(wings, tuple(colour.tolist()), lot.dates, style.texture))
    _driveway(rng, world, occupancy, style, lot, width, setback)
    _garden(rng, world, occupancy, style, lot, centre, width, depth)
    return True


def _driveway(
    rng: np.random.Generator,
    world: World,
    occupancy: Occupancy,
    style: Style,
    lot: Lot,
    width: float,
    setback: float,
) -> None:
    direction = np.array([np.cos(lot.inward), np.sin(lot.inward)])
    sideways = np.array([-direction[1], direction[0]])
    away = rng.choice([-1.0, 1.0]) * width * rng.uniform(0.22, 0.36)
    middle = lot.kerb + sideways * away + direction * (setback / 2 + 0.8)
    half = rng.uniform(2.2, 3.2)
    shape = rectangle(middle[0], middle[1], setback / 2 + 1.8, half, lot.inward)
    tone = rng.uniform(0.9, 1.1)
    world.deck(style.drive, lot.dates, shape, tone=tone)
    occupancy.take(occupancy.fill(middle[0], middle[1], setback / 2 + 1.5, half, lot.inward))
    if rng.random() < 0.6:
        walk = lot.kerb - sideways * away * 0.2 + direction * (setback / 2)
        shape = rectangle(walk[0], walk[1], setback / 2 + 1, 0.6, lot.inward)
        world.deck("slab", lot.dates, shape, tone=tone)
    if rng.random() < 0.5:
        world.parking.append((float(middle[0]), float(middle[1]), lot.inward, lot.dates))


def _garden(
    rng: np.random.Generator,
    world: World,
    occupancy: Occupancy,
    style: Style,
    lot: Lot,
    centre: Points,
    width: float,
    depth: float,
) -> None:
    direction = np.array([np.cos(lot.inward), np.sin(lot.inward)])
    sideways = np.array([-direction[1], direction[0]])
    behind = centre + direction * (depth / 2)
    if rng.random() < 0.45:
        spot = behind + direction * 1.6 + sideways * rng.uniform(-0.3, 0.3) * width
        shape = rectangle(spot[0], spot[1], 2.0, rng.uniform(2, 4), lot.inward)
        world.deck("concrete", lot.dates, shape, tone=0.9)
    if rng.random() < 0.05:
        spot = behind + direction * 6.0 + sideways * rng.uniform(-0.2, 0.2) * width
        angle = lot.inward + rng.choice([0, np.pi / 2])
        size = rng.uniform(1.6, 2.6)
        rim = rectangle(spot[0], spot[1], size * 2 + 1.2, size + 1.2, angle)
        world.deck("concrete", lot.dates, rim)
        world.deck("pool", lot.dates, rectangle(spot[0], spot[1], size * 2, size, angle))
    rows = []
    for _ in range(int(rng.poisson(3.0))):  # bushes along the walls
        spot = (
            centre
            + direction * rng.choice([-1, 1]) * (depth / 2 + 0.8)
            + sideways * rng.uniform(-0.5, 0.5) * width
        )
        rows.append((spot[0], spot[1], rng.uniform(0.5, 0.9), 0.7, rng.random(), 0.0))
    for _ in range(int(rng.poisson(1.0 if lot.new else 3.0))):
        away = rng.uniform(-0.5, 0.5) * style.frontage
        along = rng.choice([rng.uniform(1.5, 4.5), style.setback + depth + rng.uniform(2, 12)])
        spot = lot.kerb + direction * along + sideways * away
        radius = rng.uniform(0.9, 1.8) if lot.new else rng.uniform(1.4, 4.6)
        around = np.array([[0, 0], [1, 1], [-1, 1], [1, -1], [-1, -1]]) * radius * 0.6
        if occupancy.free(spot[None, :] + around).all():
            height, tint = radius * rng.uniform(1.5, 2.2) + 0.6, rng.random()
            rows.append((spot[0], spot[1], radius, height, tint, float(rng.random() < 0.4)))
    if rows:
        world.trees.append(Trees(np.array(rows), lot.dates))


def lots_along(
    line: Points, style: Style, street_width: float, rng: np.random.Generator
) -> list[tuple[Points, float]]:
    """Return (point on the kerb, direction into the lot) along both sides of a street."""
    dense = resample(line, 1.0)
    tangent = np.gradient(dense, axis=0)
    angle = np.arctan2(tangent[:, 1], tangent[:, 0])
    found = []
    for side in (1.0, -1.0):
        at = rng.uniform(2, style.frontage)
        while at < len(dense) - 3:
            i = int(at)
            inward = float(angle[i] + side * np.pi / 2)
            kerb = dense[i] + np.array([np.cos(inward), np.sin(inward)]) * street_width / 2
            found.append((kerb, inward))
            at += style.frontage * rng.uniform(0.97, 1.06)
    return found


def add_road(world: World, occupancy: Occupancy, road: Road, clearance: float = 1.0) -> None:
    """Add a road and mark its ground as occupied."""
    world.roads.append(road)
    occupancy.take_line(road.points, road.width + 2 * clearance)
    if road.bulb:
        x, y = road.points[-1]
        r = road.bulb + clearance
        points = occupancy.fill(x, y, r, r, 0.0)
        occupancy.take(points[np.hypot(points[:, 0] - x, points[:, 1] - y) <= r])


def natural_trees(
    rng: np.random.Generator,
    size: float,
    pad: float,
    count: int,
    clumping: float,
    radius: tuple[float, float],
    species: float,
) -> NDArray[np.float64]:
    """Return rows of trees (n, 6) scattered in clumps over the scene.

    Args:
        rng: source of randomness.
        size: side of the scene in metres.
        pad: metres around it.
        count: number of trees before clumping thins them out.
        clumping: 0 even, 1 strongly clumped.
        radius: smallest and largest crown radius in metres.
        species: share of deciduous trees.
    """
    xy = rng.uniform(-pad, size + pad, (count, 2))
    wave = np.zeros(count)
    for _ in range(6):
        k = 2 * np.pi / rng.uniform(25, 130)
        turn = rng.uniform(0, 2 * np.pi)
        wave += np.sin(k * (xy @ [np.cos(turn), np.sin(turn)]) + rng.uniform(0, 2 * np.pi))
    keep = (
        wave / np.sqrt(3) > rng.normal(0, 0.35, count) + 1.2 * clumping - 1.2 * (1 - clumping) * 2
    )
    xy, wave = xy[keep], wave[keep]
    n = len(xy)
    r = radius[0] + (radius[1] - radius[0]) * rng.beta(1.6, 2.4, n)
    height = r * rng.uniform(1.3, 2.1, n) + 1.0
    return np.stack(
        [xy[:, 0], xy[:, 1], r, height, rng.random(n), (rng.random(n) < species).astype(float)], 1
    )
