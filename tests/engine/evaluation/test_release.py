# SPDX-License-Identifier: GPL-3.0-or-later
"""From the weights of a run to model files that load."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from changescribe.engine.classes import CLASS_NAMES
from changescribe.engine.errors import InputError
from changescribe.engine.evaluation import release
from changescribe.engine.evaluation.places import generated
from changescribe.engine.modules.bundled.network import ChangeModel, ModelConfig
from changescribe.engine.paths import MODELS
from changescribe.engine.request import APPEARED, Query
from changescribe.engine.systems.bundled import BundledSystem
from changescribe.engine.training.trainer import WEIGHTS
from changescribe.engine.weights.loading import save_head

pytestmark = pytest.mark.torch

RECIPE = "bundled_open"


def _one_small_scene(system, seeds, log):
    """Score one scene that is smaller than a tile."""
    scene = generated.synthesise(seeds[0], 64, generated.PIXEL_SIZE)
    scores = system.predict(scene.before[None], scene.after[None], generated.QUERIES).scores[0]
    yield generated.ScoredScene(scores, generated._truths(scene))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that has learnt nothing, and a calibration of one small scene."""
    monkeypatch.delenv("CHANGESCRIBE_DATA", raising=False)
    monkeypatch.setattr(release, "scored_scenes", _one_small_scene)
    # Its sentences are as wide as those of the text tower that ships.
    tiny = ModelConfig(backbone="tiny", width=16, detail=8, pretrained=False)
    folder = tmp_path / "run"
    folder.mkdir()
    torch.manual_seed(0)
    save_head(ChangeModel(tiny).state_dict(), folder / WEIGHTS, {"config": asdict(tiny), "step": 7})
    return folder


def test_a_release_without_real_data_loads_and_reports_what_is_missing(run, tmp_path, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("text.onnx", "vocab.txt"):
        (folder / name).write_text("of an older model")
    facts = release.release(run, RECIPE, folder)
    log = capsys.readouterr().err
    assert "buildings and roads come from generated scenes" in log
    assert "the colour residual" in log
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["calibration"]) == {*CLASS_NAMES, "other"}
    assert manifest["steps"] == facts["steps"] == 7
    assert "colour_residual" not in manifest
    for name in ("text.onnx", "vocab.txt"):
        assert (folder / name).read_bytes() == (MODELS / name).read_bytes()
    system = BundledSystem(folder)
    system.load("cpu")
    pair = np.random.default_rng(0).integers(0, 256, (2, 1, 64, 64, 3)).astype(np.uint8)
    scores = system.predict(*pair, [Query("buildings", APPEARED)]).scores
    assert scores.shape == (1, 1, 64, 64)
    assert np.isfinite(scores).all()


def test_a_wrong_data_folder_is_an_error_before_anything_is_written(run, tmp_path, monkeypatch):
    monkeypatch.setenv("CHANGESCRIBE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="CHANGESCRIBE_DATA"):
        release.release(run, RECIPE, tmp_path / "model")
    assert not (tmp_path / "model").exists()
