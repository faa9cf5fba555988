# SPDX-License-Identifier: GPL-3.0-or-later
"""The best weights of a run: chosen by the figure that the task names."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from changescribe.engine.training import loop
from changescribe.engine.training.recipe import Recipe
from changescribe.engine.training.tasks import create

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("name", "best"), [("kcfi", 2), ("semantic_cc", 2), ("textscd", 3), ("mmchange", 1)]
)
def test_the_task_names_the_figure_that_chooses_the_best_weights(monkeypatch, name, best):
    # The mask is best at step 1, the sentences at step 2, the classes at step 3.
    measured = {
        1: {"f1": 0.9, "cider_d": 30.0, "sek": 0.1},
        2: {"f1": 0.5, "cider_d": 60.0, "sek": 0.0},
        3: {"f1": 0.1, "cider_d": 50.0, "sek": 0.2},
    }
    saved = []
    trainer = SimpleNamespace(
        task=create(name),
        best=-1.0,
        save_weights=lambda path, step, figures: saved.append(step),
        save=lambda out, step: None,
    )
    log = SimpleNamespace(validation=lambda step, figures, figure: None)
    job = SimpleNamespace(recipe=Recipe(validate_every=1), last=9, out=Path("run"))
    for step, figures in measured.items():
        monkeypatch.setattr(loop, "validate", lambda *_, figures=figures: figures)
        loop._finish_step(job, trainer, log, SimpleNamespace(), step)
    assert saved[-1] == best


def test_a_set_without_sentences_is_measured_by_f1(monkeypatch):
    trainer = SimpleNamespace(task=create("kcfi"), best=-1.0, save_weights=lambda *_: None)
    log = SimpleNamespace(validation=lambda *_: None)
    monkeypatch.setattr(loop, "validate", lambda *_: {"f1": 0.7})
    job = SimpleNamespace(recipe=Recipe(validate_every=1), last=9, out=Path("run"))
    loop._finish_step(job, trainer, log, SimpleNamespace(), 1)
    assert trainer.best == 0.7
