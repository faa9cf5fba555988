# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker process and its host: answers, printing, crashes, hangs, errors, shutdown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import worker_systems
from worker_systems import load, predict

import changescribe
from changescribe.engine.errors import (
    CancelledError,
    ChangeScribeError,
    DependencyError,
    WeightsError,
)
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.hosts.worker_host import WorkerHost
from changescribe.engine.hosts.worker_link import _MEMORY_FOLDER, PROTOCOL, Block, Shape
from changescribe.engine.hosts.worker_process import PYTHON_VARIABLE, WorkerProcess, find_python
from changescribe.engine.hosts.worker_service import Limits
from changescribe.engine.request import APPEARED, REMOVED, Hints, Query

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the tests send signals")

ROOT = Path(changescribe.__file__).resolve().parent
BUILT = (Query("buildings", APPEARED),)
LIMITS = Limits(start=60, load=60, predict=60, cancel=0.3, stop=2)


@pytest.fixture(autouse=True)
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file by which the systems know that they have been called before."""
    worker_systems.register_all()
    monkeypatch.setenv("CHANGESCRIBE_TEST_MARK", str(tmp_path / "mark"))
    monkeypatch.setenv("PYTHONPATH", worker_systems.FOLDER)  # of the worker as well
    return tmp_path / "mark"


@pytest.fixture
def make_host() -> Iterator[Callable[..., WorkerHost]]:
    made = []

    def make(**limits: float) -> WorkerHost:
        made.append(WorkerHost(sys.executable, replace(LIMITS, **limits)))
        return made[-1]

    yield make
    for host in made:
        host.close()


@pytest.fixture
def host(make_host: Callable[..., WorkerHost]) -> WorkerHost:
    return make_host()


def batch(size: int = 64, count: int = 2) -> tuple[np.ndarray, np.ndarray]:
    return tuple(
        np.random.default_rng(seed).integers(0, 255, (count, size, size, 3), dtype=np.uint8)
        for seed in (1, 2)
    )


def pid_of(host: WorkerHost) -> int:
    return host.service._session.process.pid


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_answers_are_those_of_the_same_system_in_this_process(host: WorkerHost) -> None:
    here = InProcessHost()
    queries = [*BUILT, Query("élan", REMOVED)]
    for size, count in ((64, 2), (32, 1), (96, 3)):  # less memory than before, then more
        tiles = batch(size, count)
        there = predict(host, "plain", *tiles, queries)
        expected = predict(here, "plain", *tiles, queries)
        assert np.array_equal(there.scores, expected.scores)
        assert np.array_equal(there.classes_before, expected.classes_before)
        assert np.array_equal(there.classes_after, expected.classes_after)
        assert there.notes == ()
    with host.open("plain") as opened:
        assert opened.notes(queries) == ("no élan",)
        assert opened.info == host.info("plain") == here.info("plain")


def test_queries_and_every_hint_arrive_as_they_were_sent(host: WorkerHost) -> None:
    queries = (Query("élan", APPEARED), Query("grass", REMOVED))
    partners = (("grass", "trees"), ())
    hints = Hints(("grass", "bare ground"), partners, coarse=True, sharp=True)
    default = Hints()
    for field in fields(Hints):
        assert getattr(hints, field.name) != getattr(default, field.name), field.name
    with host.open("echoes") as opened:
        for given in (hints, default):
            expected = (repr((queries, given)),)
            regions = np.zeros((2, 64, 64), np.uint8)
            assert opened.notes(queries, given) == expected
            assert opened.predict(*batch(), queries, given).notes == expected
            assert opened.describe(*batch(), queries, regions, given).notes == expected


def test_the_model_stays_loaded_and_the_answers_are_the_callers_own(host: WorkerHost) -> None:
    with host.open("plain", "cpu") as opened:
        assert "load 1" in opened.device
        first = opened.predict(*batch(), BUILT)
        kept = first.scores.copy()
        pid = pid_of(host)
        opened.predict(*reversed(batch()), BUILT)
    assert np.array_equal(first.scores, kept)
    assert load(host, "plain", "cpu") == f"CPU (process {pid}, load 2)"


def test_the_worker_imports_neither_gdal_nor_torch_nor_from_the_present_folder(
    host: WorkerHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    with host.open("plain") as opened:
        assert opened.notes([Query("modules", APPEARED)]) == ("numpy",)


def test_what_a_library_prints_does_not_disturb(host: WorkerHost) -> None:
    answer = predict(host, "printing", *batch(), BUILT)
    assert np.array_equal(answer.scores, predict(InProcessHost(), "plain", *batch(), BUILT).scores)
    wait_for(lambda: "from a child" in host.service._session.process.log)
    assert "one line" in host.service._session.process.log


def test_a_crash_is_reported_and_the_tile_repeated(host: WorkerHost, mark: Path) -> None:
    load(host, "dies_once")
    pid = pid_of(host)
    answer = predict(host, "dies_once", *batch(count=1), BUILT)
    (note,) = answer.notes
    assert note == (
        "The worker process ended unexpectedly (signal 9) and was restarted; the tile was repeated."
    )
    assert np.array_equal(
        answer.scores, predict(InProcessHost(), "plain", *batch(count=1), BUILT).scores
    )
    assert pid_of(host) != pid
    assert predict(host, "dies_once", *batch(), BUILT).notes == ()


def test_a_second_crash_on_the_same_tile_is_an_error_with_a_hint(host: WorkerHost) -> None:
    with pytest.raises(ChangeScribeError, match=r"twice .* tile \(exit code 3\)") as info:
        predict(host, "dies", *batch(), BUILT)
    assert "CPU" in info.value.hint
    assert "the last words" in info.value.details
    assert predict(host, "plain", *batch(), BUILT).scores.shape == (2, 1, 64, 64)


def test_a_death_between_runs_or_while_loading(host: WorkerHost) -> None:
    with host.open("plain") as opened:
        os.kill(pid_of(host), signal.SIGKILL)
        assert opened.predict(*batch(), BUILT).scores.any()
    os.kill(pid_of(host), signal.SIGKILL)
    wait_for(lambda: not host.service._session.process.alive)
    assert predict(host, "plain", *batch(), BUILT).notes == ()
    with pytest.raises(ChangeScribeError, match=r"while loading the model \(signal 9\)"):
        load(host, "dies_loading")


def test_a_batch_that_takes_too_long_is_stopped(make_host: Callable[..., WorkerHost]) -> None:
    host = make_host(predict=0.5)
    load(host, "hangs")
    pid = pid_of(host)
    with pytest.raises(ChangeScribeError, match="did not answer"):
        predict(host, "hangs", *batch(), BUILT)
    assert not is_running(pid)
    assert predict(host, "hangs", *batch(), BUILT).notes == ()


def test_cancelling_does_not_wait_for_a_batch_that_hangs(host: WorkerHost, mark: Path) -> None:
    load(host, "hangs")
    start = time.monotonic()
    with pytest.raises(CancelledError):
        predict(host, "hangs", *batch(), BUILT, cancelled=mark.exists)
    assert time.monotonic() - start < 10
    assert predict(host, "hangs", *batch(), BUILT).notes == ()


def test_a_batch_that_ends_soon_after_cancelling_is_kept(
    make_host: Callable[..., WorkerHost],
) -> None:
    host = make_host(cancel=30)
    load(host, "plain")
    pid = pid_of(host)
    assert predict(host, "plain", *batch(), BUILT, cancelled=lambda: True).scores.any()
    assert pid_of(host) == pid


def test_closing_does_not_wait_for_a_batch_that_hangs(host: WorkerHost, mark: Path) -> None:
    outcome = []

    def work() -> None:
        try:
            predict(host, "hangs", *batch(), BUILT)
        except ChangeScribeError as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(mark.exists)
    pid = pid_of(host)
    start = time.monotonic()
    host.close()
    thread.join(10)
    assert time.monotonic() - start < 10
    assert isinstance(outcome[0], CancelledError)
    assert not is_running(pid)
    with pytest.raises(CancelledError):
        load(host, "plain")


def test_threads_take_turns(host: WorkerHost) -> None:
    here = InProcessHost()
    wrong = []

    def work(seed: int) -> None:
        tiles = [
            np.random.default_rng(seed + k).integers(0, 255, (1, 32, 32, 3), dtype=np.uint8)
            for k in (0, 1)
        ]
        for _ in range(10):
            answer = predict(host, "plain", *tiles, BUILT).scores
            if not np.array_equal(answer, predict(here, "plain", *tiles, BUILT).scores):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_an_error_for_the_user_keeps_its_kind_and_words(host: WorkerHost) -> None:
    with pytest.raises(WeightsError) as info:
        load(host, "refuses")
    error = info.value
    assert (error.message, error.hint, error.details) == (
        "The weights are missing.",
        "Fetch them (5 MB).",
        "sum.bin",
    )


def test_an_unexpected_error_comes_with_its_traceback(host: WorkerHost) -> None:
    with pytest.raises(ChangeScribeError, match="ZeroDivisionError") as info:
        predict(host, "breaks", *batch(), BUILT)
    assert "worker_systems.py" in info.value.details
    assert "in the middle" in info.value.details
    with pytest.raises(ChangeScribeError, match="not enough memory") as info:
        predict(host, "breaks", *batch(), [Query("memory", APPEARED)])
    assert "CPU" in info.value.hint
    with pytest.raises(ChangeScribeError) as info:
        predict(host, "breaks", *batch(), [Query("shape", APPEARED)])
    assert "answered (1, 1, 2, 2)" in info.value.details


def test_the_worker_ends_with_a_parent_that_is_killed(tmp_path: Path, mark: Path) -> None:
    """Also while it computes; and the shared memory leaves no file behind."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, threading\n"
        f"sys.path.append({worker_systems.FOLDER!r})\n"
        "import numpy as np, worker_systems\n"
        "from changescribe.engine.request import Query\n"
        "from changescribe.engine.hosts.worker_host import WorkerHost\n"
        "worker_systems.register_all()\n"
        "host = WorkerHost(sys.executable)\n"
        "worker_systems.load(host, 'hangs')\n"
        "print(host.service._session.process.pid, flush=True)\n"
        "tiles = np.zeros((1, 64, 64, 3), np.uint8)\n"
        "worker_systems.predict(host, 'hangs', tiles, tiles, [Query('roads', 'appeared')])\n",
        encoding="utf-8",
    )
    folders = [Path(_MEMORY_FOLDER), Path(tempfile.gettempdir())]
    before = {path for folder in folders for path in folder.glob("changescribe-*")}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        wait_for(mark.exists)
        assert is_running(pid)
        parent.kill()
    wait_for(lambda: not is_running(pid), 10)
    after = {path for folder in folders for path in folder.glob("changescribe-*")}
    assert not after - before


