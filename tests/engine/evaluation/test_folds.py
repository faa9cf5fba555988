# SPDX-License-Identifier: GPL-3.0-or-later
"""The places in a model's training, and recipes that leave places out."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from changescribe.engine.errors import InputError
from changescribe.engine.evaluation.places import folds
from changescribe.engine.training import recipe as recipes
from changescribe.engine.training.recipe import DataSpec, Recipe, load_recipe, save_recipe

pytestmark = pytest.mark.torch

LEFT_OUT = {"oscd": ["nantes", "paris"], "airchange": []}


def _recipe(*layouts: str, start_from: str = "", name: str = "a") -> Recipe:
    data = [DataSpec(layout) for layout in layouts]
    return Recipe(name, task="bundled", steps=1, data=data, start_from=start_from)


@pytest.fixture(name="seen_before")
def fixture_seen_before(tmp_path, monkeypatch):
    """A shipped recipe "later" that starts from "earlier", which has seen OSCD."""
    for recipe in (
        _recipe("levir", "same:oscd", name="earlier"),
        _recipe("levir", start_from="earlier", name="later"),
    ):
        save_recipe(recipe, tmp_path / f"{recipe.name}.yaml")
    monkeypatch.setattr(recipes, "RECIPES", tmp_path)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("levir", "levir"),
        ("oscd", "oscd-nantes+paris"),
        ("same:oscd", "same:oscd-nantes+paris"),
        ("paste:levir:oscd", "paste:levir:oscd-nantes+paris"),
        ("paste:oscd:oscd-bercy", "paste:oscd-nantes+paris:oscd-bercy+nantes+paris"),
        ("oscd-paris", "oscd-paris+nantes"),
        ("airchange", "airchange"),
    ],
)
def test_places_are_left_out_of_every_kind_of_layout(layout, expected):
    fold = folds.without(_recipe(layout), LEFT_OUT, "one")
    assert [spec.layout for spec in fold.data] == [expected]


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("levir", False),
        ("same:levir", False),
        ("oscd", True),
        ("same:oscd", True),
        ("paste:levir:oscd", True),
        ("oscd-bercy", True),
        ("year:airchange-Szada", True),
    ],
)
def test_every_kind_of_layout_shows_what_was_trained_on(source, seen):
    manifest = {"sources": ["dubai (open)", f"{source} (restricted)"]}
    assert folds.trained_on_weak_pairs(manifest) is seen


def test_a_stage_after_one_that_has_seen_places_cannot_leave_them_out(seen_before):
    with pytest.raises(InputError, match="builds on earlier, which was trained on"):
        folds.without(load_recipe("later"), LEFT_OUT, "one")
