# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole evaluation on tiny images, with a system of known answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from osgeo import gdal

from changescribe.engine.evaluation import bundled
from changescribe.engine.evaluation.places import folds
from changescribe.engine.evaluation.places.elsewhere import OtherSet, measure_elsewhere
from changescribe.engine.evaluation.places.generated import GeneratedFigures, ScoredScene
from changescribe.engine.evaluation.places.levir import (
    ABSENT,
    LevirTile,
    PromptFigures,
    score_tiles,
)
from changescribe.engine.evaluation.report import markdown
from changescribe.engine.evaluation.robustness.harder_pairs import measure_robustness
from changescribe.engine.request import APPEARED
from changescribe.engine.systems.base import ChangeSystem, SystemInfo, TilePrediction
from changescribe.engine.training.recipe import load_recipe

pytestmark = pytest.mark.torch

SIDE = 128


class _Brighter(ChangeSystem):
    """Finds brighter pixels as buildings, and nothing else."""

    info = SystemInfo("bright", "", "", (0.5, 1.0), ("building",), 64, 16, 1, "r1", "")
    device = "CPU (test)"

    def load(self, device: str = "auto") -> None:
        """Do nothing."""

    def predict(self, before, after, queries, hints=None):
        """Return the rise in red for words for buildings."""
        rise = (after[..., 0].astype(np.float32) - before[..., 0]) / 255
        planes = [
            np.clip(rise if query.direction == APPEARED else -rise, 0, 1)
            * query.object.startswith(("building", "house", "home"))
            for query in queries
        ]
        return TilePrediction(np.stack(planes, 1).astype(np.float32))


def _pair(changed: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return dark ground before, a bright square after, and its label."""
    before = np.full((SIDE, SIDE, 3), 20, np.uint8)
    after, label = before.copy(), np.zeros((SIDE, SIDE), np.uint8)
    after[changed], label[changed] = 230, 1
    return before, after, label


def _write(path: Path, array: np.ndarray, west: float | None = None) -> None:
    """Write an image; with a place where ``west`` is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = np.atleast_3d(array)
    raster = gdal.GetDriverByName("GTiff").Create(
        str(path), bands.shape[1], bands.shape[0], bands.shape[2], gdal.GDT_Byte
    )
    if west is not None:
        raster.SetGeoTransform((west, 1.0, 0.0, 100.0, 0.0, -1.0))
        raster.SetProjection("EPSG:32614")
    for number in range(bands.shape[2]):
        raster.GetRasterBand(number + 1).WriteArray(bands[..., number])


def _levir_tile() -> LevirTile:
    return LevirTile(31, *_pair(np.s_[10:50, 10:50]), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0))


def test_prompts_are_read_as_a_user_types_them_and_swapped_dates_swap_the_answers():
    figures = PromptFigures()
    for scored in score_tiles(_Brighter(), [_levir_tile()]):
        figures.add(scored)
    found = figures.figures()
    assert {row["f1"] for row in found["built"].values()} == {1.0}
    assert found["dates_swapped"]["buildings|removed"]["f1"] == 1
    assert found["dates_swapped"]["buildings|appeared"]["found_share"] == 0
    assert found["demolished_share"] == found["absent_share_mean"] == 0
    assert set(found["absent_share"]) == set(ABSENT)


def test_foreign_pairs_go_through_the_pipeline_onto_the_grid_of_the_labels(tmp_path):
    before, after, label = _pair(np.s_[30:60, 40:80])
    folder = tmp_path / "set" / "place"
    _write(folder / "before.tif", before, 5000.0)
    _write(folder / "label.tif", label, 5000.0)
    _write(folder / "after.tif", after[:, 8:], 5008.0)  # starts 8 pixels further east
    what = OtherSet("set", "buildings built")
    (tmp_path / "set" / "seen").mkdir()
    systems = {"place": _Brighter(), "seen": None}
    figures, rows = measure_elsewhere(systems.get, tmp_path, what, lambda _: None)
    assert figures["not_measured"] == ["seen"]
    assert figures["model"]["f1"] == 1
    assert figures["cva_otsu"]["f1"] == 1
    assert figures["best_f1"] == 1
    assert figures["places"]["place"]["model"]["iou"] == 1
    assert len(rows) == 1


def test_two_folds_leave_out_every_place_once(tmp_path):
    for place in (
        "oscd/bercy",
        "oscd/nantes",
        "oscd/abudhabi",
        "airchange/Szada_1",
        "airchange/Szada_2",
        "airchange/Tiszadob_1",
    ):
        (tmp_path / place).mkdir(parents=True)
    found = list(folds.folds(tmp_path))
    assert found == [
        {"oscd": ["abudhabi", "nantes"], "airchange": ["Szada"]},
        {"oscd": ["bercy"], "airchange": ["Tiszadob"]},
    ]
    fold = folds.without(load_recipe("bundled_elsewhere"), found[0], "one")
    assert fold.name == "bundled_elsewhere_one"
    layouts = {spec.layout for spec in fold.data}
    assert {"oscd-abudhabi+nantes", "airchange-Szada", "levir"} <= layouts
    assert not {"oscd", "airchange"} & layouts