def test_interrupting_a_terminal_does_not_reach_the_worker(host: WorkerHost) -> None:
    load(host, "plain")
    assert os.getsid(pid_of(host)) != os.getsid(0)


def test_a_program_that_is_not_python_is_an_error(tmp_path: Path) -> None:
    host = WorkerHost("/bin/false", limits=LIMITS)
    with pytest.raises(ChangeScribeError, match="as soon as it was started"):
        load(host, "plain")
    host = WorkerHost("/bin/echo", limits=LIMITS)
    with pytest.raises(ChangeScribeError, match="not understood"):
        load(host, "plain")
    host = WorkerHost(str(tmp_path / "nothing"), limits=LIMITS)
    with pytest.raises(DependencyError, match="could not be started"):
        load(host, "plain")


def test_a_python_without_numpy_is_an_error_each_time(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    host = WorkerHost(str(bare), LIMITS)
    for _ in range(2):
        with pytest.raises(DependencyError, match="no numpy"):
            load(host, "plain")
    host.close()


def test_another_version_is_an_error(monkeypatch: pytest.MonkeyPatch, host: WorkerHost) -> None:
    monkeypatch.setattr("changescribe.engine.hosts.worker_service.PROTOCOL", 0)
    with pytest.raises(ChangeScribeError, match="another version"):
        load(host, "plain")


def test_the_module_runs_from_a_folder_on_the_path(tmp_path: Path) -> None:
    """As in QGIS's profile, where nothing is installed; it ends when its input does."""
    (tmp_path / "changescribe").symlink_to(ROOT, target_is_directory=True)
    done = subprocess.run(
        [sys.executable, "-m", "changescribe.engine.hosts.worker"],
        input=json.dumps({"call": "notes", "arguments": {"system": "none", "queries": []}}) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    hello = json.loads(done.stdout.splitlines()[0])
    assert done.returncode == 0, done.stderr
    assert hello["result"]["protocol"] == PROTOCOL


def test_the_python_of_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def program(name: str) -> str:
        path = tmp_path / name
        path.touch()
        path.chmod(0o755)
        return str(path)

    setting, variable, installed = (program(name) for name in ("setting", "variable", "installed"))
    monkeypatch.setenv(PYTHON_VARIABLE, variable)
    assert find_python(setting, installed) == setting
    assert find_python("", installed) == variable
    with pytest.raises(DependencyError, match="nowhere"):
        find_python(str(tmp_path / "nowhere"), installed)
    monkeypatch.delenv(PYTHON_VARIABLE)
    assert find_python("", installed) == installed

    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert find_python() == sys.executable
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert find_python(torch=False) == sys.executable
    monkeypatch.setattr(sys, "executable", "/Applications/QGIS.app/Contents/MacOS/QGIS")
    with pytest.raises(DependencyError, match="needs PyTorch"):
        find_python("", str(tmp_path / "gone"))
    with pytest.raises(DependencyError, match=r"^No Python program was found"):
        find_python(torch=False)


def test_memory_that_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    with pytest.raises(ChangeScribeError, match="not enough memory"):
        Block.create(Shape(1, 64, 64, 1).size)


def test_a_process_that_stops_reading_is_ended(host: WorkerHost) -> None:
    process = WorkerProcess(sys.executable)
    process.answer(60)
    os.kill(process.pid, signal.SIGSTOP)
    start = time.monotonic()
    process.end(0.2)
    assert time.monotonic() - start < 5
    assert not process.alive
