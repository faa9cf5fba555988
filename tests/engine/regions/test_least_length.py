# SPDX-License-Identifier: GPL-3.0-or-later
"""Roads and other lines shorter than 25 m are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from region_case import Case, grid_of

from changescribe.engine.raster.grid import PIXEL_GEOTRANSFORM, Grid
from changescribe.engine.regions import extraction
from changescribe.engine.request import Query

ROADS = Query("roads", "appeared")


@pytest.fixture
def _small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of 8 rows, so that small rasters have several."""
    monkeypatch.setattr(extraction, "_STRIP_PIXELS", 1)
    monkeypatch.setattr(extraction, "_STRIP_STEP", 8)


def test_short_pieces_of_lines_are_left_out(tmp_path: Path) -> None:
    roads, houses = np.zeros((40, 80)), np.zeros((40, 80))
    roads[2:5, 2:26] = 200  # 24 m along, 24.2 m from corner to corner
    roads[10:13, 2:27] = 200  # 25 m along
    houses[20:24, 2:10] = 200
    queries = [ROADS, Query("houses", "appeared")]
    case = Case(tmp_path, [roads, houses], queries, grid_of(80, 40, 1.0))
    summary = case.build()
    assert (summary.regions, summary.dropped, summary.short) == (2, 1, 1)
    assert not case.values()[:8].any()
    assert [shape.region.object for shape in case.extract()] == ["roads", "houses"]
    assert case.build(min_area=30.0).regions == 2
    assert case.build(min_area=0.0).regions == 3  # explicitly everything


@pytest.mark.usefixtures("_small_strips")
def test_length_is_measured_over_strips(tmp_path: Path) -> None:
    roads = np.zeros((40, 40))
    roads[4:36, 4:6] = 200  # 32 m through five strips
    roads[20:36, 20:22] = 200  # 16 m through three
    summary = Case(tmp_path, [roads], [ROADS], grid_of(40, 40, 1.0)).build()
    assert (summary.regions, summary.short) == (1, 1)


def test_lines_without_georeference_have_no_least_length(tmp_path: Path) -> None:
    plane = np.zeros((10, 10))
    plane[5, :4] = 200
    case = Case(tmp_path, [plane], [ROADS], Grid(10, 10, PIXEL_GEOTRANSFORM, ""))
    assert case.build().regions == 1
