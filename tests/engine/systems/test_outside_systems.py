# SPDX-License-Identifier: GPL-3.0-or-later
"""Systems from outside the package: registration and errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from changescribe.engine import api, systems
from changescribe.engine.cli import main
from changescribe.engine.detect import pipeline
from changescribe.engine.errors import ChangeScribeError, InputError
from changescribe.engine.request import ChangeRequest
from changescribe.engine.systems.base import ChangeSystem, SystemInfo, TilePrediction

DEMO = Path(systems.__file__).parents[2] / "resources" / "demo"
PAIR = [str(DEMO / name) for name in ("demo_2016-05-04.tif", "demo_2023-06-21.tif")]


class Outside(ChangeSystem):
    """Returns the answer set by a test."""

    info = SystemInfo(
        name="outside",
        title="Outside",
        description="For tests.",
        pixel_sizes=(0.5,),
        classes=("building",),
        tile_size=256,
        overlap=32,
        batch_size=1,
        revision="test",
        terms="none",
    )
    answer = staticmethod(lambda count, queries, side: np.zeros((count, queries, side, side)))

    def load(self, device="auto"):
        pass

    @property
    def device(self):
        return "CPU"

    def predict(self, before, after, queries, hints=None):
        return TilePrediction(self.answer(len(before), len(queries), before.shape[1]))


class Misnamed(Outside):
    info = replace(Outside.info, name="another")


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    monkeypatch.setattr(systems, "_REGISTERED", {})
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv(systems.VARIABLE, "outside=test_outside_systems:Outside")


def _detect(tmp_path, name="outside"):
    request = ChangeRequest(*PAIR, "buildings built", str(tmp_path / "out.gpkg"), system=name)
    return pipeline.detect(request)


def test_the_command_line_finds_it_by_the_variable(tmp_path, capsys):
    out = tmp_path / "out.gpkg"
    arguments = ["--prompt", "buildings built", "--system", "outside", "--out", str(out)]
    assert main(["detect", *PAIR, *arguments]) == 0
    assert out.exists()


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (lambda count, queries, side: np.zeros((count, 2, 3)), r"shape \(1, 2, 3\)"),
        (lambda count, queries, side: np.zeros((count, queries + 1, side, side)), "shape"),
        (lambda *_: None, "NoneType"),
        (lambda count, queries, side: np.full((count, queries, side, side), np.nan), "numbers"),
    ],
)
def test_what_is_no_score_is_an_error_that_names_the_system(tmp_path, monkeypatch, answer, found):
    import test_outside_systems  # the module that the registry imports

    monkeypatch.setattr(test_outside_systems.Outside, "answer", staticmethod(answer))
    with pytest.raises(ChangeScribeError, match=f'"outside" returned.*{found}'):
        _detect(tmp_path)
    assert not (tmp_path / "out.gpkg").exists()


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("nothing", "no_such_module:X", "could not be loaded"),
        ("nothing", "test_outside_systems:Missing", "could not be loaded"),
        ("misnamed", "test_outside_systems:Misnamed", 'calls itself "another"'),
    ],
)
def test_one_that_cannot_be_loaded_is_an_error_and_hides_no_other(name, entry, message):
    systems.register(name, entry)
    with pytest.raises(InputError, match=message):
        systems.create(name)
    states = {state.name: state for state in api.systems()}
    assert not states[name].usable
    assert "outside" in states
    assert "bundled" in states


def test_what_cannot_be_registered():
    for name, entry in (("", "a:B"), ("bundled", "a:B"), ("new", "a"), ("new", ":B")):
        with pytest.raises(InputError):
            systems.register(name, entry)


def test_a_variable_that_cannot_be_read_stops_nothing_and_is_reported(monkeypatch, capsys):
    monkeypatch.setenv(systems.VARIABLE, "nonsense, outside=test_outside_systems:Outside")
    assert "outside" in systems.names()
    assert main(["models"]) == 0
    with pytest.raises(InputError, match="nonsense"):
        systems.create("nonsense")


def test_the_models_are_listed_though_one_system_cannot_be_loaded(capsys):
    systems.register("nothing", "no_such_module:X")
    assert main(["models"]) == 0
    printed = capsys.readouterr()
    assert "bundled" in printed.out
    assert "could not be loaded" in printed.err
