# SPDX-License-Identifier: GPL-3.0-or-later
"""``changescribe synthesise``: progress, output and cancelling."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("scipy")
pytest.importorskip("PIL")

from changescribe.engine.cli import app, main
from changescribe.engine.synthesis.layouts import LAYOUTS


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Restore the signal handlers that the command replaces."""
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    yield
    for name, handler in handlers.items():
        signal.signal(name, handler)


def synthesise(folder: Path, *options: str) -> int:
    return main(["synthesise", str(folder), "--size", "64", *options])


def test_progress_is_shown_and_the_path_of_the_scenes_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert synthesise(tmp_path, "--count", "2") == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(tmp_path / "scenes.json")
    assert " 50% scene 1 of 2" in printed.err
    assert "100% scene 2 of 2" in printed.err
    assert len(json.loads((tmp_path / "scenes.json").read_text())["scenes"]) == 2


def test_a_layout_can_be_chosen(tmp_path, capsys):
    assert synthesise(tmp_path, "--count", "1", "--layout", "pond") == 0
    scenes = json.loads((tmp_path / "scenes.json").read_text())["scenes"]
    assert [scene["layout"] for scene in scenes] == ["pond"]
    assert synthesise(tmp_path / "moon", "--layout", "moon") == 2
    assert ", ".join(LAYOUTS) in capsys.readouterr().err


def test_a_negative_seed_is_an_input_error(tmp_path, capsys):
    assert synthesise(tmp_path, "--seed", "-1") == 2
    printed = capsys.readouterr().err
    assert "at least 0" in printed
    assert "Traceback" not in printed


def test_an_interrupt_stops_after_the_current_pair(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(app, "_show_line", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    assert synthesise(tmp_path, "--count", "3") == 130
    printed = capsys.readouterr().err
    assert "Cancelled: 1 of 3 pairs" in printed
    assert "Error" not in printed
    assert len(list((tmp_path / "after").iterdir())) == 1