def test_robustness_of_a_system_that_looks_at_nothing_but_brightness(monkeypatch):
    names = ("earlier date shifted by 2 px", "later date 30 % brighter")
    from changescribe.engine.evaluation.robustness import harder_pairs

    kept = {name: harder_pairs.DISTURBANCES[name] for name in names}
    monkeypatch.setattr(harder_pairs, "DISTURBANCES", kept)
    found = measure_robustness(_Brighter(), [_levir_tile()], lambda _: None)
    assert found[names[0]]["f1"] == 1  # there is nothing to be shifted in the earlier date
    assert found[names[1]]["f1"] == 1
    assert found["0.5 x resolution"]["f1"] > 0.9
    assert found["2 x resolution"]["f1"] > 0.9


def test_generated_scenes_are_counted_by_query_and_class():
    truths = np.zeros((12, 4, 4), bool)
    truths[0, :2] = truths[3, 2:] = True
    calibration = {
        name: {"scale": 1.0, "bias": 0.0}
        for name in ("building", "road", "tree", "grass", "water", "bare ground")
    }
    figures = GeneratedFigures(calibration)
    figures.add(ScoredScene(truths.astype(np.float32), truths))
    assert figures.figures()["buildings|appeared"]["f1"] == 1
    assert figures.figures()["roads|removed"]["f1"] == 1
    assert figures.raw["building"].right.sum() == 8
    assert figures.raw["building"].wrong.sum() == 24


class _Difference:
    """Replaces the class branch, always correct."""

    def __init__(self, folder: Path) -> None:
        """Read nothing."""

    def score(self, tile: LevirTile, name: str) -> np.ndarray:
        """Return the label."""
        return tile.label.astype(np.float32)


def test_an_evaluation_writes_figures_a_report_and_pictures(tmp_path, monkeypatch, capsys):
    data, model, out = tmp_path / "data", tmp_path / "model", tmp_path / "out"
    parts = ("before", "after", "label")
    for part, array in zip(parts, _pair(np.s_[10:50, 10:50]), strict=True):
        _write(data / "levir" / part / "test_31.tif", array)
        _write(data / "oscd" / "city" / f"{part}.tif", array, 5000.0)
        _write(data / "airchange" / "site" / f"{part}.tif", array)
    built, nothing = ["a house is built"] * 5, ["there is no difference"] * 5
    captions = [
        {"tile": "test_31", "box": [x, x, x + 8, x + 8], "captions": built if x < 50 else nothing}
        for x in range(8, 88, 3)
    ]
    (data / "levir" / "captions.json").write_text(json.dumps(captions))
    model.mkdir()
    identity = {"other": {"scale": 1.0, "bias": 0.0}}
    (model / "manifest.json").write_text(json.dumps({"calibration": identity}))
    monkeypatch.setattr(bundled, "BundledSystem", lambda _: _Brighter())
    monkeypatch.setattr(bundled, "ClassDifference", _Difference)
    monkeypatch.setattr(bundled, "VALIDATION_TILES", (31,))
    monkeypatch.setattr(bundled, "EVALUATION_SEEDS", ())
    figures = bundled.evaluate(data, out, model, quick=True)
    assert json.loads((out / "figures.json").read_text()) == figures
    assert figures["levir_31_36"]["captions"]["buildings|appeared"]["auc"] == 1
    assert figures["levir_31_36"]["captions"]["buildings|removed"]["dates_swapped"]
    assert figures["oscd"]["model"]["f1"] == figures["airchange"]["model"]["f1"] == 1
    assert figures["baselines_on_levir"]["class_difference"]["buildings"]["f1"] == 1
    assert "robustness" not in figures
    report = (out / "report.md").read_text()
    assert "| LEVIR 31-36, buildings built, F1 | at least 0.9 | 1.000 | yes |" in report
    for row in ("dates swapped, buildings removed", "dates swapped: distance in F1"):
        assert f"| {row} (equal by construction) |" in report
    assert "| swapped (equal by construction) |" in report
    assert report.count("consistency check") == 2
    captured = capsys.readouterr()
    assert captured.out == report
    assert "LEVIR tile 31" in captured.err
    sheets = sorted(path.name for path in out.glob("*.jpg"))
    assert sheets == [
        "airchange.jpg",
        "levir_buildings.jpg",
        "levir_roads.jpg",
        "levir_trees.jpg",
        "oscd.jpg",
    ]
    seen = {**figures, "oscd": {**figures["oscd"], "places": {}, "not_measured": ["city"]}}
    assert "OSCD: F1 above CVA + Otsu" in report
    assert "OSCD: F1 above CVA + Otsu" not in markdown(seen)
    assert "and not measured: city." in markdown(seen)
