# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host a system gets, and whole runs through the worker process."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Callable

import numpy as np
import pytest
import worker_systems
from osgeo import gdal
from worker_systems import load, predict

from changescribe.engine.cli import main
from changescribe.engine.detect import pipeline
from changescribe.engine.errors import CancelledError, ChangeScribeError, DependencyError
from changescribe.engine.hosts import routing
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.hosts.routing import HostOptions, RoutingHost, block_triton
from changescribe.engine.hosts.worker_process import PYTHON_VARIABLE
from changescribe.engine.request import ChangeRequest, Progress, Query, Stage
from changescribe.engine.weights import store

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the tests send signals")

OPTIONS = HostOptions(python=sys.executable)
HERE = f"process {os.getpid()}"


@pytest.fixture(autouse=True)
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file by which the systems know that they have been called before."""
    worker_systems.register_all()
    monkeypatch.setenv("CHANGESCRIBE_TEST_MARK", str(tmp_path / "mark"))
    monkeypatch.setenv("PYTHONPATH", worker_systems.FOLDER)  # of the worker as well
    # Modules blocked by a test stay blocked for that test only.
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    return tmp_path / "mark"


@pytest.fixture
def host() -> Iterator[RoutingHost]:
    made = RoutingHost(OPTIONS)
    yield made
    made.close()


@pytest.fixture
def request_(make_raster: Callable[..., str], tmp_path: Path) -> ChangeRequest:
    """Two rasters of 6 x 4 tiles of "plain"; a block becomes bright."""
    before = np.full((3, 200, 300), 60, np.uint8)
    after = before.copy()
    after[:, 50:70, 100:140] = 250
    return ChangeRequest(
        make_raster("b.tif", before),
        make_raster("a.tif", after),
        "buildings built",
        str(tmp_path / "out.gpkg"),
        system="plain",
    )


def worker_pid(host: RoutingHost) -> int:
    return host._worker.service._session.process.pid


def test_a_system_runs_by_its_tier(host: RoutingHost) -> None:
    assert host.info("plain").tier == "full"
    assert host._worker is None
    assert HERE in load(host, "compact")
    assert host._worker is None
    device = load(host, "plain")
    assert f"process {worker_pid(host)}" in device
    with host.open("plain") as opened:
        assert opened.notes([Query("élan", "appeared")]) == ("no élan",)


def test_the_users_choice_comes_first_and_holds_from_the_next_load(host: RoutingHost) -> None:
    tiles = np.zeros((1, 64, 64, 3), np.uint8)
    with host.open("plain") as opened:
        pid = worker_pid(host)
        host.configure(replace(OPTIONS, mode="in-process"))
        opened.predict(tiles, tiles, [Query("roads", "appeared")])
        assert worker_pid(host) == pid
    assert HERE in load(host, "plain")
    assert sys.modules["triton"] is None
    host.configure(replace(OPTIONS, mode="worker"))
    assert f"process {pid}" in load(host, "compact")


@pytest.mark.parametrize("mode", ["auto", "worker"])
def test_a_missing_pytorch_does_not_hide_missing_weights(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(store, "_chosen", tmp_path)
    host = RoutingHost(HostOptions(mode))
    with pytest.raises(DependencyError) as caught, host.open("lgcd"):
        pass
    assert "needs PyTorch" in caught.value.message
    assert "lgcd is missing weights: " in caught.value.message
    assert "click Install" in caught.value.hint
    assert "models import FILE --id lg-cd-head" in caught.value.hint
    with pytest.raises(DependencyError) as caught, host.open("plain"):
        pass
    assert "weights" not in str(caught.value)


def test_a_compact_system_needs_no_pytorch_in_the_worker(
    host: RoutingHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    host.configure(HostOptions("worker"))
    device = load(host, "compact")
    assert f"process {worker_pid(host)}" in device


@pytest.fixture
def other_python(tmp_path: Path) -> HostOptions:
    """The same Python under another path."""
    program = tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{worker_systems.FOLDER}" exec "{sys.executable}" "$@"\n'
    )
    program.chmod(0o755)
    return replace(OPTIONS, python=str(program))


def test_another_python_gets_another_process_and_the_former_one_ends(
    host: RoutingHost, other_python: HostOptions, tmp_path: Path
) -> None:
    load(host, "plain")
    former = host._worker.service._session.process
    host.configure(other_python)
    with host.open("plain"):
        assert worker_pid(host) != former.pid
        assert not former.alive
    host.configure(replace(OPTIONS, python=str(tmp_path / "none")))
    with pytest.raises(DependencyError, match="was not found"):
        load(host, "plain")


def test_a_former_worker_ends_when_the_last_system_in_it_is_closed(
    host: RoutingHost, other_python: HostOptions
) -> None:
    tiles = np.zeros((1, 64, 64, 3), np.uint8)
    with host.open("plain") as plain:
        former = host._worker.service._session.process
        with host.open("echoes"):
            host.configure(other_python)
            load(host, "plain")
        assert former.alive
        plain.predict(tiles, tiles, [Query("roads", "appeared")])
        assert former.alive
    assert not former.alive


def test_another_python_does_not_disturb_what_another_thread_runs(
    host: RoutingHost, other_python: HostOptions, mark: Path
) -> None:
    tiles = np.zeros((1, 64, 64, 3), np.uint8)
    for system in ("hangs", "plain"):
        load(host, system)
    former = host._worker
    leave = threading.Event()
    ends: list[BaseException] = []

    def run() -> None:
        try:
            predict(host, "hangs", tiles, tiles, [Query("roads", "appeared")], leave.is_set)
        except CancelledError as error:
            ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not mark.exists():
        time.sleep(0.05)
    host.configure(other_python)
    pid = former.service._session.process.pid
    # Everything is loaded elsewhere during a call, which continues.
    for system in ("hangs", "plain"):
        assert f"process {pid}" not in load(host, system)
    assert former.service._session.process.pid == pid
    assert former.service._session.process.alive
    assert not ends
    process = former.service._session.process
    former.service.limits = replace(former.service.limits, cancel=0.2)
    leave.set()
    thread.join(60)
    assert len(ends) == 1
    assert not process.alive
    assert host._former == []


def test_a_closed_host_can_be_used_again(host: RoutingHost) -> None:
    load(host, "plain")
    pid = worker_pid(host)
    host.close()
    load(host, "plain")
    assert worker_pid(host) != pid


def test_triton_is_blocked_unless_it_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    block_triton()
    block_triton()
    with pytest.raises(ImportError):
        import triton  # noqa: F401
    monkeypatch.setitem(sys.modules, "triton", ModuleType("triton"))
    with pytest.raises(DependencyError, match="triton"):
        block_triton()


def test_the_shared_host_follows_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_options", HostOptions())
    routing.close_shared_host()
    shared = routing.shared_host()
    routing.configure(replace(OPTIONS, mode="in-process"))
    assert routing.shared_host() is shared
    assert HERE in load(shared, "plain")
    routing.close_shared_host()
    assert routing.shared_host() is not shared
    assert HERE in load(routing.shared_host(), "plain")
    routing.close_shared_host()


def test_a_run_is_the_same_in_both_hosts(
    host: RoutingHost, request_: ChangeRequest, tmp_path: Path
) -> None:
    there = pipeline.detect(request_, host)
    here = pipeline.detect(replace(request_, output=str(tmp_path / "here.gpkg")), InProcessHost())
    assert there.count == here.count == 1
    assert there.warnings == here.warnings == ()
    assert there.caption == here.caption
    for name in ("mask", "score"):
        rasters = [gdal.Open(getattr(result, name)).ReadAsArray() for result in (there, here)]
        assert np.array_equal(*rasters)


@pytest.mark.parametrize("noticed", [False, True], ids=["over a batch", "between two"])
def test_a_worker_killed_in_mid_run_is_reported_and_the_run_continues(
    host: RoutingHost, request_: ChangeRequest, noticed: bool
) -> None:
    killed = []

    def kill(progress: Progress) -> None:
        if progress.stage is Stage.DETECTING and progress.tile == 5 and not killed:
            process = host._worker.service._session.process
            killed.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)
            while noticed and process.alive:
                time.sleep(0.01)

    result = pipeline.detect(request_, host, progress=kill)
    assert killed
    assert result.count == 1
    assert not result.partial
    (warning,) = result.warnings
    assert warning.startswith("The worker process ended unexpectedly (signal 9)")
    with sqlite3.connect(result.gpkg) as table:
        assert warning in table.execute("select warnings from runs").fetchone()[0]


def test_a_worker_that_keeps_dying_ends_the_run_and_leaves_nothing(
    host: RoutingHost, request_: ChangeRequest, tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(ChangeScribeError, match="twice"):
        pipeline.detect(replace(request_, system="dies"), host)
    assert set(tmp_path.iterdir()) == before


def test_a_run_that_hangs_can_be_cancelled(
    host: RoutingHost, request_: ChangeRequest, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(host, "hangs")
    host._worker.service.limits = replace(host._worker.service.limits, cancel=0.2)
    with pytest.raises(CancelledError):
        pipeline.detect(replace(request_, system="hangs"), host, cancelled=mark.exists)

    # The same with rows of tiles finished: they are kept.
    mark.touch()
    late = []

    def hang(progress: Progress) -> None:
        if progress.tile == 19 and not late:
            late.append(progress)
            mark.unlink()

    result = pipeline.detect(
        replace(request_, system="hangs"),
        host,
        progress=hang,
        cancelled=lambda: bool(late) and mark.exists(),
    )
    assert result.partial


def test_the_command_line_chooses(
    request_: ChangeRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, sys.executable)
    monkeypatch.setattr(routing, "_options", HostOptions())
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    places = []
    for choice in ("auto", "worker", "in-process"):
        arguments = [
            "detect",
            request_.before,
            request_.after,
            "--prompt",
            "buildings built",
            "--out",
            request_.output,
            "--system",
            "compact",
            "--host",
            choice,
            "--overwrite",
            "--json",
        ]
        assert main(arguments) == 0
        places.append(HERE in json.loads(capsys.readouterr().out)["device"])
    for name, handler in handlers.items():
        signal.signal(name, handler)
    assert places == [True, False, True]
    assert routing._shared is None


@pytest.mark.torch
def test_torch_in_the_worker_and_in_this_process() -> None:
    """Both in a fresh process, as QGIS's is; torchvision is what imports triton."""
    script = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "import numpy as np\n"
        "import worker_systems\n"
        "from changescribe.engine.hosts.routing import HostOptions, RoutingHost\n"
        "from changescribe.engine.request import Query\n"
        "worker_systems.register_all()\n"
        "tiles = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(1, 64, 64, 3)\n"
        "queries = [Query('roads', 'appeared')]\n"
        "answers = []\n"
        "for mode in ('auto', 'in-process'):\n"
        "    host = RoutingHost(HostOptions(mode))\n"
        "    host.info('with_torch')\n"
        "    assert 'torch' not in sys.modules\n"
        "    with host.open('with_torch') as system:\n"
        "        print(system.device)\n"
        "        answers.append(system.predict(tiles, 255 - tiles, queries).scores)\n"
        "    host.close()\n"
        "assert 'torchvision' in sys.modules and sys.modules['triton'] is None\n"
        "assert np.allclose(*answers) and answers[0].any()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, worker_systems.FOLDER],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
