# SPDX-License-Identifier: GPL-3.0-or-later
"""Semantic figures worked out by hand; systems and runs measured on a data set, by protocol."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from changescribe.engine.evaluation.masks.ranking import roc_auc
from changescribe.engine.training.metrics import BinaryCounts
from changescribe.engine.training.semantic_metrics import SemanticCounts


def _counts() -> SemanticCounts:
    """Two classes; rows are true, columns found: unchanged, class 0, class 1."""
    counts = SemanticCounts(2)
    counts.counts[:] = [[50, 2, 3], [4, 20, 1], [5, 2, 13]]
    return counts


def test_semantic_figures_by_hand():
    counts = _counts()
    # 100 pixels, 50 unchanged in both. Changed in both, any class: 20 + 1 + 2 + 13 = 36.
    assert counts.iou_changed == pytest.approx(36 / 50)
    # Row of unchanged 50 + 2 + 3 = 55, column 50 + 4 + 5 = 59: 50 / (55 + 59 - 50).
    assert counts.iou_unchanged == pytest.approx(50 / 64)
    assert counts.miou == pytest.approx((0.72 + 0.78125) / 2)
    # Without the 50: po = (20 + 13) / 50 = 0.66. Rows 5, 25, 20 and columns 9, 24, 17:
    # pe = (5 * 9 + 25 * 24 + 20 * 17) / 2500 = 985 / 2500 = 0.394. kappa = 0.266 / 0.606.
    assert counts.kappa == pytest.approx(0.266 / 0.606)
    assert counts.sek == pytest.approx(0.266 / 0.606 * math.exp(0.72 - 1))
    # Right class 33; found changed 24 + 17 = 41, truly changed 25 + 20 = 45: 2 * 33 / 86.
    assert counts.fscd == pytest.approx(66 / 86)
    assert counts.accuracy == pytest.approx(83 / 100)
    assert counts.figures()["sek"] == pytest.approx(0.3317, abs=5e-5)


def test_semantic_counts_pool_both_dates_and_ignore_classes_where_nothing_was_found():
    counts = SemanticCounts(2)
    changed = np.array([[True, True, False, False]])
    # Found on the earlier date 0, 1; the class under "not changed" does not count.
    counts.add(changed, np.array([[0, 1, 1, 0]]), np.array([[0, 0, 255, 1]]))
    counts.add(changed, np.array([[1, 255, 0, 0]]), np.array([[1, 0, 255, 1]]))
    assert counts.counts.tolist() == [[2, 0, 0], [1, 1, 1], [2, 0, 1]]


def test_perfect_and_empty_semantic_figures():
    counts = SemanticCounts(2)
    assert set(counts.figures().values()) == {0}
    counts.counts[:] = [[5, 0, 0], [0, 3, 0], [0, 0, 2]]
    assert {counts.miou, counts.sek, counts.fscd, counts.kappa, counts.accuracy} == {1}


def test_binary_figures_are_those_of_torchmetrics():
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("torchmetrics.classification")
    rng = np.random.default_rng(0)
    counts = BinaryCounts()
    theirs = {
        "precision": metrics.BinaryPrecision(),
        "recall": metrics.BinaryRecall(),
        "f1": metrics.BinaryF1Score(),
        "iou": metrics.BinaryJaccardIndex(),
        "accuracy": metrics.BinaryAccuracy(),
    }
    for share in (0.1, 0.6):  # sums over the set, not means over pairs
        truth, found = rng.random((9, 7)) < share, rng.random((9, 7)) < 0.4
        counts.add(found, truth)
        for metric in theirs.values():
            metric.update(torch.from_numpy(found.astype(int)), torch.from_numpy(truth.astype(int)))
    for name, metric in theirs.items():
        assert getattr(counts, name) == pytest.approx(float(metric.compute())), name


def test_the_auc_is_that_of_torchmetrics_with_ties_too():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 20, 200) / 20, rng.random(200) < 0.3
    theirs = functional.binary_auroc(torch.from_numpy(scores), torch.from_numpy(truth).int())
    assert roc_auc(scores, truth) == pytest.approx(float(theirs))


SIZE = 80


@pytest.fixture(name="second")
def fixture_second(tmp_path):
    """A SECOND of one pair: trees (dark) become buildings (bright) in a square."""
    pytest.importorskip("torch")
    from PIL import Image

    from changescribe.engine.training.pairs.second import CLASSES, UNCHANGED

    labels = np.full((2, SIZE, SIZE, 3), UNCHANGED, np.uint8)
    images = np.full((2, SIZE, SIZE, 3), 40, np.uint8)
    square = np.s_[10:50, 20:60]
    labels[0][square], labels[1][square] = CLASSES["trees"], CLASSES["buildings"]
    images[1][square] = 200
    parts = {"im1": images[0], "im2": images[1], "label1": labels[0], "label2": labels[1]}
    for part, array in parts.items():
        (tmp_path / part).mkdir()
        Image.fromarray(array).save(tmp_path / part / "a.png")
    return tmp_path


@pytest.fixture(name="system")
def fixture_system(monkeypatch):
    """A system that sees bright pixels of the later date as buildings, the others as trees."""
    from changescribe.engine import systems
    from changescribe.engine.systems.base import ChangeSystem, SystemInfo, TilePrediction

    names = ("building", "tree", "water", "bare ground", "low vegetation", "playgrounds")

    class Bright(ChangeSystem):
        info = SystemInfo("bright", "", "", (1.0,), names, 64, 16, 1, "r1", "")
        device = "CPU"

        def load(self, device="auto"):
            """Do nothing."""

        def predict(self, before, after, queries, hints=None):
            change = (after[..., 0] > 100) & (before[..., 0] < 100)
            scores = np.zeros((1, len(queries), *change.shape[1:]), np.float32)
            for row, query in enumerate(queries):
                if str(query) in {"buildings|appeared", "trees|removed"}:
                    scores[:, row] = change
            classes = [np.where(i[..., 0] > 100, 0, 1).astype(np.uint8) for i in (before, after)]
            return TilePrediction(scores, *classes)

    monkeypatch.setattr(systems, "create", lambda name: Bright())


@pytest.mark.torch
def test_a_system_is_measured_by_both_protocols(tmp_path, second, system, capsys):
    from changescribe.engine.cli import main

    out = tmp_path / "out"
    done = main(
        [
            "evaluate",
            "--system",
            "bright",
            "--layout",
            "second",
            "--data",
            str(second),
            "--tile",
            "32",
            "--out",
            str(out),
        ]
    )
    assert done == 0
    figures = json.loads((out / "figures.json").read_text())
    assert figures["tile"]["protocol"] == "tiles of 32 pixels, each by itself"
    assert "share 16 and are blended" in figures["image"]["protocol"]
    for protocol in ("tile", "image"):
        assert figures[protocol]["change"]["f1"] == 1
        assert figures[protocol]["queries"]["buildings|appeared"]["f1"] == 1
        assert figures[protocol]["queries"]["buildings|removed"]["found_share"] == 0
        semantic = figures[protocol]["semantic"]
        assert {semantic[key] for key in ("miou", "sek", "fscd", "accuracy")} == {1}
    printed = capsys.readouterr().out
    assert "tiles of 32 pixels" in printed
    assert "SeK 1.0000" in printed


@pytest.mark.torch
def test_a_training_run_is_measured(tmp_path, second, monkeypatch):
    import torch

    from changescribe.engine.evaluation import data_sets
    from changescribe.engine.training import tasks
    from changescribe.engine.training.recipe import DataSpec, Recipe, save_recipe
    from changescribe.engine.training.tasks.base import Task
    from changescribe.engine.weights.loading import save_head

    class Bright(Task):
        name = "bright"

        def build(self, settings):
            return torch.nn.Linear(1, 1)

        def sample(self, pair, rng):
            return {"after": pair.after[..., 0]}

        def loss(self, model, batch, step):
            raise AssertionError

        def predict(self, model, batch):
            bright = batch["after"] > 100
            trees, buildings = (torch.full_like(batch["after"], k) for k in (3, 4))
            half = torch.arange(bright.shape[-1]) < 30  # buildings only in some columns
            return {
                "change": bright * model.weight,
                "semantic_before": trees,
                "semantic_after": torch.where(half, buildings, trees),
            }

    monkeypatch.setattr(tasks, "create", lambda name: Bright())
    run = tmp_path / "run"
    run.mkdir()
    save_recipe(
        Recipe("bright", task="bright", steps=1, crop=64, data=[DataSpec("second")]),
        run / "recipe.yaml",
    )
    state = {"weight": torch.ones(1, 1) * 0.9, "bias": torch.zeros(1)}
    save_head(state, run / "model.safetensors", {"step": 7})
    figures = data_sets.evaluate(
        DataSpec("second"),
        second,
        tmp_path / "out",
        run=run,
        protocols=("tile",),
        tile=96,
        device="cpu",
    )
    assert figures["revision"] == "bright, step 7"
    assert figures["tile"]["change"]["f1"] == 1
    semantic = figures["tile"]["semantic"]
    # Earlier date: 1600 trees, all right. Later: 10 of 40 columns are right, so 2000 of 3200.
    assert semantic["fscd"] == pytest.approx(2000 / 3200)
    assert semantic["miou"] == 1
    assert semantic["accuracy"] == pytest.approx(1 - 1200 / (2 * SIZE * SIZE), abs=1e-4)


@pytest.mark.torch
def test_a_run_is_measured_on_the_validation_pairs_of_its_recipe(tmp_path, monkeypatch, capsys):
    from changescribe.engine.cli import main
    from changescribe.engine.evaluation import data_sets
    from changescribe.engine.training.recipe import DataSpec, load_recipe, save_recipe

    specs = []
    monkeypatch.setattr(data_sets, "evaluate", lambda spec, *_, **__: specs.append(spec))
    recipe = load_recipe("own_data")
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert main(["evaluate", "--data", str(tmp_path), "--run", str(tmp_path)]) == 0
    assert specs == [recipe.validation]
    assert recipe.validation.options["class_field"] == "object"
    recipe.validation = None
    recipe.data = [DataSpec("second")]
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert main(["evaluate", "--data", str(tmp_path), "--run", str(tmp_path)]) == 2
    assert "no validation" in capsys.readouterr().err


@pytest.mark.torch
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--system", "bundled"], "no data set"),
        (["--layout", "second"], "nothing to measure"),
        (["--layout", "second", "--system", "bright", "--tile", "50"], "not possible"),
        (["--layout", "nothing", "--system", "bright"], "no data set layout"),
        (["--layout", "second", "--system", "bright", "--option", "where"], "is not an option"),
        (["--layout", "second", "--system", "bright", "--option", "where=1"], "where"),
        (["--run", "anywhere", "--option", "where=1"], "belongs to a layout"),
    ],
)
def test_missing_inputs_are_errors(second, system, capsys, arguments, message):
    from changescribe.engine.cli import main

    assert main(["evaluate", "--data", str(second), *arguments]) == 2
    assert message in capsys.readouterr().err
