# SPDX-License-Identifier: GPL-3.0-or-later
"""``make model``: its stages follow each other, and it takes nothing but CHANGESCRIBE_DATA."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "model.sh"

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("bash") is None, reason="needs bash"
)


def _stages() -> list[str]:
    return re.search(r"^stages=\((.*?)\)", SCRIPT.read_text(), re.MULTILINE | re.DOTALL)[1].split()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script and a Python that only records its commands."""
    script, python = tmp_path / "scripts" / "model.sh", tmp_path / ".venv-full" / "bin" / "python"
    for path in (script, python):
        path.parent.mkdir(parents=True)
    setup = tmp_path / "scripts" / "setup.sh"
    setup.write_text('#!/bin/bash\necho "set-up: $@" >> calls.txt\n')
    setup.chmod(0o755)
    shutil.copy(SCRIPT, script)
    python.write_text('#!/bin/bash\necho "$@" >> calls.txt\n')
    python.chmod(0o755)
    return tmp_path


def _make(checkout: Path, data: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "CHANGESCRIBE_DATA"}
    if data is not None:
        environment["CHANGESCRIBE_DATA"] = data
    return subprocess.run(
        ["bash", "scripts/model.sh", *arguments],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.torch  # recipes are read in the full tier
def test_every_stage_starts_from_the_one_before_it():
    from changescribe.engine.training.recipe import load_recipe

    recipes = [load_recipe(stage) for stage in _stages()]
    assert [recipe.name for recipe in recipes] == _stages()
    assert [recipe.start_from for recipe in recipes] == ["", *_stages()[:-1]]
    assert {recipe.task for recipe in recipes} == {"bundled"}


def test_every_stage_has_a_folder_of_its_own_and_the_last_one_is_released(checkout):
    done = _make(checkout, str(checkout))
    assert done.returncode == 0, done.stderr
    calls = (checkout / "calls.txt").read_text().splitlines()
    trained = [call.split()[3:] for call in calls if " train " in call]
    assert trained == [[stage, "--out", f"out/model/runs/{stage}"] for stage in _stages()]
    last = _stages()[-1]
    release = "-m changescribe.engine.cli build release"
    assert f"{release} out/model/runs/{last} {last} out/model" in calls
    assert calls[0] == "set-up: full"
    assert calls[1].endswith("build scenes out/model/runs/scenes")
    folds = "-m changescribe.engine.cli build folds"
    assert calls.index(f"{folds} out/model/runs {last} out/model out/model/folds") > len(trained)
    assert calls[-1].endswith(
        "evaluate --model out/model --folds out/model/folds --out out/model/evaluation"
    )


@pytest.mark.parametrize("arguments", [("--out", "elsewhere"), ("--data", "elsewhere"), ("x",)])
def test_arguments_are_refused_before_anything_is_done(checkout, arguments):
    done = _make(checkout, str(checkout), *arguments)
    assert done.returncode == 2
    assert "takes no arguments" in done.stderr
    assert not (checkout / "calls.txt").exists()


@pytest.mark.parametrize("data", [None, "", "/nowhere/at/all"])
def test_without_the_folder_of_imagery_nothing_is_done(checkout, data):
    done = _make(checkout, data)
    assert done.returncode == 2
    assert "CHANGESCRIBE_DATA" in done.stderr
    assert not (checkout / "calls.txt").exists()
