# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of a recipe set on the command line."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from changescribe.engine.cli import app
from changescribe.engine.errors import InputError
from changescribe.engine.training.overrides import _LOSSES, _MODELS
from changescribe.engine.training.recipe import load_recipe, shipped_names
from changescribe.engine.training.tasks import bundled, lgcd, names, semantic_cc

pytestmark = pytest.mark.torch


def test_values_replace_those_of_the_file():
    values = "steps=7 optimiser.lr=1e-5 data.0.folder=X loss.temperature=2 validation=null "
    values += "model.taps=[1,2,3,4] model.encoder=tiny start_from= data.0.options.a=b"
    recipe = load_recipe("kcfi_substitute", values.split())
    assert (recipe.steps, recipe.optimiser.lr, recipe.data[0].folder) == (7, 1e-5, "X")
    assert recipe.loss == {"temperature": 2, "consensus": 0.5}
    assert (recipe.model["taps"], recipe.model["encoder"]) == ([1, 2, 3, 4], "tiny")
    assert (recipe.validation, recipe.start_from) == (None, "")
    assert recipe.data[0].options == {"a": "b"}
    # Later ones win; a section can be replaced whole.
    recipe = load_recipe("lgcd", ["schedule={name: poly, power: 2}", "crop=64", "crop=96"])
    assert (recipe.schedule.name, recipe.schedule.power, recipe.crop) == ("poly", 2, 96)
    source = load_recipe("mmchange", ["model.text_source.question=What?"]).model["text_source"]
    assert source == {"source": "vlm", "model": "tiny-llava-v1", "question": "What?"}


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ("lr=3", 'no key "lr"', "Did you mean: optimiser.lr?"),
        ("stepz=1", 'no key "stepz"', "Did you mean: steps?"),
        ("model.encodr=x", 'no key "model.encodr"', "Did you mean: model.encoder, model.train_enc"),
        ("loss.temp=2", 'no key "loss.temp"', "loss.temperature"),
        ("data.1.folder=x", 'no key "data.1.folder"', "Did you mean: data.0.folder"),
        ("qwerty=1", 'no key "qwerty"', "Its keys are: accumulate, augment"),
        ("steps", '"steps" does not set a value', "KEY=VALUE"),
        ("steps=[", '"steps=\\[" does not set a value', "KEY=VALUE"),
        ("optimiser.lr=abc", r"optimiser\.lr", "describes every key"),
        ("ema=2", "ema must be", ""),
    ],
)
def test_wrong_values_are_refused_with_near_keys(value, message, hint):
    with pytest.raises(InputError, match=message) as error:
        load_recipe("kcfi_substitute", [value])
    assert hint in error.value.hint


def test_every_task_has_its_settings():
    assert set(_MODELS) == set(names())
    assert _LOSSES["bundled"] == tuple(bundled._WEIGHTS)
    assert _LOSSES["lgcd"] == tuple(lgcd.WEIGHTS)
    assert set(semantic_cc._LENGTHS) < set(_LOSSES["semantic_cc"])
    for name in shipped_names():
        recipe = load_recipe(name)
        keys = [f"model.{key}" for key in recipe.model if not isinstance(recipe.model[key], dict)]
        keys += [f"loss.{key}" for key in recipe.loss]
        for key in keys:
            section, _, part = key.partition(".")
            value = getattr(recipe, section)[part]
            assert load_recipe(name, [f"{key}={value}"]), key


def test_values_on_the_command_line_may_follow_options(tmp_path, capsys):
    for order in (
        ["crp=1", "--data", str(tmp_path)],
        ["--data", str(tmp_path), "crp=1"],
        ["steps=1", "--data", str(tmp_path), "crp=1", "--fresh", "ema=0"],
    ):
        assert app.main(["train", "lgcd", *order]) == 2
        assert "Did you mean: crop?" in capsys.readouterr().err
    for wrong in (["--frsh"], ["word"]):
        with pytest.raises(SystemExit):
            app.main(["train", "lgcd", "--data", str(tmp_path), *wrong])
    assert "unrecognized arguments: word" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        app.main(["doctor", "a=b"])
