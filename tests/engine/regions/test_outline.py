# SPDX-License-Identifier: GPL-3.0-or-later
"""Outlines on pixel edges, drawn by hand, and how far simplification moves them."""

from __future__ import annotations

import numpy as np
import pytest
from osgeo import ogr

from changescribe.engine.raster.runs import find_runs, label_runs
from changescribe.engine.regions.outline import simplify, trace


def drawing(*rows: str) -> np.ndarray:
    """(H, W) bool from "#" and "."."""
    return np.array([[letter == "#" for letter in row] for row in rows])


def outline(mask: np.ndarray) -> list[list[np.ndarray]]:
    runs = find_runs(mask.astype(np.uint8))
    label, count = label_runs(runs)
    assert count == 1
    return trace(runs, label, count)[0]


def test_outline_of_a_square() -> None:
    (polygon,) = outline(drawing("....", ".##.", ".##.", "...."))
    assert len(polygon) == 1
    assert sorted(map(tuple, polygon[0].tolist())) == [(1, 1), (1, 3), (3, 1), (3, 3)]


def test_holes_are_kept() -> None:
    (polygon,) = outline(drawing("#####", "#.#.#", "#####"))
    assert len(polygon) == 3
    assert sorted(len(ring) for ring in polygon) == [4, 4, 4]


def test_pixels_that_touch_at_a_corner_are_one_region_of_two_polygons() -> None:
    polygons = outline(drawing("##..", "##..", "..##", "..##"))
    assert [len(polygon) for polygon in polygons] == [1, 1]


def test_a_ring_that_touches_itself_is_split() -> None:
    """The hole meets the outside at a corner: exterior and hole touch in one point."""
    mask = drawing("####", "#.##", "##.#", "###.")
    polygons = outline(mask)
    wkb_area = 0.0
    for polygon in polygons:
        rings = ["(" + ",".join(f"{x} {y}" for x, y in [*ring, ring[0]]) + ")" for ring in polygon]
        shape = ogr.CreateGeometryFromWkt("POLYGON(" + ",".join(rings) + ")")
        assert shape.IsValid()
        wkb_area += shape.GetArea()
    assert wkb_area == mask.sum()


def disc(radius: float) -> np.ndarray:
    side = int(2 * radius + 6)
    y, x = np.mgrid[:side, :side] - side / 2 + 0.5
    return x * x + y * y < radius * radius


@pytest.mark.parametrize("tolerance", [0.3, 0.7, 1.5])
@pytest.mark.parametrize("seed", range(5))
def test_simplification_stays_within_the_tolerance(seed: int, tolerance: float) -> None:
    mask = disc(15)
    rng = np.random.default_rng(seed)
    edge = mask & ~(np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1))
    mask = mask & ~(edge & (rng.random(mask.shape) < 0.3))
    runs = find_runs(mask.astype(np.uint8))
    label, count = label_runs(runs)
    for polygons in trace(runs, label, count):
        simple = simplify(polygons, tolerance)
        assert sum(len(r) for p in simple for r in p) <= sum(len(r) for p in polygons for r in p)
        for before, after in zip(polygons, simple):
            for ring, reduced in zip(before, after):
                line = ogr.CreateGeometryFromWkt(
                    "LINESTRING(" + ",".join(f"{x} {y}" for x, y in [*reduced, reduced[0]]) + ")"
                )
                for x, y in ring.tolist():
                    point = ogr.CreateGeometryFromWkt(f"POINT({x} {y})")
                    assert line.Distance(point) <= tolerance + 1e-6


def test_slanting_edges_become_straight() -> None:
    """A staircase of 40 steps becomes one edge; the right angles of the others stay."""
    mask = np.tril(np.ones((40, 40), dtype=bool))
    ((ring,),) = simplify(outline(mask), 0.7)
    assert len(ring) <= 6
    assert {(0.0, 40.0), (40.0, 40.0)} <= set(map(tuple, ring.tolist()))


def test_rectangles_keep_their_corners() -> None:
    ((ring,),) = simplify(outline(drawing("......", ".####.", ".####.", ".####.", "......")), 0.7)
    assert sorted(map(tuple, ring.tolist())) == [(1, 1), (1, 4), (5, 1), (5, 4)]
