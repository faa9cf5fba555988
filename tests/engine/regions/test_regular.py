# SPDX-License-Identifier: GPL-3.0-or-later
"""Right angles of buildings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from region_case import Case, grid_of

from changescribe.engine.raster.runs import find_runs
from changescribe.engine.regions.outline import Polygon, enclosed, from_wkb, trace
from changescribe.engine.regions.regular import regular
from changescribe.engine.request import OUTLINE_MODES, Query

HOUSES = Query("houses", "appeared")


def traced(mask: np.ndarray) -> list[Polygon]:
    runs = find_runs(mask.astype(np.uint8))
    return trace(runs, np.zeros(len(runs), np.int64), 1)[0]


def turned(width: float, height: float, degrees: float, side: int = 80) -> np.ndarray:
    """Return the pixels of a rectangle, turned about the centre of a square."""
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    u, v = x * cos + y * sin, y * cos - x * sin
    return (abs(u) < width / 2) & (abs(v) < height / 2)


def corners_deg(ring: np.ndarray) -> np.ndarray:
    """Return the angles between neighbouring sides, in degrees from 0 to 180."""
    step = np.roll(ring, -1, axis=0) - ring
    ahead = np.roll(step, -1, axis=0)
    cosine = (step * ahead).sum(1) / np.hypot(*step.T) / np.hypot(*ahead.T)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize("degrees", [0, 12, 30, 45, 71])
def test_a_turned_rectangle(degrees):
    mask = turned(40, 24, degrees)
    (polygon,) = regular(traced(mask), (0.5, 0.5))
    (ring,) = polygon
    assert len(ring) == 4
    assert corners_deg(ring) == pytest.approx(90, abs=0.01)
    step = np.roll(ring, -1, axis=0) - ring
    sides = sorted(np.hypot(*step.T))
    assert sides == pytest.approx([24, 24, 40, 40], abs=1.0)
    angle = math.degrees(math.atan2(*step[np.hypot(*step.T).argmax()][::-1])) % 180
    assert min(abs(angle - degrees), 180 - abs(angle - degrees)) < 2
    assert enclosed([polygon]) == pytest.approx(mask.sum(), rel=0.01)


def test_an_l_keeps_its_wing_and_a_courtyard_stays():
    mask = np.zeros((70, 70), bool)
    mask[10:60, 10:30] = mask[40:60, 10:60] = True
    mask[48:54, 14:24] = False
    (polygon,) = regular(traced(mask), (0.5, 0.5))
    assert [len(ring) for ring in polygon] == [6, 4]
    assert enclosed([polygon]) == pytest.approx(mask.sum(), rel=0.01)


def test_ragged_walls_become_straight():
    """Notches of 3 pixels, 1.5 pixels deep."""
    y, x = np.mgrid[:80, :80]
    ragged = turned(37, 21, 20) | (turned(40, 24, 20) & ((x + y) // 3 % 2 == 0))
    (polygon,) = regular(traced(ragged), (0.5, 0.5))
    assert [len(ring) for ring in polygon] == [4]


def test_pixels_that_are_not_square():
    """Pixels of 0.5 x 0.6 m: right angles are those on the ground."""
    y, x = np.mgrid[:80, :80] + 0.5 - 40.0
    u, v = (x * 0.5 + y * 0.6) / math.sqrt(2), (y * 0.6 - x * 0.5) / math.sqrt(2)
    mask = (abs(u) < 9) & (abs(v) < 6)
    (polygon,) = regular(traced(mask), (0.5, 0.6))
    assert corners_deg(polygon[0] * [0.5, 0.6]) == pytest.approx(90, abs=0.01)


def test_a_round_tank_stays_round():
    y, x = np.mgrid[:60, :60] - 29.5
    assert regular(traced(np.hypot(x, y) < 20), (0.5, 0.5)) is None


def outlines(tmp_path, query=HOUSES, pixel=0.5, mode=OUTLINE_MODES[0]):
    score = turned(40, 24, 30) * 200.0
    case = Case(tmp_path, [score], [query], grid_of(80, 80, pixel))
    case.build()
    (shape,) = case.extract(outlines=mode)
    return shape, from_wkb(shape.wkb)[0][0]


def test_houses_have_right_angles_in_fine_pixels_alone(tmp_path):
    shape, ring = outlines(tmp_path)
    assert corners_deg(ring) == pytest.approx(90, abs=0.01)
    assert shape.region.area_m2 == pytest.approx(40 * 24 / 4, rel=0.02)
    _, coarse = outlines(tmp_path, pixel=2.0)
    assert not np.allclose(corners_deg(coarse), 90, atol=0.01)


@pytest.mark.parametrize(
    ("query", "mode"),
    [(Query("ponds", "appeared"), OUTLINE_MODES[0]), (HOUSES, OUTLINE_MODES[1])],
)
def test_other_outlines_are_free(tmp_path, query, mode):
    _, ring = outlines(tmp_path, query, mode=mode)
    assert not np.allclose(corners_deg(ring), 90, atol=0.01)
