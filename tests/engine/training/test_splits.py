# SPDX-License-Identifier: GPL-3.0-or-later
"""Training and evaluation are disjoint: tiles, seeds of scenes, nouns."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from changescribe.engine.evaluation.places.generated import CALIBRATION_SEEDS, EVALUATION_SEEDS
from changescribe.engine.evaluation.places.levir import ABSENT, VALIDATION_TILES
from changescribe.engine.training.captioner import features
from changescribe.engine.training.scenes import datasets, scene_cache, sources
from changescribe.engine.training.scenes.phrases import build_bank

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("layout", ["levir", "levir_captions", "same:levir", "paste:levir:levir"])
def test_training_reads_tiles_1_to_30_and_no_tile_that_is_measured_on(
    layout, tmp_path, monkeypatch
):
    read = set()

    def picture(path: Path) -> np.ndarray:
        read.add(int(re.fullmatch(r"test_(\d+)", path.stem)[1]))
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(sources, "read_rgb", picture)
    monkeypatch.setattr(sources, "geotransform", lambda _: (0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    (tmp_path / "levir").mkdir()
    crops = [
        {"tile": f"test_{number}", "box": [0, 0, 8, 8], "captions": ["houses appear"], "changed": 0}
        for number in range(1, 37)
    ]
    (tmp_path / "levir" / "captions.json").write_text(json.dumps(crops))
    source = datasets.open_source(layout, tmp_path, tmp_path)
    if layout == "levir_captions":
        assert len(source.crops) == 30
    assert read == set(range(1, 31))
    assert list(VALIDATION_TILES) == list(range(31, 37))
    assert read.isdisjoint(VALIDATION_TILES)


def test_the_captioner_learns_from_no_tile_that_is_measured_on():
    assert set(features.TRAINING_TILES).isdisjoint(VALIDATION_TILES)


def test_seeds_of_training_calibration_and_evaluation_are_disjoint():
    # As many scenes as `make model` writes.
    training = range(scene_cache.FIRST_SEED, scene_cache.FIRST_SEED + scene_cache.COUNT)
    for one, other in combinations((training, CALIBRATION_SEEDS, EVALUATION_SEEDS), 2):
        assert len(one) > 0
        assert set(one).isdisjoint(other)


def _nouns() -> list[str]:
    return [text.removeprefix("new ") for text in ABSENT]


def test_absent_things_are_named_by_no_phrase_of_training():
    assert len(set(_nouns())) == 10
    trained = set(build_bank().phrases)
    for noun in _nouns():
        assert trained.isdisjoint({noun, noun.removesuffix("s")}), noun


@pytest.mark.real_data
def test_absent_things_are_mentioned_by_no_caption_of_the_tiles(data_dir):
    captions = json.loads((data_dir / "levir" / "captions.json").read_text(encoding="utf-8"))
    tiles = {f"test_{number}" for number in VALIDATION_TILES}
    text = " ".join(
        text.lower() for row in captions if row["tile"] in tiles for text in row["captions"]
    )
    assert "swimming pool" in text  # which is why it is not counted as absent
    for noun in _nouns():
        assert noun.removesuffix("s") not in text, noun
