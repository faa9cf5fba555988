# SPDX-License-Identifier: GPL-3.0-or-later
"""Touching objects become regions of their own."""

from __future__ import annotations

import numpy as np
import pytest
from region_case import Case, grid_of

from changescribe.engine import regions
from changescribe.engine.regions.separation import parts_of
from changescribe.engine.request import Query

BUILDINGS = Query("buildings", "appeared")


def _two_houses() -> np.ndarray:
    """Return scores of two houses, 20 x 20 and 20 x 30 pixels, joined by a neck 4 pixels wide."""
    score = np.zeros((40, 80), np.uint8)
    score[10:30, 10:30] = 200
    score[10:30, 34:64] = 240
    score[18:22, 30:34] = 180
    return score


def test_a_narrow_neck_parts_two_houses():
    labels = parts_of(_two_houses() > 0, 50)
    assert labels.max() == 2
    assert labels[20, 15] != labels[20, 50]
    sizes = sorted(np.bincount(labels.ravel())[1:].tolist())
    assert sum(sizes) == 20 * 20 + 20 * 30 + 4 * 4  # no pixel is lost
    assert 400 <= sizes[0] <= 416


@pytest.mark.parametrize(
    "shape",
    [
        np.s_[5:35, 5:60],  # a rectangle
        np.s_[18:22, 2:78],  # a thin bar
    ],
)
def test_one_object_stays_one(shape):
    mask = np.zeros((40, 80), bool)
    mask[shape] = True
    assert parts_of(mask, 50).max() == 1


def test_a_wide_junction_stays_one():
    """An L: the wing is as wide as where it joins the house."""
    mask = np.zeros((60, 60), bool)
    mask[5:55, 5:25] = True
    mask[35:55, 5:55] = True
    assert parts_of(mask, 50).max() == 1


def test_a_part_that_is_too_small_stays():
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:30] = True
    mask[19:21, 30:33] = True
    mask[16:24, 33:41] = True  # a shed of 64 pixels
    assert parts_of(mask, 65).max() == 1
    assert parts_of(mask, 60).max() == 2


def _separated(tmp_path, score, query=BUILDINGS, pixel=0.5, classes=None):
    case = Case(tmp_path, [score], [query], grid_of(score.shape[1], score.shape[0], pixel))
    case.build()
    mask = case.values()
    with regions.Separator(case.score, case.grid, case.queries, classes) as separator:
        shapes = case.extract(separator=separator)
    assert np.array_equal(case.values(), mask)
    return shapes, separator.added


def test_two_houses_are_two_regions_with_their_own_facts(tmp_path):
    shapes, added = _separated(tmp_path, _two_houses())
    assert added == 1
    first, second = (shape.region for shape in shapes)
    assert first.area_px + second.area_px == 1016
    # Of 254, with a few pixels of the neck on either side.
    assert first.score == pytest.approx(200 / 254, abs=0.01)
    assert second.score == pytest.approx(240 / 254, abs=0.01)
    assert first.area_m2 == pytest.approx(100, rel=0.06)
    assert second.area_m2 == pytest.approx(150, rel=0.06)


def test_without_a_separator_they_are_one(tmp_path):
    case = Case(tmp_path, [_two_houses()], [BUILDINGS], grid_of(80, 40, 0.5))
    case.build()
    assert [shape.region.area_px for shape in case.extract()] == [1016]


def test_water_and_coarse_pixels_are_not_separated(tmp_path):
    score = _two_houses()
    assert _separated(tmp_path, score, Query("water", "appeared"))[1] == 0
    assert _separated(tmp_path, score, pixel=10.0)[1] == 0


def test_regions_keep_the_order_of_their_first_pixels(tmp_path):
    score = np.zeros((90, 80), np.uint8)
    score[:40] = _two_houses()
    score[50:90] = _two_houses()
    shapes, added = _separated(tmp_path, score)
    assert added == 2
    tops = [shape.region.bounds[3] for shape in shapes]
    assert tops == sorted(tops, reverse=True)
