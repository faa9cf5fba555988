# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the dock through the worker process, and the settings that choose it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import SimpleNamespace

import pytest
import worker_systems
from qgis.core import QgsVectorLayer
from waiting import wait_until

from changescribe.engine import systems
from changescribe.engine.hosts import routing
from changescribe.engine.hosts.worker_service import Limits
from changescribe.ui.controller import RunController
from changescribe.ui.dock import system_panel
from changescribe.ui.dock.dock import ChangeScribeDock
from changescribe.ui.engine_thread import EngineThread, configured_host
from changescribe.ui.packages import tiers
from changescribe.ui.settings import Settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the tests send signals")

#: A run takes a second; on a machine that works on something else, a minute.
LONG_S = 120


@pytest.fixture
def desk(qgis_iface, qgis_canvas, qgis_new_project, raster_layer, monkeypatch, tmp_path):
    """A dock whose one system runs in a worker process; the engine is the real one."""
    worker_systems.register_all()
    monkeypatch.setenv("CHANGESCRIBE_TEST_MARK", str(tmp_path / "mark"))
    monkeypatch.setenv("PYTHONPATH", worker_systems.FOLDER)
    monkeypatch.setattr(routing, "_options", routing.HostOptions())
    monkeypatch.setattr(tiers, "missing", lambda tier=None: ())
    chosen = SimpleNamespace(names=("plain",))
    monkeypatch.setattr(
        system_panel,
        "installed_systems",
        lambda: tuple(systems.create(name).info for name in chosen.names),
    )
    settings = Settings()
    settings.worker_python = sys.executable
    dock = ChangeScribeDock(qgis_canvas, settings)
    controller = RunController(qgis_iface, dock, settings, EngineThread())
    ends = []
    controller.run_ended.connect(ends.append)
    pair = [raster_layer(name) for name in ("city_2016-05-04", "city_2023-06-01")]
    dock.layers.before_combo.setLayer(pair[0])
    dock.layers.after_combo.setLayer(pair[1])
    dock.prompt.set_text("buildings built")

    def use(*names):
        chosen.names = names
        dock.system.reload()
        dock.refresh()

    use("plain")
    yield SimpleNamespace(
        dock=dock,
        controller=controller,
        ends=ends,
        settings=settings,
        use=use,
        mark=tmp_path / "mark",
        bar=qgis_iface.messageBar(),
    )
    assert controller.shut_down()
    routing.close_shared_host()
    dock.shut_down()
    dock.deleteLater()


def start(desk):
    desk.ends.clear()
    assert not desk.dock.run.reason_label.text()
    desk.dock.run.detect_button.click()


def worker_pid():
    return routing.shared_host()._worker.service._session.process.pid


def test_the_dock_runs_a_full_system_in_a_process_of_its_own(desk):
    start(desk)
    wait_until(lambda: desk.ends, LONG_S)
    assert desk.ends == ["finished"], desk.controller.last_error
    used = desk.settings.measured_device("plain", "auto")
    assert f"process {worker_pid()}" in used

    desk.dock.advanced.host.setCurrentIndex(desk.dock.advanced.host.findData(routing.IN_PROCESS))
    start(desk)
    wait_until(lambda: desk.ends, LONG_S)
    assert desk.ends == ["finished"], desk.controller.last_error
    assert f"process {os.getpid()}" in desk.settings.measured_device("plain", "auto")


def test_a_worker_that_is_killed_is_told_and_the_run_goes_on(desk):
    desk.use("hangs")
    start(desk)
    wait_until(desk.mark.exists, LONG_S)
    os.kill(worker_pid(), signal.SIGKILL)
    wait_until(lambda: desk.ends, LONG_S)
    assert desk.ends == ["finished"], desk.controller.last_error
    tip = desk.dock.results.list.item(0).toolTip()
    assert "The worker process ended unexpectedly (signal 9)" in tip
    runs = QgsVectorLayer(f"{desk.controller.last_run.gpkg}|layername=runs", "runs")
    assert "signal 9" in next(runs.getFeatures())["warnings"]


def test_a_worker_that_hangs_neither_holds_the_cancel_button_nor_the_end(desk):
    desk.use("hangs")
    host = configured_host()
    worker_systems.load(host, "hangs")
    host._worker.service.limits = Limits(cancel=0.3)
    start(desk)
    wait_until(desk.mark.exists, LONG_S)
    desk.dock.run.cancel_button.click()
    wait_until(lambda: desk.ends, 30)
    assert desk.ends == ["cancelled"]

    desk.mark.unlink()
    start(desk)
    wait_until(desk.mark.exists, LONG_S)
    assert desk.controller.thread_.shutdown(30_000)


def test_the_rows_of_the_worker_are_shown_where_they_matter(desk):
    advanced = desk.dock.advanced

    def shown():
        return [not widget.isHidden() for widget in (advanced.host, advanced.python)]

    assert shown() == [True, True]
    advanced.host.setCurrentIndex(advanced.host.findData(routing.IN_PROCESS))
    assert shown() == [True, False]
    desk.use("compact")
    assert shown() == [False, False]
    assert desk.settings.host == routing.IN_PROCESS
    desk.dock.advanced.python.setFilePath(" /opt/torch/bin/python ")
    assert desk.settings.worker_python == "/opt/torch/bin/python"


def test_the_environment_of_the_plugin_is_offered_to_the_worker(desk, monkeypatch, tmp_path):
    monkeypatch.setattr(tiers, "folder", lambda tier: str(tmp_path / tier.name))
    assert tiers.worker_python() == ""
    python = tmp_path / "full" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert tiers.worker_python() == ""
    full = tiers.FULL
    marker = tmp_path / "full" / tiers.MARKER
    marker.write_text("\n".join((*full.requirements, *full.built)))
    assert tiers.worker_python() == str(python)
    configured_host()
    assert routing._options == routing.HostOptions("auto", sys.executable, str(python))


def test_the_host_is_asked_from_the_engines_thread(desk, monkeypatch):
    threads = []
    shared = routing.shared_host
    monkeypatch.setattr(
        routing, "shared_host", lambda: threads.append(threading.get_ident()) or shared()
    )
    start(desk)
    wait_until(lambda: desk.ends, LONG_S)
    assert threads
    assert threading.get_ident() not in threads
