# SPDX-License-Identifier: GPL-3.0-or-later
"""``changescribe build`` and the parts of ``evaluate``: light to list, errors as sentences."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from changescribe.engine.cli import app, main

BUILDS = (
    "scenes",
    "captioner",
    "caption-language",
    "descriptions",
    "text-tower",
    "release",
    "folds",
    "colour-residual",
    "weights",
    "onnx",
    "demo",
)
MEASURES = ("heads", "captions", "caption-table", "caption-truth")
COMMANDS = (
    "detect",
    "caption",
    "export",
    "models",
    "models list",
    "train",
    "evaluate",
    *(f"evaluate {part}" for part in MEASURES),
    "build",
    *(f"build {part}" for part in BUILDS),
    "synthesise",
    "doctor",
)
NO_DATA = "The data folder was not found."
ONNX_HEADS = ("lgcd", "mmchange", "textscd")


def test_the_help_of_every_command_imports_nothing_heavy():
    code = f"""
import sys
from changescribe.engine.cli import app, main
for command in {COMMANDS!r}:
    try:
        main([*command.split(), "--help"])
    except SystemExit as ended:
        assert ended.code == 0, command
heavy = {{"torch", "numpy", "osgeo", "onnxruntime", "scipy", "yaml", "tqdm", "transformers"}}
print("loaded:", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert f"usage: changescribe {command}" in capsys.readouterr().out


def _without_help(parser: argparse.ArgumentParser) -> list[str]:
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [row for part in action.choices.values() for row in _without_help(part)]
        elif not action.help:
            found.append(f"{parser.prog} {'/'.join(action.option_strings) or action.dest}")
    return found


def test_every_option_has_a_help():
    assert _without_help(app._parser()) == []


@pytest.mark.parametrize(
    "command", ["build", "build release", "build folds", "build colour-residual", "build onnx"]
)
def test_missing_arguments_print_the_usage(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    assert f"usage: changescribe {command}" in capsys.readouterr().err


def test_options_before_the_name_of_a_part_are_an_error(capsys):
    assert main(["evaluate", "--device", "cpu", "heads"]) == 2
    assert "Put it first: changescribe evaluate heads ..." in capsys.readouterr().err
    assert main(["--verbose", "evaluate", "caption-truth", "--scenes", "0"]) == 2
    assert "Put it first" not in capsys.readouterr().err


def test_the_demo_is_written_into_the_given_folder(tmp_path, monkeypatch, capsys):
    demo = pytest.importorskip("changescribe.engine.synthesis.demo")
    monkeypatch.setattr(demo, "write_demo", lambda folder: (folder / "a.tif", folder / "b.tif"))
    assert main(["build", "demo", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]


@pytest.mark.torch
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("build release run nonsense model", 'There is no recipe "nonsense'),
        ("build release no_run bundled model", "is missing: no_run"),
        ("build colour-residual no_model --data {here}", "contains no model"),
        ("build colour-residual {shipped}", NO_DATA),
        ("build captioner", NO_DATA),
        ("build captioner --views away --data {here}", '"away" is not a list of views'),
        ("build captioner --option x=1 --data {here}", 'There is no setting "x"'),
        ("build captioner --option epochs=a --data {here}", '"epochs" cannot be "a"'),
        ("build captioner --data {here}", "There is no levir/captions.json."),
        ("build folds runs nonsense model out", 'There is no recipe "nonsense'),
        ("build folds runs bundled model out", NO_DATA),
        ("build caption-language", NO_DATA),
        ("evaluate captions bundled", NO_DATA),
        ("evaluate captions nonsense --data {here}", "nonsense"),
        ("evaluate caption-table", NO_DATA),
        ("evaluate caption-table --answers nonsense --data {here}", "nonsense"),
        ("evaluate caption-truth --scenes 1 --system nonsense", "nonsense"),
        ("evaluate caption-truth --scenes 0", "0 scenes cannot be evaluated"),
        ("evaluate heads --encoder nonsense", "nonsense"),
        *((f"build onnx {head} none.safetensors", "none.safetensors") for head in ONNX_HEADS),
    ],
)
def test_bad_input_is_reported_in_a_sentence(command, message, tmp_path, monkeypatch, capsys):
    from changescribe.engine.paths import MODELS

    monkeypatch.delenv("CHANGESCRIBE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main([word.format(shipped=MODELS, here=tmp_path) for word in command.split()]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
    assert not list(Path(tmp_path).iterdir())


@pytest.mark.torch
def test_the_text_tower_reports_that_its_teacher_is_missing(tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{seed: 1, training: {}, teacher: {package: no_such_package}}")
    out = tmp_path / "out"
    assert main(["build", "text-tower", "--recipe", str(recipe), "--out", str(out)]) == 2
    printed = capsys.readouterr().err
    assert "The teacher of the text tower is not installed." in printed
    assert "Traceback" not in printed


@pytest.mark.torch
def test_the_captioner_gets_the_settings_of_the_command_line(tmp_path, monkeypatch):
    from changescribe.engine.training.captioner import run
    from changescribe.engine.training.captioner.steps import Schedule

    given: dict = {}
    monkeypatch.setattr(run, "build", lambda *_, **settings: given.update(settings))
    options = ("--option", "epochs=1", "--option", "rate=0.5", "--views", "tile,mirrored")
    assert main(["build", "captioner", "--data", str(tmp_path), *options]) == 0
    assert given["schedule"] == Schedule(epochs=1, rate=0.5)
    assert given["views"] == ["tile", "mirrored"]


@pytest.mark.torch
def test_the_answers_of_systems_reach_the_table(tmp_path, monkeypatch, capsys):
    from changescribe.engine.evaluation.captions import table

    given: dict = {}
    monkeypatch.setattr(table, "write_table", lambda *_, **named: given.update(named) or "| a |\n")
    answers = ("--answers", "KCFI=k.json", "--answers", "SC=s.json")
    assert main(["evaluate", "caption-table", "--data", str(tmp_path), *answers]) == 0
    assert given["answers_of"] == {"KCFI": Path("k.json"), "SC": Path("s.json")}
    assert capsys.readouterr().out == "| a |\n"


@pytest.mark.torch
def test_the_speed_of_a_head_is_printed_as_json(capsys):
    pytest.importorskip("onnx")
    options = ("--system", "textscd", "--tile", "64", "--repeats", "1")
    assert main(["evaluate", "heads", *options, "--device", "cpu"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["tile"] == 64
    assert figures["settings"] == {}
