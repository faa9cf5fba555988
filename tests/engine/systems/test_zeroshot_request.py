# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of competing classes in request, system, parse, runs and command line."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from osgeo import ogr

import changescribe.engine as cs
from changescribe.engine.cli import main
from changescribe.engine.detect import pipeline
from changescribe.engine.errors import InputError
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.request import ChangeRequest, Hints


@pytest.fixture
def pair(make_raster: Callable[..., str]) -> tuple[str, str]:
    before = np.full((3, 64, 64), 60, np.uint8)
    after = before.copy()
    after[:, 10:30, 10:30] = 250
    return make_raster("before.tif", before), make_raster("after.tif", after)


@pytest.fixture
def received(brightness: InProcessHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Hints]]:
    """Hints received by a system with a list of competing classes."""
    system, seen = brightness._system("brightness"), []
    system.info = replace(system.info, competing=("grass", "water"))
    predict = system.predict

    def record(before: Any, after: Any, queries: Any, hints: Any) -> Any:
        seen.append(hints)
        return predict(before, after, queries, hints)

    monkeypatch.setattr(system, "predict", record)
    monkeypatch.setattr(pipeline, "shared_host", lambda: brightness)
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    yield seen
    for name, handler in handlers.items():
        signal.signal(name, handler)


def detect(pair: tuple[str, str], out: Path, *options: str) -> int:
    return main(
        [
            "detect",
            *pair,
            "--out",
            str(out),
            "--system",
            "brightness",
            "--prompt",
            "buildings built",
            "--json",
            *options,
        ]
    )


def runs_row(path: Path) -> dict[str, Any]:
    source = ogr.Open(str(path))
    return json.loads(source.GetLayerByName("runs").GetNextFeature().ExportToJson())["properties"]


def test_the_users_list_reaches_the_system_and_the_runs(
    pair: tuple[str, str], received: list[Hints], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out.gpkg"
    assert detect(pair, out, "--competing", "Grass, bare ground") == 0
    assert {hints.competing for hints in received} == {("grass", "bare ground")}
    answer = json.loads(capsys.readouterr().out)
    assert answer["parse"]["competing"] == ["grass", "bare ground"]
    assert answer["parse"]["queries"] == [{"object": "buildings", "direction": "appeared"}]
    assert answer["parse"]["explanation"].endswith("competing classes: grass, bare ground")
    assert answer["counts"] == {"total": 1, "buildings|appeared": 1}
    assert runs_row(out)["competing"] == "grass, bare ground"


def test_scripts_give_the_list_as_an_option(
    pair: tuple[str, str], received: list[Hints], tmp_path: Path
) -> None:
    result = cs.detect(*pair, "buildings built", system="brightness", competing=["grass", "sand"])
    assert {hints.competing for hints in received} == {("grass", "sand")}
    assert result.parse.hints.competing == ("grass", "sand")


def test_the_systems_own_list_is_recorded_too(
    pair: tuple[str, str], received: list[Hints], tmp_path: Path
) -> None:
    assert detect(pair, tmp_path / "out.gpkg") == 0
    assert {hints.competing for hints in received} == {("grass", "water")}
    assert runs_row(tmp_path / "out.gpkg")["competing"] == "grass, water"


def test_a_system_without_a_list_warns_and_an_empty_list_is_an_error(
    pair: tuple[str, str], brightness: InProcessHost, tmp_path: Path
) -> None:
    request = ChangeRequest(
        *pair,
        "buildings built",
        str(tmp_path / "out.gpkg"),
        "brightness",
        hints=Hints(competing=("grass",)),
    )
    result = pipeline.detect(request, brightness)
    assert any("ignores competing classes" in warning for warning in result.warnings)
    assert not result.parse.hints.competing
    assert runs_row(tmp_path / "out.gpkg")["competing"] is None
    with pytest.raises(InputError, match="list of competing classes is empty"):
        pipeline.detect(replace(request, hints=Hints(competing=()), overwrite=True), brightness)
