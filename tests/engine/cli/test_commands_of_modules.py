# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that are run by ``python -m``: what is wrong is a sentence, never a traceback."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

pytestmark = [
    pytest.mark.torch,
    # They are imported by other tests as well.
    pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning"),
]

RELEASE, FOLDS, SURPRISE = (
    "evaluation.release",
    "evaluation.places.folds",
    "evaluation.places.colour_residual",
)
CAPTIONS, TABLE, TRUTH = (
    "evaluation.captions.metrics",
    "evaluation.captions.table",
    "evaluation.captions.truth",
)
HEADS, CAPTIONER = "evaluation.speed.heads", "training.captioner.run"
LANGUAGE, DISTILLATION = "training.captioner.model", "training.text.distillation"
EXPORTS = ("modules.lgcd.onnx", "modules.mmchange.onnx", "modules.textscd.onnx")


def _run(module: str, *arguments: str) -> object:
    """Run a module as a program, in this process: PyTorch is there already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(f"changescribe.engine.{module}", run_name="__main__")
    return ended.value.code


@pytest.mark.parametrize("module", [RELEASE, SURPRISE, CAPTIONS, FOLDS, *EXPORTS])
def test_without_arguments_it_says_how_it_is_used(module, capsys):
    assert _run(module) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "arguments", "told"),
    [
        (RELEASE, ("run", "nonsense", "model"), 'There is no recipe "nonsense'),
        (RELEASE, ("no_run", "bundled", "model"), "is missing: no_run"),
        (SURPRISE, ("no_model",), "holds no model"),
        (SURPRISE, ("{shipped}",), "Set the environment variable CHANGESCRIBE_DATA"),
        (CAPTIONS, ("bundled",), "Set the environment variable CHANGESCRIBE_DATA"),
        (CAPTIONER, (), "Set the environment variable CHANGESCRIBE_DATA"),
        (CAPTIONER, ("--looks", "away"), '"away" names no looks'),
        (FOLDS, ("runs", "nonsense", "model", "out"), 'There is no recipe "nonsense'),
        (TABLE, (), "Set the environment variable CHANGESCRIBE_DATA"),
        (TRUTH, ("--scenes", "1", "--system", "nonsense"), "nonsense"),
        (TRUTH, ("--scenes", "0"), "0 scenes cannot be measured"),
        (HEADS, ("--encoder", "nonsense"), "nonsense"),
        (LANGUAGE, (), "Set the environment variable CHANGESCRIBE_DATA"),
        *((export, ("none.safetensors",), "none.safetensors") for export in EXPORTS),
    ],
)
def test_bad_input_is_told_in_a_sentence(module, arguments, told, tmp_path, monkeypatch, capsys):
    from changescribe.engine.paths import MODELS

    monkeypatch.delenv("CHANGESCRIBE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert _run(module, *(text.format(shipped=MODELS) for text in arguments)) == 2
    printed = capsys.readouterr().err
    assert told in printed
    assert "Traceback" not in printed
    assert not list(Path(tmp_path).iterdir())


def test_the_text_tower_says_that_its_teacher_is_missing(tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{seed: 1, training: {}, teacher: {package: no_such_package}}")
    assert _run(DISTILLATION, "--recipe", str(recipe), "--output", str(tmp_path / "out")) == 2
    printed = capsys.readouterr().err
    assert "The teacher of the text tower is not installed." in printed
    assert "Traceback" not in printed


def test_the_captioner_says_which_sentences_are_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CHANGESCRIBE_DATA", str(tmp_path))
    assert _run(CAPTIONER, "--cache", str(tmp_path / "cache")) == 2
    assert "There is no levir/captions.json." in capsys.readouterr().err
