# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: typed, with errors that say which key is wrong."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from changescribe.engine.errors import InputError
from changescribe.engine.paths import RECIPES
from changescribe.engine.training.recipe import check_unchanged, load_recipe, save_recipe
from changescribe.engine.training.tasks import create, names

pytestmark = pytest.mark.torch

GOOD = "name: a\ntask: lgcd\nsteps: 10\ndata: [{layout: levir_cd}]\n"


def _load(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def test_defaults_types_and_writing(tmp_path):
    recipe = _load(
        tmp_path,
        GOOD + "optimiser: {lr: 1e-4, betas: [0.9, 0.99]}\n"
        "validation: {layout: levir_cd, split: val}\nmodel: {tiny: true}\n",
    )
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
        (GOOD.replace("{layout: levir_cd}", ""), "data must list at least one set"),
        (GOOD + "batch_size: 6\naccumulate: 4\n", "a multiple of processes x accumulate = 4"),
        (GOOD + "ema: 1.0\n", "ema"),
        (GOOD.replace("10", "0"), "at least 1"),
        ("- 1\n", "not a training recipe"),
        ("a: [", "not a training recipe"),
    ],
)
def test_invalid_recipes_are_errors(tmp_path, text, message):
    with pytest.raises(InputError) as error:
        _load(tmp_path, text)
    assert message in error.value.message + error.value.hint
    assert error.value.hint


def test_an_unknown_recipe_or_task_is_an_error():
    with pytest.raises(InputError, match="no recipe") as error:
        load_recipe("nothing")
    assert "bundled" in error.value.hint
    assert "text_tower" not in error.value.hint  # a recipe, but not one of this kind
    with pytest.raises(InputError, match="can be trained"):
        create("nothing")


def test_only_a_bare_name_is_that_of_a_shipped_recipe(tmp_path):
    with pytest.raises(InputError, match="no recipe") as error:
        load_recipe(tmp_path / "bundled")
    assert str(tmp_path / "bundled") in error.value.message
    (tmp_path / "bundled").write_text(GOOD, encoding="utf-8")
    assert load_recipe(tmp_path / "bundled").name == "a"


@pytest.mark.parametrize(
    ("start", "terms"),
    [
        ("", "open"),
        ("bundled_open", "open"),
        ("bundled_deep", "restricted"),
        ("a_run_of_my_own", "restricted"),
    ],
)
def test_terms_are_those_of_the_stages_before_too(tmp_path, start, terms):
    text = GOOD.replace("layout: levir_cd", "layout: levir_cd, terms: open")
    assert _load(tmp_path, f'{text}start_from: "{start}"\n').terms == terms
    assert _load(tmp_path, f'{text}blend_with: "{start}"\n').terms == terms


def test_stages_are_all_that_a_result_builds_on(tmp_path):
    own = _load(tmp_path, f"{GOOD}start_from: bundled_open\nblend_with: bundled_finish\n")
    first, *others = own.stages
    assert first is own
    assert [stage.name for stage in others] == ["bundled_open", "bundled_finish", "bundled"]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("seed: 3", "seed"),
        ("optimiser: {lr: 0.5}", "optimiser.lr"),
        ("optimiser: {betas: [0.9, 0.5]}", "optimiser.betas.1"),
        ("model: {tiny: true}", "model.tiny"),
        ("data: [{layout: levir_cd, weight: 2}]", "data.0.weight"),
        ("data: [{layout: levir_cd}, {layout: whu_cd}]", "data.1"),
        ("validation: {layout: levir_cd}", "validation"),
    ],
)
def test_a_run_does_not_go_on_by_another_recipe(tmp_path, change, key):
    begun = tmp_path / "begun.yaml"
    save_recipe(_load(tmp_path, GOOD), begun)
    other = GOOD[: GOOD.index("data")] if change.startswith("data") else GOOD
    with pytest.raises(InputError) as error:
        check_unchanged(_load(tmp_path, f"{other}{change}\n"), begun)
    assert f": {key} differs" in error.value.message
    assert "--fresh" in error.value.hint


def test_a_run_may_go_on_longer_or_on_another_machine(tmp_path):
    begun = tmp_path / "begun.yaml"
    save_recipe(_load(tmp_path, GOOD), begun)
    text = GOOD.replace("steps: 10", "steps: 20") + (
        "stop_at: 15\nprocesses: 2\nthreads: 3\nworkers: 4\ncheckpoint_every: 5\n"
        "validate_every: 6\ndescription: longer\n"
    )
    check_unchanged(_load(tmp_path, text), begun)
    check_unchanged(_load(tmp_path, GOOD), tmp_path / "none.yaml")


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_valid(path):
    if path.stem == "text_tower":
        pytest.skip("the text tower is distilled by a module of its own")
    recipe = load_recipe(path.stem)
    assert recipe.name == path.stem
    assert recipe.task in names()
    assert recipe.description
