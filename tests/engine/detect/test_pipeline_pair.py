# SPDX-License-Identifier: GPL-3.0-or-later
"""Shifted dates, and pixels that must not be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from blobs import ground
from detect_case import run_row
from osgeo import gdal

from changescribe.engine.cli.commands import result_as_json
from changescribe.engine.detect import pipeline
from changescribe.engine.errors import InputError
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.request import ChangeRequest
from changescribe.engine.results.changes_layer import counts_by_key

MakeRaster = Callable[..., str]


@pytest.fixture
def shifted(make_raster: MakeRaster, tmp_path: Path) -> ChangeRequest:
    """AFTER shows the ground 6 pixels further east, and one new building."""
    before, after = ground(), ground(6, 0)
    after[100:120, 106:146] = 255
    return ChangeRequest(
        before=make_raster("b.tif", np.stack([before] * 3)),
        after=make_raster("a.tif", np.stack([after] * 3)),
        prompt="buildings built",
        output=str(tmp_path / "out.gpkg"),
        system="brightness",
        threshold=0.2,
        min_area=0,
    )


def test_a_shift_gives_a_warning_and_stays(
    brightness: InProcessHost, shifted: ChangeRequest
) -> None:
    result = pipeline.detect(shifted, brightness)
    assert result.alignment is not None
    assert result.alignment.state == "shifted"
    assert result.alignment.text in result.warnings
    stored = json.loads(run_row(result.gpkg)["alignment"])
    assert stored == result_as_json(result)["alignment"]
    assert (stored["state"], stored["dy_px"]) == ("shifted", 0)
    assert stored["dx_px"] == pytest.approx(6, abs=0.1)


def test_auto_moves_the_later_raster(brightness: InProcessHost, shifted: ChangeRequest) -> None:
    result = pipeline.detect(replace(shifted, align="auto"), brightness)
    assert result.alignment is not None
    assert result.alignment.state == "moved"
    mask = gdal.Open(result.mask).ReadAsArray()
    changed = np.argwhere(mask == 1)
    # The building where BEFORE has its ground, and nothing else but its edge.
    assert mask[100:120, 100:140].mean() > 0.7
    assert changed.min(axis=0) == pytest.approx((100, 100), abs=1)
    assert changed.max(axis=0) == pytest.approx((119, 139), abs=1)
    # Nothing is known where AFTER ends.
    assert (mask[:, 252:] == 255).all()


def test_alignment_can_be_switched_off(brightness: InProcessHost, shifted: ChangeRequest) -> None:
    result = pipeline.detect(replace(shifted, align="off"), brightness)
    assert (result.alignment, result.warnings) == (None, ())
    assert run_row(result.gpkg)["alignment"] is None
    assert result_as_json(result)["alignment"] is None


def test_an_unknown_alignment_is_refused(brightness: InProcessHost, shifted: ChangeRequest) -> None:
    with pytest.raises(InputError, match='no alignment "maybe"'):
        pipeline.detect(replace(shifted, align="maybe"), brightness)


def test_hidden_ground_is_not_compared(
    brightness: InProcessHost, request_: ChangeRequest, make_raster: MakeRaster
) -> None:
    """The cloud over the new building of AFTER hides it; the one removed is still found."""
    values = np.full((200, 300), 4, np.uint8)
    values[40:80, 90:150] = 9
    mask = make_raster("SCL.tif", values)
    result = pipeline.detect(replace(request_, mask_after=mask), brightness)
    assert counts_by_key(result.counts) == {"buildings|appeared": 0, "buildings|removed": 1}
    found = gdal.Open(result.mask).ReadAsArray()
    assert (found == 255).sum() == 40 * 60
    assert result.hidden == {"mask_after": pytest.approx(0.04)}
    assert result_as_json(result)["hidden"] == result.hidden
    assert "4.0% of the later raster is left out: hidden by its mask." in result.warnings
