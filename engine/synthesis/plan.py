# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene being planned: places trees, ponds and ground without collisions."""

from __future__ import annotations

from typing import Optional

import numpy as np
from numpy.typing import NDArray

from .plot import Occupancy, natural_trees
from .world import (
    BOTH,
    ONLY_AFTER,
    ONLY_BEFORE,
    Dates,
    Patch,
    Points,
    Trees,
    World,
    blob,
    smooth_line,
)

#: Maximum number of trees; more are drawn as fewer, larger clumps.
MAX_TREES = 2600


def in_polygon(points: Points, polygon: Points) -> NDArray[np.bool_]:
    """Return which points (n, 2) lie inside ``polygon`` (m, 2), by ray casting."""
    x, y = points[:, 0][:, None], points[:, 1][:, None]
    ax, ay = polygon[:, 0][None, :], polygon[:, 1][None, :]
    bx, by = np.roll(ax, -1, 1), np.roll(ay, -1, 1)
    crosses = (ay > y) != (by > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = ax + (y - ay) * (bx - ax) / (by - ay)
    return (crosses & (x < at)).sum(1) % 2 == 1


class Plan:
    """A world and its occupied ground."""

    def __init__(self, rng: np.random.Generator, size: float, pad: float) -> None:
        self.rng = rng
        self.size = size
        self.pad = pad
        self.world = World(size)
        self.occupancy = Occupancy(size, pad)
        #: Ground that may be wooded before it is built over.
        self.development: Optional[Points] = None
        self.development_wooded = True
        self.keep_trees = float(rng.uniform(0.05, 0.5))
        self.radius = (float(rng.uniform(1.0, 1.8)), float(rng.uniform(3.0, 5.5)))
        self.leafless = float(rng.choice([0.0, 0.1, 0.3, 0.7]))
        self._cleared: list[tuple[Points, Dates]] = []

    def spot(self) -> Points:
        """Return a point (2,) in the inner part of the scene, on free ground if possible."""
        candidates = self.rng.uniform(0.12, 0.88, (12, 2)) * self.size
        free = candidates[self.occupancy.free(candidates)]
        return free[0] if len(free) else candidates[0]

    def across(self) -> tuple[Points, Points]:
        """Return two points beyond opposite or neighbouring sides of the scene."""
        far = self.pad + 12.0
        side = int(self.rng.integers(4))
        other = (side + (2 if self.rng.random() < 0.75 else 1)) % 4

        def on(which: int) -> Points:
            t = self.rng.uniform(0.1, 0.9) * self.size
            return np.array(
                [(t, -far), (self.size + far, t), (t, self.size + far), (-far, t)][which]
            )

        return on(side), on(other)

    def front(self, share: float) -> Points:
        """Return a polygon with a winding edge that covers about ``share`` of the scene."""
        middle = np.array([self.size / 2, self.size / 2])
        turn = self.rng.uniform(0, 2 * np.pi)
        normal = np.array([np.cos(turn), np.sin(turn)])
        along = np.array([-normal[1], normal[0]])
        reach = self.size * 0.75 + self.pad + 30
        edge = middle + normal * (0.5 - share) * self.size * 1.15
        line = smooth_line(self.rng, edge - along * reach, edge + along * reach, 0.05 * self.size)
        far = [edge + way * reach + normal * 3 * reach for way in (along, -along)]
        return np.concatenate([line, far])

    def scatter(self, per_hectare: float, clumping: float, within: Optional[Points] = None) -> None:
        """Scatter natural trees on free ground; those in the way of new objects are cut."""
        rng = self.rng
        hectares = (self.size + 2 * self.pad) ** 2 / 1e4
        wanted = per_hectare * hectares * (1 + clumping)
        swell = max(1.0, np.sqrt(wanted / MAX_TREES))
        radius = self.radius[0] * swell, self.radius[1] * swell
        count = int(min(wanted, MAX_TREES))
        rows = natural_trees(rng, self.size, self.pad, count, clumping, radius, self.leafless)
        if within is not None:
            rows = rows[in_polygon(rows[:, :2], within)]
        self.stand(rows)
        self._bushes(per_hectare, clumping)

    def _bushes(self, per_hectare: float, clumping: float) -> None:
        """Scatter bushes, too small to count as trees, on free ground."""
        hectares = (self.size + 2 * self.pad) ** 2 / 1e4
        count = int(min(self.rng.uniform(0.4, 4.0) * (per_hectare + 40) * hectares, MAX_TREES))
        rows = natural_trees(
            self.rng, self.size, self.pad, count, clumping * 0.6, (0.35, 1.1), 0.35
        )
        rows[:, 3] = 0.75
        self.stand(rows)

    def stand(self, rows: NDArray[np.float64], dates: Dates = BOTH) -> None:
        """Add trees, (n, 6), on the dates with room for them."""
        if not len(rows):
            return
        xy, r = rows[:, :2], rows[:, 2]
        free = np.ones(len(rows), bool)
        for turn in np.arange(6) * np.pi / 3:
            free &= self.occupancy.free(xy + 0.75 * r[:, None] * [np.cos(turn), np.sin(turn)])
        free &= self.occupancy.free(xy)
        before = free & dates[0]
        after = free & dates[1]
        if self.development is not None:
            inside = in_polygon(xy, self.development)
            before = np.where(inside, self.development_wooded & dates[0], before)
            after &= (
                ~inside | (self.rng.random(len(rows)) < self.keep_trees) & self.development_wooded
            )
        for shape, on in self._cleared:
            inside = in_polygon(xy, shape)
            before &= ~inside | on[0]
            after &= ~inside | on[1]
        for keep, when in (
            (before & after, BOTH),
            (before & ~after, ONLY_BEFORE),
            (after & ~before, ONLY_AFTER),
        ):
            if keep.any():
                self.world.trees.append(Trees(rows[keep], when))

    def tree_rows(self, count: int) -> None:
        """Add rows of trees, as along field borders."""
        rng = self.rng
        for _ in range(count):
            start, end = self.across()
            line = smooth_line(rng, start, end, 0.02 * self.size, rng.uniform(5, 11))
            cut = slice(int(rng.integers(0, len(line) // 2 + 1)), None)
            xy = line[cut] + rng.normal(0, 1.2, (len(line[cut]), 2))
            n = len(xy)
            r = rng.uniform(1.6, 4.6) * rng.uniform(0.6, 1.25, n)
            self.stand(
                np.stack(
                    [
                        xy[:, 0],
                        xy[:, 1],
                        r,
                        r * 1.8 + 1,
                        rng.random(n),
                        (rng.random(n) < self.leafless).astype(float),
                    ],
                    1,
                )
            )

    def ground(self, material: str, shape: Points, dates: Dates) -> None:
        """Cover ``shape`` with ``material`` on ``dates``."""
        tone, angle = self.rng.uniform(0.92, 1.08), self.rng.uniform(0, np.pi)
        self.world.patches.append(Patch(material, dates, (shape,), tone=tone, angle=angle))

    def worn(self, count: int) -> None:
        """Add ground that is bare on both dates, which is no change."""
        for _ in range(count):
            middle = self.rng.uniform(0, self.size, 2)
            shape = blob(self.rng, middle, self.rng.uniform(2, 14), 0.35)
            self.ground(str(self.rng.choice(["soil", "rock", "plough"])), shape, BOTH)

    def clear_trees(self, shape: Points, material: str) -> None:
        """Keep trees scattered later in ``shape`` on the first date only."""
        self._cleared.append((shape, ONLY_BEFORE))
        self.ground(material, shape, ONLY_AFTER)

    def plant_trees(self, shape: Points, per_hectare: float, dates: Dates) -> None:
        """Plant a grove inside ``shape`` on ``dates``."""
        rng = self.rng
        low, high = shape.min(0), shape.max(0)
        count = int(min(900, per_hectare * float(np.prod(high - low)) / 1e4))
        if rng.random() < 0.35:  # an orchard, in rows
            step = max(5.0, float(np.sqrt(np.prod(high - low) / max(count, 1))))
            gx, gy = np.meshgrid(np.arange(low[0], high[0], step), np.arange(low[1], high[1], step))
            xy = np.stack([gx.ravel(), gy.ravel()], 1)
            r = np.full(len(xy), step * 0.32) * rng.uniform(0.85, 1.15, len(xy))
        else:
            xy = rng.uniform(low, high, (count, 2))
            r = rng.uniform(*self.radius, count)
        tint, species = rng.random(len(xy)), rng.random(len(xy)) < self.leafless
        rows = np.column_stack([xy, r, r * 1.8 + 1, tint, species.astype(float)])
        self.stand(rows[in_polygon(xy, shape)], dates)

    def keep_clear(self, shape: Points) -> None:
        """Keep trees scattered later out of ``shape``."""
        self._cleared.append((shape, (False, False)))

    def pond(self, dates: Dates, radius: float, at: Optional[Points] = None) -> None:
        """Add a pond on free ground, with soil or grass on the date without it."""
        rng = self.rng
        shape = None
        for _ in range(8):
            shape = blob(rng, self.spot() if at is None else at, radius, 0.22)
            if self.occupancy.free(shape).all():
                break
            radius *= 0.8
        else:
            return
        if dates != BOTH and rng.random() < 0.6:
            missing = (not dates[0], not dates[1])
            self.ground(str(rng.choice(["soil", "dry_grass"])), shape, missing)
        middle = shape.mean(0)
        shore = middle + (shape - middle) * (1.0 + rng.uniform(1.0, 4.0) / radius)
        material = str(rng.choice(["soil", "meadow", "dry_grass"]))
        self.world.cover(material, dates, shore)
        tone, tint = rng.uniform(0.8, 1.2), rng.uniform(-1, 1)
        self.world.cover("water", dates, shape, tone=tone, tint=tint)
        cells = self.occupancy.fill(float(middle[0]), float(middle[1]), radius * 2, radius * 2, 0.0)
        self.occupancy.take(cells[in_polygon(cells, shore)])
