# SPDX-License-Identifier: GPL-3.0-or-later
"""The threshold of the colour residual: no place is measured with one fitted on it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from osgeo import gdal

from changescribe.engine.evaluation.places import colour_residual
from changescribe.engine.request import SCORE_SCALE

pytestmark = pytest.mark.torch

PLACES = ("oscd/bercy", "oscd/nantes", "airchange/Szada_1", "airchange/Tiszadob_1")
#: Amount from which ground is changed, by place.
LEAST = {"bercy": 2.0, "nantes": 4.0, "Szada_1": 2.0, "Tiszadob_1": 4.0}


class _Model:
    """Replaces the bundled model."""

    info = type("Info", (), {"name": "model"})
    loaded = False

    def __init__(self, folder: Path) -> None:
        self.folder, self.residual_map = folder, {}

    def load(self, device: str) -> None:
        self.loaded = True


def _amounts() -> np.ndarray:
    return np.geomspace(0.5, 10, 4000).reshape(40, 100)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Places whose scores are those of :func:`_amounts`."""
    for name in PLACES:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        raster = gdal.GetDriverByName("GTiff").Create(str(folder / "label.tif"), 100, 40, 3)
        raster.GetRasterBand(1).WriteArray((_amounts() >= LEAST[folder.name]).astype(np.uint8))

    def detection(host, name, folder, text):
        score = np.rint(_amounts() / (1 + _amounts()) * SCORE_SCALE).astype(np.uint8)
        return np.zeros_like(score), score

    monkeypatch.setattr(colour_residual, "run_detection", detection)
    monkeypatch.setattr(colour_residual, "OneSystemHost", lambda system: system)
    monkeypatch.setattr(colour_residual, "BundledSystem", _Model)
    return tmp_path


def _threshold(table: dict[str, float]) -> float:
    return math.exp(-table["bias"] / table["scale"])


def test_a_threshold_is_fitted_on_the_places_that_it_does_not_leave_out(data):
    table = colour_residual.fit_colour_residual(data, data)
    one, other = table["left_out"]
    assert one["places"] == ["bercy", "Szada"]
    assert other["places"] == ["nantes", "Tiszadob"]
    assert _threshold(one) == pytest.approx(4.0, rel=0.08)
    assert _threshold(other) == pytest.approx(2.0, rel=0.08)
    assert 1.9 < _threshold(table) < 4.2


def test_a_place_is_measured_with_a_threshold_that_left_it_out(data):
    table = colour_residual.fit_colour_residual(data, data)
    manifest = {"sources": ["levir (restricted)"], colour_residual.KEY: table}
    (data / "manifest.json").write_text(json.dumps(manifest))
    choose = colour_residual.unbiased_chooser(_Model(data), data, None)
    chosen = choose("Szada_3")
    assert chosen.loaded
    assert _threshold(chosen.residual_map) == pytest.approx(4.0, rel=0.08)
    assert _threshold(choose("nantes").residual_map) == pytest.approx(2.0, rel=0.08)
    shipped = _Model(data)
    # The shipped threshold was not fitted on a new place either.
    assert colour_residual.unbiased_chooser(shipped, data, None)("paris") is shipped


def test_a_model_without_it_is_measured_as_it_is(data):
    system = _Model(data)
    (data / "manifest.json").write_text(json.dumps({"sources": ["levir (restricted)"]}))
    assert colour_residual.unbiased_chooser(system, data, None)("bercy") is system


def test_a_model_trained_on_the_places_gives_way_to_those_that_were_not(data, tmp_path):
    trained = {
        "sources": ["oscd (restricted)"],
        colour_residual.KEY: colour_residual.fit_colour_residual(data, data),
    }
    (data / "manifest.json").write_text(json.dumps(trained))
    out = tmp_path / "folds"
    assert colour_residual.unbiased_chooser(_Model(data), data, None)("bercy") is None
    assert colour_residual.unbiased_chooser(_Model(data), data, out)("bercy") is None
    for name, left_out in (("one", ["bercy", "Szada"]), ("other", ["nantes", "Tiszadob"])):
        (out / name).mkdir(parents=True)
        facts = {"left_out": {"oscd": left_out[:1], "airchange": left_out[1:]}}
        (out / name / "manifest.json").write_text(json.dumps(facts))
    shipped = _Model(data)
    choose = colour_residual.unbiased_chooser(shipped, data, out)
    chosen = choose("Tiszadob_2")
    assert chosen.folder == out / "other"
    assert chosen.loaded
    # The threshold of the other half of the places was fitted without this half.
    assert _threshold(chosen.residual_map) == pytest.approx(2.0, rel=0.08)
    assert choose("bercy").folder == out / "one"
    assert choose("paris") is shipped
    without_table = {"sources": ["oscd (restricted)"]}
    (data / "manifest.json").write_text(json.dumps(without_table))
    # It is unknown which places it has seen.
    assert colour_residual.unbiased_chooser(shipped, data, None)("paris") is None
    assert colour_residual.unbiased_chooser(shipped, data, out)("bercy").residual_map is None
