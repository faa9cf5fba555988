# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: typed, with errors that say which key is wrong."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from changescribe.engine.errors import InputError
from changescribe.engine.training.recipe import RECIPES, load_recipe, save_recipe
from changescribe.engine.training.tasks import create, names

pytestmark = pytest.mark.torch

GOOD = "name: a\ntask: lgcd\nsteps: 10\ndata: [{layout: levir_cd}]\n"


def _load(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def test_defaults_types_and_writing(tmp_path):
    recipe = _load(tmp_path, GOOD + "optimiser: {lr: 1e-4, betas: [0.9, 0.99]}\n"
                   "validation: {layout: levir_cd, split: val}\nmodel: {tiny: true}\n")
    assert recipe.optimiser.lr == 1e-4  # which YAML itself would read as text
    assert tuple(recipe.optimiser.betas) == (0.9, 0.99)
    assert recipe.model == {"tiny": True}
    assert recipe.validation.split == "val"
    assert recipe.terms == "restricted"
    assert recipe.last_step == 10
    save_recipe(recipe, tmp_path / "again.yaml")
    assert load_recipe(tmp_path / "again.yaml") == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "batchsize: 3\n", "batchsize"),
        (GOOD + "batch_size: many\n", "batch_size"),
        (GOOD + "optimiser: {rate: 3}\n", "optimiser.rate"),
        (GOOD.replace("name: a\n", ""), "name"),
        (GOOD.replace("layout: levir_cd", "weight: 2"), "layout"),
        (GOOD + "optimiser: {name: lion}\n", "adamw, adam, sgd"),
        (GOOD + "precision: half\n", "precision"),
        (GOOD.replace("layout: levir_cd", "layout: x, terms: free"), "terms of x"),
        (GOOD.replace("{layout: levir_cd}", ""), "data names no set"),
        (GOOD + "batch_size: 6\naccumulate: 4\n", "no multiple of processes x accumulate = 4"),
        (GOOD + "ema: 1.0\n", "ema"),
        (GOOD.replace("10", "0"), "at least 1"),
        ("- 1\n", "not a training recipe"),
        ("a: [", "not a training recipe"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, text, message):
    with pytest.raises(InputError) as error:
        _load(tmp_path, text)
    assert message in error.value.message + error.value.hint
    assert error.value.hint


def test_an_unknown_recipe_or_task_is_told():
    with pytest.raises(InputError, match="no recipe") as error:
        load_recipe("nothing")
    assert "bundled" in error.value.hint
    with pytest.raises(InputError, match="can be trained"):
        create("nothing")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_valid(path):
    if path.stem == "text_tower":
        pytest.skip("the text tower is distilled by a module of its own")
    recipe = load_recipe(path.stem)
    assert recipe.name == path.stem
    assert recipe.task in names()
    assert recipe.description
