# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine thread: one request at a time, cancel, errors, shutdown in mid-run."""

from __future__ import annotations

import threading
import time

import fake_engine
import pytest
from qgis.PyQt.QtCore import QCoreApplication
from waiting import wait_until

from changescribe.engine.errors import ChangeScribeError, InputError
from changescribe.engine.request import ChangeRequest, Progress, Stage
from changescribe.ui import engine_thread
from changescribe.ui.engine_thread import EngineThread


@pytest.fixture
def request_of(tmp_path, make_raster):
    import numpy as np

    source = make_raster("a.tif", np.zeros((3, 60, 80), np.uint8))
    return lambda n: ChangeRequest(source, source, "roads built", str(tmp_path / f"out_{n}.gpkg"))


@pytest.fixture
def service(qgis_app):
    threads = []

    def make(engine):
        thread = EngineThread(engine, lambda: "host")
        thread.log = []
        for name in ("started_run", "progressed", "finished_run", "failed"):
            getattr(thread, name).connect(lambda value, n=name: thread.log.append((n, value)))
        thread.cancelled.connect(lambda: thread.log.append(("cancelled", None)))
        thread.names = lambda: [name for name, _value in thread.log if name != "progressed"]
        threads.append((thread, engine))
        return thread

    yield make
    for thread, engine in threads:
        if isinstance(engine, fake_engine.FakeEngine):
            engine.release.set()
        assert thread.shutdown(5000)


def test_runs_one_request_after_the_other_in_its_own_thread(service, request_of):
    engine = fake_engine.FakeEngine()
    thread = service(engine)
    for n in range(3):
        thread.submit(request_of(n))
    wait_until(lambda: thread.names().count("finished_run") == 3)
    assert thread.names() == ["started_run", "finished_run"] * 3
    assert [r.output[-6:] for r in engine.requests] == ["0.gpkg", "1.gpkg", "2.gpkg"]
    assert set(engine.threads) != {threading.get_ident()}
    assert len(set(engine.threads)) == 1
    assert not thread.busy


def test_progress_arrives_on_the_main_thread(service, request_of):
    thread = service(fake_engine.FakeEngine(tiles=4))
    seen = []
    thread.progressed.connect(lambda p: seen.append((threading.get_ident(), p.tile, p.tiles)))
    thread.submit(request_of(0))
    wait_until(lambda: "finished_run" in thread.names())
    assert {ident for ident, _n, _all in seen} == {threading.get_ident()}
    assert [(n, total) for _i, n, total in seen] == [(0, 0), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_dropped_run_ends_while_it_writes(service, request_of):
    writing, go_on, passed = threading.Event(), threading.Event(), []

    def engine(request, host, progress, cancelled):
        progress(Progress(Stage.OUTLINING, 0.9))
        writing.set()
        assert go_on.wait(10)
        progress(Progress(Stage.OUTLINING, 0.95))
        passed.append(request)

    thread = service(engine)
    thread.submit(request_of(0))
    wait_until(writing.is_set)
    thread.drop()
    go_on.set()
    wait_until(lambda: "cancelled" in thread.names())
    assert not passed


def test_cancel_keeps_what_is_finished(service, request_of):
    engine = fake_engine.FakeEngine(hold=True)
    thread = service(engine)
    thread.submit(request_of(0))
    wait_until(engine.running.is_set)
    begun = time.monotonic()
    thread.cancel()
    wait_until(lambda: "finished_run" in thread.names())
    assert time.monotonic() - begun < 2
    assert thread.log[-1][1].partial


def test_cancel_with_nothing_finished_and_a_waiting_request(service, request_of):
    engine = fake_engine.FakeEngine(hold=True, partial=False)
    thread = service(engine)
    thread.submit(request_of(0))
    thread.submit(request_of(1))
    wait_until(engine.running.is_set)
    thread.cancel()
    wait_until(lambda: thread.names().count("cancelled") == 2)
    assert len(engine.requests) == 1
    engine.release.set()
    thread.submit(request_of(2))
    wait_until(lambda: "finished_run" in thread.names())


def test_known_error_comes_back_as_it_is(service, request_of):
    problem = InputError("The layers do not overlap.", "Choose others.")
    thread = service(fake_engine.FakeEngine(error=problem))
    thread.submit(request_of(0))
    wait_until(lambda: "failed" in thread.names())
    assert thread.log[-1][1] is problem


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), SystemExit(3), MemoryError()])
def test_nothing_escapes(service, request_of, error):
    thread = service(fake_engine.FakeEngine(error=error))
    thread.submit(request_of(0))
    wait_until(lambda: "failed" in thread.names())
    told = thread.log[-1][1]
    assert isinstance(told, ChangeScribeError)
    assert type(error).__name__ in told.details
    assert told.message
    assert told.hint
    assert thread.isRunning()


def test_shutdown_in_mid_run_ends_the_thread_and_is_silent(service, request_of):
    engine = fake_engine.FakeEngine(hold=True)
    thread = service(engine)
    thread.submit(request_of(0))
    wait_until(engine.running.is_set)
    assert thread.shutdown(5000)
    assert thread.isFinished()
    QCoreApplication.processEvents()
    assert "finished_run" not in thread.names()
    with pytest.raises(RuntimeError):
        thread.submit(request_of(1))


def test_a_thread_that_does_not_end_is_kept_alive(service, request_of, monkeypatch):
    kept = []
    monkeypatch.setattr(engine_thread, "_RUNAWAYS", kept)
    release, running = threading.Event(), threading.Event()

    def stubborn(request, host, progress, cancelled):
        running.set()
        release.wait(10)
        return "late"

    thread = service(stubborn)
    thread.submit(request_of(0))
    wait_until(running.is_set)
    assert not thread.shutdown(50)
    assert kept == [thread]
    release.set()
    assert thread.wait(5000)
    QCoreApplication.processEvents()
    assert "finished_run" not in thread.names()


def test_shutdown_before_any_run():
    assert EngineThread(lambda: None).shutdown(100)
