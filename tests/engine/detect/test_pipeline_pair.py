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
from detect_case import run_row, scene
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
    with pytest.raises(InputError, match='"maybe" is not a value of "align"'):
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
    assert result.hidden["mask_after"] == pytest.approx(0.04)
    assert "clouds_after" not in result.hidden
    assert result_as_json(result)["hidden"] == result.hidden
    assert "4.0% of the later raster is left out: hidden by its mask." in result.warnings


def test_deep_shadow_is_reported(
    brightness: InProcessHost, request_: ChangeRequest, make_raster: MakeRaster
) -> None:
    after = scene(level=80)
    after[:, :, :30] = 5
    request = replace(
        request_, before=make_raster("b.tif", scene(level=80)), after=make_raster("a.tif", after)
    )
    result = pipeline.detect(request, brightness)
    assert result.hidden["dark_after"] == pytest.approx(0.1)
    assert result.hidden["dark_before"] == 0
    assert "10% of the later raster is in deep shadow" in " ".join(result.warnings)


def test_clouds_and_their_shadows_are_left_out(
    brightness: InProcessHost, tmp_path: Path, make_raster: MakeRaster
) -> None:
    """A cloud of 400 m and its shadow, 500 m away, at 10 m; a white roof of 80 m stays."""
    before = np.stack([700 + ground().astype(np.uint16) * 4] * 3)
    after = before.copy()
    after[:, 60:100, 60:100] = np.array([6000, 6200, 6500])[:, None, None]
    after[:, 110:150, 90:130] //= 2
    after[:, 200:208, 200:208] = 6000
    places = {"geotransform": (500000.0, 10, 0.0, 5000000.0, 0.0, -10)}
    request = ChangeRequest(
        before=make_raster("b.tif", before, **places),
        after=make_raster("a.tif", after, **places),
        prompt="buildings built",
        output=str(tmp_path / "out.gpkg"),
        system="brightness",
    )
    result = pipeline.detect(request, brightness)
    mask = gdal.Open(result.mask).ReadAsArray()
    assert (mask[60:100, 60:100] == 255).all()
    assert (mask[112:148, 92:128] == 255).all()
    assert (mask == 255).mean() == pytest.approx(3200 / 256**2, rel=0.5)
    assert (mask[202:206, 202:206] == 1).all()
    assert result.count == 1
    assert result.hidden["clouds_after"] == pytest.approx(1600 / 256**2, rel=0.5)
    assert "clouds_before" not in result.hidden
    assert any(
        text.startswith("Left out of the later raster: clouds (") for text in result.warnings
    )
    kept = pipeline.detect(replace(request, clouds="off", overwrite=True), brightness)
    assert (gdal.Open(kept.mask).ReadAsArray() != 255).all()
    assert "clouds_after" not in kept.hidden


@pytest.mark.parametrize("option", ["nodata", "device", "clouds", "align"])
def test_an_option_that_is_none_of_the_known_words(option: str) -> None:
    request = ChangeRequest("a.tif", "b.tif", "roads", "out.gpkg", **{option: "perhaps"})
    with pytest.raises(InputError, match=f'"perhaps" is not a value of "{option}"'):
        pipeline.detect(request)
