# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions against baselines: differences and intervals."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pycocoevalcap")
pytestmark = pytest.mark.torch

from changescribe.engine.evaluation.captions import metrics
from changescribe.engine.evaluation.captions.metrics import Answered
from changescribe.engine.evaluation.captions.table import (
    FACTUAL,
    FREQUENT,
    NEAREST,
    compare,
    features_of,
    markdown,
    most_frequent,
    nearest,
)
from changescribe.engine.training.captioner.features import Crops
from changescribe.engine.wording.reading import NO_CHANGE

_ROADS = ("a road appears", "a new road appears", "a road is built", "the road appears", "a path")


@pytest.fixture(autouse=True)
def _without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.shutil, "which", lambda name: None)


def test_the_most_frequent_sentence() -> None:
    sentences = ["There is no difference.", "there is no difference", "a road appears", "a wood"]
    assert most_frequent(sentences) == "there is no difference"
    assert most_frequent(sentences, change=True) == "a road appears"


def test_the_nearest_crop_gives_its_most_typical_caption() -> None:
    known = np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 5.0], [-1.0, -1.0, 5.0]])
    groups = [_ROADS, NO_CHANGE, ("houses appear", "many houses appear", "houses", "a wood", "b")]
    answers = nearest(known, groups, np.array([[0.9, 0.1, 5.0], [-0.5, -0.6, 5.0]]))
    assert answers[0] in ("a road appears", "a new road appears")
    assert answers[1] in ("houses appear", "many houses appear")


def test_features_are_averaged_to_four_cells() -> None:
    grid = np.zeros((1, 1, 2, 8, 8), np.float16)
    grid[0, 0, 1, :4, 4:] = 3
    summary = np.full((1, 1, 5), 7, np.float32)
    crops = Crops(np.ones(1), np.zeros((1, 4)), (NO_CHANGE,), np.zeros(1, bool), grid, summary)
    assert features_of(crops)[0].tolist() == [0, 0, 0, 0, 0, 3, 0, 0, 7, 7, 7, 7, 7]


def _rows(*answers: str) -> list[Answered]:
    references = (_ROADS, ("houses appear", "many houses appear"), NO_CHANGE)
    pairs = zip(answers, references, strict=True)
    return [Answered(str(n), answer, references) for n, (answer, references) in enumerate(pairs)]


def test_differences_are_of_the_same_crops() -> None:
    answers = {
        FREQUENT: _rows(*[NO_CHANGE[1]] * 3),
        NEAREST: _rows("a road appears", "many houses appear", "a road appears"),
        FACTUAL: _rows(*["1 building appeared, in the north"] * 3),
        "ours": _rows("a road appears", "many houses appear", NO_CHANGE[1]),
    }
    figures = compare(answers)
    above = figures["ours"]["above"]
    for part in ("all", "changed"):
        ours = figures["ours"][part]["words"]["cider_d"]
        for baseline in (FREQUENT, NEAREST, FACTUAL):
            theirs = figures[baseline][part]["words"]["cider_d"]
            assert above[baseline][part]["cider_d"] == pytest.approx(ours - theirs)
    # The same answers on the changed crops: no difference, and none however they are drawn.
    assert above[NEAREST]["changed"]["interval_95"] == pytest.approx((0, 0))
    low, high = above[NEAREST]["all"]["interval_95"]
    assert low == pytest.approx(0)
    assert high > above[NEAREST]["all"]["cider_d"] > 0
    assert figures["ours"]["no_change_accuracy"] == 100
    assert figures[NEAREST]["no_change_accuracy"] == 0
    table = markdown(figures)
    assert "### Changed: 2 crops" in table
    assert table.count("| ours |") == 5


def test_the_interval_is_that_of_the_mean_of_resamples() -> None:
    """Of 0 and 1, half each, the mean of n draws is binomial: within two of its deviations."""
    low, high = metrics.interval(np.repeat([0.0, 1.0], 50), rounds=4000)
    assert low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.011)
    assert high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.011)
