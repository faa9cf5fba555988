# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores that are noise: bounded in time and memory, with a warning."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
import pytest
from osgeo import ogr
from region_case import Case

from changescribe.engine.regions import components, extraction, sieve
from changescribe.engine.request import Query

HOUSES = Query("houses", "appeared")


@pytest.fixture
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of 8 rows, so that small rasters have several."""
    monkeypatch.setattr(extraction, "_STRIP_PIXELS", 1)
    monkeypatch.setattr(extraction, "_STRIP_STEP", 8)


@pytest.mark.usefixtures("small_strips")
def test_the_shortest_pieces_of_noise_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strips of 8 rows; the second has too many runs."""
    monkeypatch.setattr(sieve, "_MAX_RUNS", 20)
    plane = np.zeros((24, 40))
    plane[::2, 0:3] = plane[8:16, 10::2] = 200
    plane[9:13, 20:30] = 200
    case = Case(tmp_path, [plane], [HOUSES])
    summary = case.build(min_area=0.0)
    assert summary.narrowest == 2
    mask = case.values()
    assert (mask[0:8, 0:3] == plane[0:8, 0:3] / 200).all()  # the other strips keep all
    assert (mask[8:16:2, 0:3] == 1).all()
    assert not mask[8, 10:].any()
    assert (mask[9:13, 20:30] == 1).all()
    assert len(case.extract()) == summary.regions


@pytest.mark.usefixtures("small_strips")
def test_too_many_regions_raise_the_minimum_area(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = np.zeros((24, 60))
    plane[::2, ::2] = 200  # 360 specks of one pixel
    plane[4:10, 4:20] = plane[12:14, 30:50] = 200
    case = Case(tmp_path, [plane], [HOUSES])
    assert case.build(min_area=0.0).least_px == 0
    monkeypatch.setattr(sieve, "_MAX_REGIONS", 5)  # of three strips: 15
    summary = case.build(min_area=0.0)
    assert summary.least_px == 2
    assert summary.regions == len(case.extract()) == 2
    assert np.count_nonzero(case.values()) == summary.changed_px


@pytest.mark.usefixtures("small_strips")
def test_a_region_with_too_many_runs_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components, "_MAX_HELD", 10)
    plane = np.full((32, 6), 200)
    case = Case(tmp_path, [plane], [HOUSES])
    assert case.build().regions == 1
    parts = case.extract(simplify=0)
    assert [part.region.area_px for part in parts] == [96, 96]
    assert sum(ogr.CreateGeometryFromWkb(part.wkb).GetArea() for part in parts) == 25 * plane.size


@pytest.mark.slow
def test_pure_noise_is_bounded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    plane = np.where(rng.random((4000, 4000), dtype=np.float32) < 0.5, 200, 0).astype(np.uint8)
    case = Case(tmp_path, [plane], [HOUSES])
    used, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    summary = case.build()
    found = sum(1 for _ in extraction.extract(case.components, case.grid, case.queries))
    assert time.process_time() - start < 180  # without the bounds: many minutes
    assert found == summary.regions
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 1e6  # kB


@pytest.mark.slow
def test_noise_takes_seconds_and_little_memory(tmp_path: Path) -> None:
    """4000 x 4000 pixels of noise: hundreds of thousands of specks, thousands of which stay."""
    tick = time.process_time
    rng = np.random.default_rng(0)
    plane = np.where(rng.random((4000, 4000), dtype=np.float32) < 0.04, 200, 0).astype(np.uint8)
    case = Case(tmp_path, [plane], [HOUSES])
    used, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, tick()
    summary = case.build()
    assert tick() - start < 30
    start = tick()
    found = sum(1 for _ in extraction.extract(case.components, case.grid, case.queries))
    assert tick() - start < 120
    assert found == summary.regions > 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 1.5e6  # kB
