# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptions made before the training: described, given, and read by both systems."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")
from PIL import Image

from changescribe.engine.cli import main
from changescribe.engine.device import Device
from changescribe.engine.errors import InputError
from changescribe.engine.modules.mmchange.config import MMChangeConfig
from changescribe.engine.systems import text_sources
from changescribe.engine.systems.mmchange import needed_for_text
from changescribe.engine.systems.text_sources import TextSource, create
from changescribe.engine.training.pairs import open_pairs
from changescribe.engine.training.pairs.crops import exchanged
from changescribe.engine.training.recipe import load_recipe
from changescribe.engine.training.tasks.mmchange import MmchangeTask
from changescribe.engine.training.tasks.textscd import TextscdTask

pytestmark = pytest.mark.torch


class Brightness(TextSource):
    """Describes the brightness of the images."""

    name = "brightness"

    def describe(self, scene):
        return " to ".join(str(int(image.mean())) for image in scene)


@pytest.fixture(name="recipe")
def fixture_recipe(tmp_path):
    """A recipe of a task, and one pair of its data."""
    for part, value in (("A", 40), ("B", 90), ("label", 255)):
        (tmp_path / "set" / "train" / part).mkdir(parents=True)
        image = Image.fromarray(np.full((32, 32, 3), value, np.uint8))
        image.save(tmp_path / "set" / "train" / part / "1.png")

    def write(task: str):
        path = tmp_path / f"{task}.yaml"
        path.write_text(
            f"{{name: small, task: {task}, steps: 2, batch_size: 2, crop: 32, "
            "model: {tiny: true, text_source: {source: vlm}}, "
            "data: [{layout: levir_cd, folder: set, split: train}]}"
        )
        return path

    return write


@pytest.mark.parametrize(
    ("task", "texts"), [("mmchange", ["40", "90"]), ("textscd", ["40 to 90", "90 to 40"])]
)
def test_images_are_described_once_and_the_file_is_a_source(
    tmp_path, recipe, monkeypatch, task, texts
):
    monkeypatch.setattr(text_sources, "create", lambda *_: Brightness())
    out, path = tmp_path / "texts.json", recipe(task)
    for _ in range(2):
        assert main(["build", "descriptions", str(path), str(out), "--data", str(tmp_path)]) == 0
        assert list(json.loads(out.read_text())["texts"].values()) == texts
    monkeypatch.undo()
    settings = {"tiny": True, "text_source": {"source": "file", "file": str(out)}}
    pair = open_pairs(load_recipe(path).data[0], tmp_path).read(0)
    if task == "mmchange":
        reader = MmchangeTask(tmp_path / "cache")
        reader.build(settings)
        sample = reader.sample(pair, np.random.default_rng(0))
        assert np.linalg.norm(sample["text_before"]) == pytest.approx(1, abs=1e-3)
        assert not np.allclose(sample["text_before"], sample["text_after"])
    else:
        reader = TextscdTask(tmp_path / "cache")
        reader.build(settings)
        assert [reader._described(p) for p in (pair, exchanged(pair))] == texts
    source = create(settings["text_source"])
    other = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(InputError, match="no text for one of the images"):
        source.describe([other])
    quiet = create({**settings["text_source"], "otherwise": {"source": "none"}})
    assert quiet.describe([other]) == ""


def test_texts_made_elsewhere_are_matched_by_name(tmp_path, recipe, capsys):
    out, given = tmp_path / "texts.json", tmp_path / "given.json"

    def build(task: str) -> int:
        arguments = [str(recipe(task)), str(out), "--texts", str(given), "--data", str(tmp_path)]
        return main(["build", "descriptions", *arguments])

    given.write_text(json.dumps({"A/1.png": "grass"}))
    assert build("mmchange") == 2
    assert 'none for "B/1.png"' in capsys.readouterr().err
    given.write_text(json.dumps({"A/1.png": "grass", "B/1": "roofs"}))
    assert build("mmchange") == 0
    assert list(json.loads(out.read_text())["texts"].values()) == ["grass", "roofs"]
    out.unlink()
    given.write_text(json.dumps({"1.png": "houses were built"}))
    assert build("textscd") == 0
    assert list(json.loads(out.read_text())["texts"].values()) == ["houses were built", ""]
    given.write_text("[]")
    assert build("textscd") == 2
    assert build("lgcd") == 2
    assert "reads no descriptions" in capsys.readouterr().err


def test_a_missing_file_and_a_model_on_a_gpu_in_a_reader_are_errors(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot be read"):
        create({"source": "file", "file": str(tmp_path / "none.json")})
    monkeypatch.setattr("torch.utils.data.get_worker_info", lambda: "a reader")
    monkeypatch.setattr(
        "changescribe.engine.device.choose", lambda name: Device("cuda", "bfloat16", "a GPU")
    )
    with pytest.raises(InputError, match="cannot use the GPU") as error:
        create({"source": "vlm"}).describe([np.zeros((8, 8, 3), np.uint8)])
    assert "build descriptions" in error.value.hint


def test_weights_of_the_other_source_are_needed():
    source = {"source": "file", "file": "a.json", "otherwise": {"source": "labels"}}
    config = MMChangeConfig(text_source=source)
    assert needed_for_text(config) == ("clip-vit-b-32-openai",)
