# SPDX-License-Identifier: GPL-3.0-or-later
"""Results appear complete or not at all: killed or failing at every step, two at once."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest
from killed import DONE, RAISED, forked, kill_at, needs_fork

from changescribe.engine.errors import ExistsError, InputError, OutputError
from changescribe.engine.request import ChangeRequest
from changescribe.engine.results import journal
from changescribe.engine.results.journal import Claim, commit, recover, sweep
from changescribe.engine.results.outputs import RunOutputs


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process has written is there without fsync; a power cut is not tested."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


SUFFIXES = ("score.tif", "score.tif.aux.xml", "mask.tif", "changes.gpkg")


def database(path: Path, text: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("CREATE TABLE t (text)")
    connection.execute("INSERT INTO t VALUES (?)", (text,))
    connection.commit()
    connection.close()


def content(path: Path) -> Optional[str]:
    if not path.exists():
        return None
    if path.suffix != ".gpkg":
        return path.read_text()
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute("SELECT text FROM t").fetchone()[0]
    finally:
        connection.close()


@pytest.fixture(params=["one folder", "three folders"])
def request_(request: pytest.FixtureRequest, tmp_path: Path) -> ChangeRequest:
    mask = score = None
    if request.param == "three folders":
        for name in ("m", "s"):
            (tmp_path / name).mkdir()
        mask, score = str(tmp_path / "m" / "mask.tif"), str(tmp_path / "s" / "score.tif")
    return ChangeRequest(
        before=str(tmp_path / "a.tif"),
        after=str(tmp_path / "b.tif"),
        prompt="houses",
        output=str(tmp_path / "out.gpkg"),
        overwrite=True,
        mask=mask,
        score=score,
    )


def write(request: ChangeRequest, text: str) -> None:
    with RunOutputs(request) as outputs:
        for suffix in SUFFIXES:
            path = Path(outputs.work(suffix))
            if path.suffix == ".gpkg":
                database(path, text)
            else:
                path.write_text(text)
        outputs.commit()


def state(request: ChangeRequest) -> set[Optional[str]]:
    """Contents of all files of a result; one element if they belong together."""
    paths = Path(request.output), *map(Path, finals(request))
    return {content(path) for path in paths}


def finals(request: ChangeRequest) -> tuple[str, ...]:
    stem = request.output[: -len(".gpkg")]
    score = request.score or f"{stem}_score.tif"
    return score, score + ".aux.xml", request.mask or f"{stem}_mask.tif"


def hidden(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob(".changescribe-*")]


def old_result(request: ChangeRequest, text: Optional[str]) -> None:
    for path in (request.output, *finals(request)):
        for suffix in ("", "-wal", "-shm"):
            Path(path + suffix).unlink(missing_ok=True)
    if text is not None:
        write(request, text)


@needs_fork
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("old", ["old", None])
def test_killed_at_every_step(
    request_: ChangeRequest, tmp_path: Path, old: Optional[str], every: int
) -> None:
    killed, finished, step = 0, 0, 1 - every
    while True:
        step += every
        old_result(request_, old)

        def work(step: int = step) -> None:
            kill_at(step)
            write(request_, "new")

        code = forked(work)
        assert code in (DONE, -9)
        recover(Path(request_.output))
        found = state(request_)
        assert found in ({old}, {"new"}), f"step {step}"
        finished += found == {"new"}
        sweep(tmp_path)
        for name in ("m", "s"):
            sweep(tmp_path / name)
        assert not hidden(tmp_path), f"step {step}"
        assert state(request_) == found
        if code == DONE:
            break
        killed += 1
    assert found == {"new"}
    assert killed * every > 40
    assert finished * every > 10  # in the middle of the renaming


@needs_fork
def test_the_next_start_finishes_what_was_killed(request_: ChangeRequest, tmp_path: Path) -> None:
    """Without --overwrite the result that a killed run left is there, and kept."""
    seen = set()
    for step in range(20, 200, 7):
        old_result(request_, None)

        def work(step: int = step) -> None:
            kill_at(step)
            write(request_, "new")

        if forked(work) == DONE:
            break
        try:
            write(replace(request_, overwrite=False), "next")
        except ExistsError:
            assert state(request_) == {"new"}
            seen.add("kept")
        else:
            assert state(request_) == {"next"}
            seen.add("written")
        assert not hidden(tmp_path)
    assert seen == {"kept", "written"}


@needs_fork
@pytest.mark.parametrize("old", ["old", None])
def test_a_renaming_that_fails_is_undone(
    request_: ChangeRequest, tmp_path: Path, old: Optional[str]
) -> None:
    fail_at = 0
    while True:
        fail_at += 1
        old_result(request_, old)

        def work(fail_at: int = fail_at) -> None:
            kill_at(0, fail_at)
            write(request_, "new")

        code = forked(work)
        recover(Path(request_.output))
        found = state(request_)
        assert found in ({old}, {"new"})
        if code == DONE and found == {"new"} and fail_at > 10:
            break
        assert not hidden(tmp_path) or code == RAISED
        sweep(tmp_path)
    assert fail_at > 10


@needs_fork
def test_killed_while_it_is_undone(request_: ChangeRequest) -> None:
    killed = 0
    for fail_at in (9, 12):
        for step in range(40, 120, 5):
            old_result(request_, "old")

            def work(step: int = step, fail_at: int = fail_at) -> None:
                kill_at(step, fail_at)
                write(request_, "new")

            code = forked(work)
            recover(Path(request_.output))
            assert state(request_) in ({"old"}, {"new"}), (fail_at, step)
            if code != -9:
                break
            killed += 1
    assert killed > 5


@needs_fork
def test_two_runs_at_the_same_moment(request_: ChangeRequest, tmp_path: Path) -> None:
    """One is refused, and never replaces the result of the other."""
    once = replace(request_, overwrite=False)
    for _ in range(10):
        old_result(request_, None)
        go = time.time() + 0.05
        children = []
        for text in ("first", "second"):
            child = os.fork()
            if not child:
                code = RAISED
                try:
                    time.sleep(max(0.0, go - time.time()))
                    write(once, text)
                    code = DONE
                except InputError:
                    code = 4
                finally:
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert sorted(codes) == [DONE, 4]
        assert state(request_) == {("first", "second")[codes.index(DONE)]}
        assert not hidden(tmp_path)


def test_a_second_run_is_refused_while_the_first_is_running(request_: ChangeRequest) -> None:
    write(request_, "old")
    with RunOutputs(request_):
        with pytest.raises(InputError, match="Another run is writing"), RunOutputs(request_):
            pass
        sweep(Path(request_.output).parent)  # by a run with another name
        assert hidden(Path(request_.output).parent)
    assert state(request_) == {"old"}


def test_a_result_that_appeared_meanwhile_is_kept(request_: ChangeRequest) -> None:
    with RunOutputs(replace(request_, overwrite=False)) as outputs:
        for suffix in SUFFIXES:
            Path(outputs.work(suffix)).write_text("new")
        Path(finals(request_)[2]).write_text("of another program")
        with pytest.raises(ExistsError):
            outputs.commit()
    assert content(Path(finals(request_)[2])) == "of another program"
    assert not Path(request_.output).exists()


def test_a_folder_in_the_way_is_refused_before_the_run(request_: ChangeRequest) -> None:
    for path in (request_.output, finals(request_)[0], finals(request_)[2]):
        Path(path).mkdir()
        with pytest.raises(InputError, match="is a folder"):
            RunOutputs(request_)
        Path(path).rmdir()


# ---- SQLite ----


def hold_open(path: Path, statements: str) -> subprocess.Popen:
    code = (
        "import sqlite3, sys, time\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        f"for s in {statements!r}.split(';'): c.execute(s).fetchall()\n"
        "print('open', flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


@pytest.mark.parametrize(
    "statements",
    [
        "PRAGMA journal_mode=WAL;SELECT * FROM t",
        "PRAGMA journal_mode=WAL;UPDATE t SET text = 'edited'",
        "BEGIN;SELECT * FROM t",
        "BEGIN EXCLUSIVE",
    ],
)
def test_a_result_open_in_another_program_is_in_use(
    request_: ChangeRequest, statements: str
) -> None:
    write(request_, "old")
    child = hold_open(Path(request_.output), statements)
    try:
        with pytest.raises(OutputError, match="is in use"):
            RunOutputs(request_)
    finally:
        child.kill()
        child.wait()
    write(request_, "new")
    assert state(request_) == {"new"}


def test_a_result_opened_during_the_run_is_in_use(request_: ChangeRequest) -> None:
    write(request_, "old")
    with RunOutputs(request_) as outputs:
        for suffix in SUFFIXES:
            Path(outputs.work(suffix)).write_text("new")
        child = hold_open(Path(request_.output), "BEGIN;SELECT * FROM t")
        try:
            with pytest.raises(OutputError, match="is in use"):
                outputs.commit()
        finally:
            child.kill()
            child.wait()
    assert state(request_) == {"old"}


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_the_log_of_a_killed_program_is_not_applied_to_the_new_result(
    request_: ChangeRequest, mode: str
) -> None:
    write(request_, "old")
    path = Path(request_.output)
    statements = (
        f"PRAGMA journal_mode={mode};PRAGMA cache_size=1;BEGIN"
        if mode == "DELETE"
        else ("PRAGMA journal_mode=WAL;PRAGMA wal_autocheckpoint=0;BEGIN")
    )
    statements += ";INSERT INTO t SELECT hex(randomblob(60000));UPDATE t SET text = 'edited'"
    child = hold_open(path, statements if mode == "DELETE" else statements + ";COMMIT")
    child.kill()
    child.wait()
    beside = Path(f"{path}-{'wal' if mode == 'WAL' else 'journal'}")
    assert beside.stat().st_size > 0
    write(request_, "new")
    assert state(request_) == {"new"}
    assert not beside.exists()


# ---- working folders ----


def test_working_folders_of_killed_runs_are_swept(request_: ChangeRequest, tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from changescribe.engine.results.journal import Claim\n"
        "with Claim(Path(sys.argv[1]), True) as claim:\n"
        "    (claim.work / 'score.tif').write_text('half')\n"
        "    print('open', flush=True)\n"
        "    time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "other.gpkg")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    child.stdout.readline()
    write(request_, "new")
    assert len(hidden(tmp_path)) == 1  # it is alive
    child.kill()
    child.wait()
    write(request_, "newer")
    assert hidden(tmp_path) == []


def test_other_folders_are_left_alone(request_: ChangeRequest, tmp_path: Path) -> None:
    mine = [tmp_path / name for name in (".changescribe-mine", ".changescribe", "changescribe-1")]
    for folder in mine:
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    write(request_, "new")
    assert all((folder / "notes.txt").exists() for folder in mine)


def test_a_file_system_without_locks(
    request_: ChangeRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with (
        RunOutputs(request_),
        pytest.raises(InputError, match="Another run"),
        RunOutputs(request_),
    ):
        pass
    write(request_, "new")
    assert state(request_) == {"new"}
    assert hidden(tmp_path) == []


def test_a_journal_of_somebody_else_moves_nothing_elsewhere(tmp_path: Path) -> None:
    """A folder that came with the results: its journal names files outside."""
    outside, inside = tmp_path / "home", tmp_path / "results"
    for folder in (outside, inside):
        folder.mkdir()
    secret = outside / "notes.txt"
    secret.write_text("mine")
    output = inside / "out.gpkg"
    folder = journal._folder_of(output)
    hostile: list[object] = [
        {"phase": phase, "files": [{"final": final, "parts": parts, "new": parts}]}
        for phase in ("aside", "place", "undo")
        for final, parts in (
            (str(secret), ["notes.txt"]),
            ("../home/notes.txt", ["notes.txt"]),
            ("out.gpkg", ["../home/notes.txt"]),
            ("out.gpkg", ["..", "."]),
            ("out.gpkg", ["a\0b"]),
            ("..", ["notes.txt"]),
        )
    ]
    hostile += [{"owner": owner} for owner in (str(secret), "/", "", "..", "a\0", "out.gpkg", 3)]
    hostile += [[], None, 3, {}, {"files": 3}, {"files": [3], "phase": "aside"}, "x"]
    texts = [json.dumps(found) for found in hostile] + ["[" * 100_000, "{", "\xff"]
    for text in texts:
        for name in ("new", "old"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "notes.txt").write_text("theirs")
        (folder / "journal.json").write_text(text, encoding="utf-8")
        recover(output)
        sweep(inside)
        assert secret.read_text() == "mine"
        assert sorted(path.name for path in outside.iterdir()) == ["notes.txt"]


def test_a_link_in_place_of_the_working_folder(tmp_path: Path) -> None:
    target = tmp_path / "documents"
    (target / "new").mkdir(parents=True)
    (target / "new" / "thesis.txt").write_text("mine")
    output = tmp_path / "out.gpkg"
    journal._folder_of(output).symlink_to(target)
    sweep(tmp_path)
    with pytest.raises((InputError, OutputError)), Claim(output, overwrite=True):
        pass
    assert (target / "new" / "thesis.txt").read_text() == "mine"
    assert [path.name for path in target.iterdir()] == ["new"]


def test_new_files_are_on_disk_before_the_journal(
    request_: ChangeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(request_, "old")
    synced: list[str] = []

    def sync(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}"))

    monkeypatch.setattr(os, "fsync", sync)
    write(request_, "new")
    folder = journal._folder_of(Path(request_.output))
    first = synced.index(str(folder / "journal.tmp"))
    for name in (request_.output, *finals(request_)):
        assert any(path.endswith("/new/" + Path(name).name) for path in synced[:first])
    assert synced[-1] == str(folder)


def test_long_names(tmp_path: Path) -> None:
    name = "x" * 251 + ".tif"
    with Claim(tmp_path / name, overwrite=False) as claim:
        (claim.new / name).write_text("new")
        commit(claim)
    assert content(tmp_path / name) == "new"
    assert os.listdir(tmp_path) == [name]
