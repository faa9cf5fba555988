# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of captions against values by hand, their variants and splits, and the readers."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pycocoevalcap")

from PIL import Image

from changescribe.engine.errors import InputError
from changescribe.engine.evaluation.captions import metrics
from changescribe.engine.evaluation.captions.metrics import Answered
from changescribe.engine.training.pairs import open_pairs
from changescribe.engine.training.recipe import DataSpec
from changescribe.engine.wording.reading import NO_CHANGE

pytestmark = pytest.mark.torch

has_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java")


@pytest.fixture
def no_java(monkeypatch):
    monkeypatch.setattr(metrics.shutil, "which", lambda name: None)


def answered(answer: str, *references: str) -> Answered:
    return Answered("pair", answer, references)


def test_bleu_and_rouge_by_hand(no_java):
    figures = metrics.measure([answered("A road appears.", "a road is built")])
    short = math.exp(1 - 4 / 3)  # three words instead of four
    assert figures["bleu_1"] == pytest.approx(100 * 2 / 3 * short, abs=1e-3)
    assert figures["bleu_2"] == pytest.approx(100 * math.sqrt(2 / 3 * 1 / 2) * short, abs=1e-3)
    assert figures["bleu_4"] == pytest.approx(0, abs=0.1)
    # The longest common words are two: P = 2/3, R = 2/4, beta = 1.2.
    rouge = (1 + 1.2**2) * (2 / 3) * (1 / 2) / (1 / 2 + 1.2**2 * 2 / 3)
    assert figures["rouge_l"] == pytest.approx(100 * rouge, abs=1e-3)
    assert figures["meteor"] is None
    assert figures["s_m"] is None


def test_cider_d_by_hand(no_java):
    # Single words: one of four lengths of phrases fits wholly, times ten.
    rows = [answered("a", "a"), answered("b", "b")]
    assert metrics.measure(rows)["cider_d"] == pytest.approx(250)
    # "a a": clipped, it is half as near, and one word too long: e^(-1 / (2 * 6^2)).
    rows[0] = replace(rows[0], answer="a a")
    each = metrics.cider_of_each(rows)
    assert each == pytest.approx([250 * 0.5 * math.exp(-1 / 72), 250])
    assert metrics.measure(rows)["cider_d"] == pytest.approx(each.mean())
    # A word of all references has no weight.
    assert metrics.measure([answered("a", "a"), answered("a", "a")])["cider_d"] == 0


def test_java_that_ends_at_once_leaves_meteor_out(tmp_path, monkeypatch):
    (tmp_path / "java").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    figures = metrics.measure([answered("a road is built", "a road is built")])
    assert figures["meteor"] is None
    assert figures["s_m"] is None


@has_java
def test_meteor_uses_stems_of_words_but_not_of_ids_and_s_m_is_the_mean():
    rows = [
        answered("two roads were constructed", "two road is built", "a house is built"),
        answered("there is no difference", "there is no difference"),
    ]
    plain = metrics.measure(rows)
    if plain["meteor"] is None:
        pytest.skip("Java does not run METEOR here: it needs 2 GB of memory")
    vocabulary = metrics.vocabulary([t for row in rows for t in (row.answer, *row.references)], 1)
    ids = metrics.measure(rows, vocabulary)
    assert 0 < ids["meteor"] < plain["meteor"] < 100
    for name in ("bleu_1", "bleu_4", "rouge_l", "cider_d"):
        assert ids[name] == pytest.approx(plain[name])
    four = [plain[name] for name in ("bleu_4", "meteor", "rouge_l", "cider_d")]
    assert plain["s_m"] == pytest.approx(sum(four) / 4)
    same = metrics.measure([rows[1], answered("a road is built", "a road is built")])
    assert same["meteor"] == pytest.approx(100)


def test_words_that_a_vocabulary_lacks_are_all_one(no_java):
    vocabulary = metrics.vocabulary(["a road a road", "a hut"], least=2)
    assert vocabulary == {"a": 1, "road": 2}
    rows = [answered("a hut", "a villa"), answered("a road", "a road")]
    assert metrics.measure(rows, vocabulary)["bleu_2"] == pytest.approx(100)
    assert metrics.measure(rows)["bleu_1"] == pytest.approx(75)


def test_report_splits_by_what_people_say(no_java):
    rows = [
        answered("A road is built.", "a road is built", NO_CHANGE[0]),
        answered("There is no difference.", "some houses appear"),
        answered("No change was found in the area analysed.", *NO_CHANGE),
        answered("a house appears", *NO_CHANGE),
        answered("the two scenes seem identical", *NO_CHANGE),
    ]
    found = metrics.report(rows)
    assert [found[name]["pairs"] for name in ("all", "changed", "unchanged")] == [5, 2, 3]
    assert found["no_change_accuracy"] == pytest.approx(100 * 2 / 3)
    assert found["change_accuracy"] == 50
    assert found["changed"]["words"] == metrics.measure(rows[:2])
    low, high = found["changed"]["cider_d_95"]
    assert low <= found["changed"]["words"]["cider_d"] <= high
    assert found["notes"] == [metrics.NEEDS_JAVA]
    assert json.dumps(found)
    assert "unchanged" not in metrics.report(rows[:2])
    with pytest.raises(InputError, match="no captions"):
        metrics.report([])


def test_bootstrap_interval_holds_the_mean():
    values = np.arange(100.0)
    low, high = metrics.interval(values)
    # 1.96 standard errors of 28.9 / 10 on each side.
    assert low == pytest.approx(49.5 - 5.66, abs=0.7)
    assert high == pytest.approx(49.5 + 5.66, abs=0.7)


def test_levir_cc_is_read_as_published(tmp_path):
    for part, value in (("A", 10), ("B", 20)):
        (tmp_path / "images" / "test" / part).mkdir(parents=True)
        for name in ("test_000001.png", "test_000002.png"):
            image = Image.fromarray(np.full((32, 32, 3), value, np.uint8))
            image.save(tmp_path / "images" / "test" / part / name)
    rows = [
        {
            "filepath": "test",
            "filename": "test_000001.png",
            "imgid": 0,
            "split": "test",
            "changeflag": 1,
            "sentids": [0, 1],
            "sentences": [
                {"raw": " a road is built .", "tokens": [], "imgid": 0, "sentid": 0},
                {"raw": "a house appears", "tokens": [], "imgid": 0, "sentid": 1},
            ],
        },
    ]
    text = json.dumps({"images": rows, "dataset": "LEVIR-CC"})
    (tmp_path / "LevirCCcaptions.json").write_text(text)
    pairs = open_pairs(DataSpec("levir_cc", split="test"), tmp_path)
    assert len(pairs) == 2
    answers = metrics.ask(pairs, lambda pair: f"brighter by {pair.after[0, 0, 0] - 10}")
    assert answers == [
        Answered("test_000001", "brighter by 10", ("a road is built .", "a house appears"))
    ]
    assert pairs.read(0).change is None


@pytest.mark.real_data
def test_change_in_the_projects_captions_equals_their_flag(data_dir):
    path = Path(data_dir) / "levir" / "captions.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert len(rows) == 555
    for row in rows:
        found = Answered("", "", tuple(row["captions"])).changed
        assert found is bool(row["changed"])
    pairs = open_pairs(DataSpec("levir_crops", "levir", "val"), Path(data_dir))
    assert {name.split("_")[1] for name in pairs.names} <= {str(n) for n in range(31, 37)}
    assert all(len(pairs.read(index).captions) == 5 for index in range(3))
