# SPDX-License-Identifier: GPL-3.0-or-later
"""``changescribe models``: list, fetch, import, verify, remove."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from weights_server import CONTENT, SHA256, Server, make_entry, running

from changescribe.engine import systems
from changescribe.engine.cli import main
from changescribe.engine.hosts import routing
from changescribe.engine.systems.bundled import BundledSystem
from changescribe.engine.weights import catalogue
from changescribe.engine.weights import fetch as fetching


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A catalogue of two files, one of them fetched from a local server."""
    monkeypatch.setattr(fetching, "_PAUSE_S", 0.0)
    monkeypatch.setenv("CHANGESCRIBE_WEIGHTS", str(tmp_path / "store"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running() as server:
        rows = (
            make_entry(server),
            make_entry(server, id="head", file="head.pt", sha256=None, size=None, url=None),
        )
        monkeypatch.setattr(catalogue, "entries", lambda: {entry.id: entry for entry in rows})
        yield server


def printed_json(capsys: pytest.CaptureFixture) -> list[dict]:
    return json.loads(capsys.readouterr().out)


def test_weights_from_absent_to_verified_to_removed(
    server: Server, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    assert main(["models", "list", "--json"]) == 0
    assert [(row["id"], row["state"], row["can_be_fetched"]) for row in printed_json(capsys)] == [
        ("small-clip", "absent", True),
        ("head", "absent", False),
    ]
    assert main(["models", "verify"]) == 0
    assert capsys.readouterr().out == "There are no weights to verify.\n"
    assert main(["models", "fetch", "small-clip", "--json"]) == 0
    (row,) = printed_json(capsys)
    assert row["found_sha256"] == SHA256
    assert Path(row["path"]) == tmp_path / "store" / "small-clip" / "weights.pt"
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Folder: {tmp_path / 'store'}"
    assert lines[1].split()[:2] == ["small-clip", "present"]
    assert lines[2].endswith("import only")
    assert main(["models", "verify"]) == 0
    assert capsys.readouterr().out == "small-clip: present\n"
    Path(row["path"]).write_bytes(b"x" * len(CONTENT))
    assert main(["models", "verify", "--json"]) == 2
    assert printed_json(capsys)[0]["state"] == "damaged"
    assert main(["models", "remove", "small-clip"]) == 0
    assert capsys.readouterr().out == "Removed: small-clip\n"
    assert main(["models", "verify", "small-clip"]) == 2


def test_import_shows_the_computed_sha256(
    server: Server, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "head.pt").write_bytes(CONTENT)
    assert main(["models", "import", str(tmp_path / "stick")]) == 0
    assert f"SHA-256 {SHA256} (computed; none is published)" in capsys.readouterr().out
    assert main(["models", "import", str(tmp_path / "stick" / "head.pt"), "--id", "head"]) == 0
    assert server.requests == []


def test_errors_give_the_next_step(
    server: Server, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    assert main(["models", "fetch", "head"]) == 2
    assert "models import FILE --id head" in capsys.readouterr().err
    assert main(["models", "fetch", "nonsense"]) == 2
    assert "Choose one of: small-clip, head." in capsys.readouterr().err
    assert main(["models", "import", str(tmp_path)]) == 2
    assert "Looked for: weights.pt, head.pt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["lgcd", "mmchange", "textscd", "zero-shot", "zero-shot-remoteclip"]
)
def test_a_run_without_weights_names_every_file_its_size_and_how_to_get_it(
    name: str,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_raster: Callable[..., str],
) -> None:
    """Before PyTorch is needed: the machine that fetches them may not have it."""
    monkeypatch.setenv("CHANGESCRIBE_WEIGHTS", str(tmp_path / "store"))
    monkeypatch.setitem(sys.modules, "triton", None)  # what running in this process blocks
    monkeypatch.setattr(routing, "_options", routing.HostOptions())
    pair = [make_raster(f"{date}.tif", np.zeros((3, 64, 64), np.uint8)) for date in "ab"]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    assert (
        main(
            [
                "detect",
                *pair,
                "--prompt",
                "buildings built",
                "--system",
                name,
                "--host",
                "in-process",
                "--out",
                str(tmp_path / "out.gpkg"),
            ]
        )
        == 2
    )
    for number, handler in handlers.items():
        signal.signal(number, handler)
    printed = capsys.readouterr().err
    needed = systems.create(name).info.weights
    assert needed
    for entry in (catalogue.entry(identifier) for identifier in needed):
        assert f"({entry.file}, {entry.size_text})" in printed
        way = f"models fetch {entry.id}" if entry.can_be_fetched else f"FILE --id {entry.id}"
        assert way in printed
    assert not (tmp_path / "out.gpkg").exists()


def test_a_system_name_stands_for_all_its_weights(
    server: Server, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = replace(BundledSystem().info, weights=("small-clip",))
    monkeypatch.setattr(BundledSystem, "info", info)
    monkeypatch.setattr(systems, "names", lambda: ("bundled",))
    assert main(["models"]) == 0
    assert "needs: small-clip (288 kB), absent" in capsys.readouterr().out
    assert main(["models", "--json"]) == 0
    assert printed_json(capsys)[0]["weights"] == ["small-clip"]
    assert main(["models", "fetch", systems.names()[0], "--json"]) == 0
    assert printed_json(capsys)[0]["state"] == "present"
    assert main(["models", "--json", "list"]) == 0
    assert printed_json(capsys)[0]["id"] == "small-clip"


def test_what_cannot_be_fetched_does_not_stop_the_rest(
    server: Server, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    info = replace(BundledSystem().info, weights=("head", "small-clip"))
    monkeypatch.setattr(BundledSystem, "info", info)
    monkeypatch.setattr(systems, "names", lambda: ("bundled",))
    assert main(["models", "fetch", "bundled", "--json"]) == 2
    printed = capsys.readouterr()
    assert [(row["id"], row["state"]) for row in json.loads(printed.out)] == [
        ("small-clip", "present")
    ]
    assert "bundled is missing weights" in printed.err
    assert "head.pt" in printed.err
    (tmp_path / "head.pt").write_bytes(b"weights")
    assert main(["models", "import", str(tmp_path / "head.pt"), "--id", "head"]) == 0
    capsys.readouterr()
    assert main(["models", "fetch", "bundled", "--json"]) == 0
    assert {row["id"] for row in printed_json(capsys)} == {"head", "small-clip"}
