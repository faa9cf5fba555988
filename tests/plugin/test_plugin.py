# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin object: load -> unload -> load, in the middle of a run, and without packages."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import fake_engine
import pytest
from qgis.core import QgsApplication, QgsProject
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QCoreApplication, QEvent
from qgis.PyQt.QtWidgets import QWidget
from waiting import wait_until

import changescribe
from changescribe.plugin import ChangeScribePlugin
from changescribe.ui.packages import tiers

ROOT = Path(changescribe.__file__).parent


class Window:
    """Records what the plugin adds to QGIS's window and takes back."""

    def __init__(self, iface):
        self._iface = iface
        self.docks, self.icons, self.menu = [], [], []

    def __getattr__(self, name):
        return getattr(self._iface, name)

    def addDockWidget(self, area, dock):
        self._iface.mainWindow().addDockWidget(area, dock)
        self.docks.append(dock)

    def removeDockWidget(self, dock):
        self._iface.mainWindow().removeDockWidget(dock)
        self.docks.remove(dock)

    def addToolBarIcon(self, action):
        self.icons.append(action)

    def removeToolBarIcon(self, action):
        self.icons.remove(action)

    def addPluginToRasterMenu(self, name, action):
        self.menu.append((name, action))

    def removePluginRasterMenu(self, name, action):
        self.menu.remove((name, action))


@pytest.fixture
def window(qgis_iface, qgis_new_project, system):
    return Window(qgis_iface)


def _deliver_deletions():
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def _providers():
    return [p.id() for p in QgsApplication.processingRegistry().providers()]


def test_load_unload_load(window):
    project = QgsProject.instance()
    receivers = {
        name: project.receivers(getattr(project, name)) for name in ("layersAdded", "readProject")
    }
    for _ in range(2):
        plugin = changescribe.classFactory(window)
        plugin.initGui()
        dock = plugin.dock
        assert window.docks == [dock]
        assert window.icons == [plugin.action]
        assert [action for _name, action in window.menu] == [plugin.action]
        assert _providers().count("changescribe") <= 1
        window.mainWindow().show()
        plugin.action.trigger()
        assert dock.isUserVisible()
        plugin.action.trigger()
        assert dock.isHidden()
        plugin.unload()
        _deliver_deletions()
        assert window.docks == window.icons == window.menu == []
        assert "changescribe" not in _providers()
        assert sip.isdeleted(dock)
        assert window.mainWindow().findChild(QWidget, "ChangeScribeDock") is None
        for name, number in receivers.items():
            assert project.receivers(getattr(project, name)) == number, name
        assert not [t for t in threading.enumerate() if "changescribe" in t.name.lower()]


def test_unload_takes_the_packages_off_the_path(window, monkeypatch, tmp_path):
    monkeypatch.setattr(tiers, "folder", lambda tier=None: str(tmp_path))
    plugin = ChangeScribePlugin(window)
    plugin.initGui()
    assert tiers.activate()
    plugin.unload()
    assert str(tmp_path) not in sys.path


def test_no_names_that_pyqt6_lacks():
    """``QVariant.Type`` is one; what differs stands in compat."""
    for path in [ROOT / "plugin.py", *(ROOT / "ui").rglob("*.py")]:
        assert "QVariant.Type" not in path.read_text(encoding="utf-8").replace(
            "no QVariant.Type", ""
        ), path


def test_help_leads_to_a_heading_of_the_readme():
    from changescribe.ui.processing.algorithm import HELP_URL

    headings = re.findall(r"^#+ (.+)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", text.lower()).replace(" ", "-") for text in headings}
    assert HELP_URL.split("#")[1] in anchors


def test_unload_without_gui_and_twice(window):
    plugin = ChangeScribePlugin(None)
    plugin.initProcessing()
    plugin.unload()
    plugin.unload()
    assert "changescribe" not in _providers()


def test_unload_during_a_run(window, raster_layer):
    engine = fake_engine.FakeEngine(hold=True)
    plugin = ChangeScribePlugin(window)
    plugin.initGui()
    plugin.controller.thread_._detect = engine
    plugin.dock.layers.before_combo.setLayer(raster_layer("a_2016"))
    plugin.dock.layers.after_combo.setLayer(raster_layer("b_2023"))
    plugin.dock.prompt.set_text("roads built")
    plugin.dock.refresh()
    plugin.dock.run.detect_button.click()
    wait_until(engine.running.is_set)
    thread = plugin.controller.thread_
    plugin.unload()
    assert thread.isFinished()
    _deliver_deletions()
    QCoreApplication.processEvents()
    groups = [g.name() for g in QgsProject.instance().layerTreeRoot().findGroups()]
    assert not groups


def test_quitting_during_a_run(window, raster_layer):
    engine = fake_engine.FakeEngine(hold=True)
    plugin = ChangeScribePlugin(window)
    plugin.initGui()
    plugin.controller.thread_._detect = engine
    plugin.dock.layers.before_combo.setLayer(raster_layer("a_2016"))
    plugin.dock.layers.after_combo.setLayer(raster_layer("b_2023"))
    plugin.dock.prompt.set_text("roads built")
    plugin.dock.refresh()
    plugin.dock.run.detect_button.click()
    wait_until(engine.running.is_set)
    plugin._quitting()
    assert plugin.controller.thread_.isFinished()
    plugin.unload()


def test_without_onnxruntime_the_dock_says_so(window, monkeypatch, raster_layer):
    monkeypatch.setattr(tiers, "missing", lambda tier=None: ("onnxruntime",))
    plugin = ChangeScribePlugin(window)
    plugin.initGui()
    dock = plugin.dock
    dock.layers.before_combo.setLayer(raster_layer("a_2016"))
    dock.layers.after_combo.setLayer(raster_layer("b_2023"))
    dock.prompt.set_text("roads built")
    dock.refresh()
    assert not dock.packages.isHidden()
    assert not dock.run.detect_button.isEnabled()
    assert "onnxruntime is not installed" in dock.run.reason_label.text()
    monkeypatch.setattr(tiers, "missing", lambda tier=None: ())
    dock.packages.installed.emit()
    assert dock.packages.isHidden()
    assert dock.run.detect_button.isEnabled()
    plugin.unload()


def test_building_the_dock_imports_no_model_runtime(tmp_path):
    """In a fresh process: neither torch nor onnxruntime, nor numpy's friends, are loaded."""
    code = """
import sys
from qgis.core import QgsApplication
app = QgsApplication([], True)
app.initQgis()
from qgis.gui import QgsMapCanvas
from changescribe.ui.dock.dock import ChangeScribeDock
from changescribe.ui.settings import Settings
import changescribe.plugin, changescribe.ui.controller
canvas = QgsMapCanvas()
dock = ChangeScribeDock(canvas, Settings())
dock.prompt.set_text("roads built")
dock.show()
app.processEvents()
heavy = ("torch", "onnxruntime", "triton", "scipy", "rasterio")
print(sorted(name for name in heavy if name in sys.modules))
dock.shut_down()
sys.stdout.flush()
import os
os._exit(0)
"""
    environment = {**os.environ, "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_metadata():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "metadata.txt", encoding="utf-8")
    general = dict(parser["general"])
    for key in (
        "name",
        "description",
        "version",
        "author",
        "email",
        "about",
        "tracker",
        "repository",
        "qgisminimumversion",
        "qgismaximumversion",
    ):
        assert general[key], key
    assert general["qgisminimumversion"] == "3.22"
    assert general["qgismaximumversion"] == "4.99"
    assert general["hasprocessingprovider"] == "yes"
    assert "plugin" not in general["name"].lower()
    assert (ROOT / general["icon"]).is_file()
    for word in ("onnxruntime", "MB", "research"):
        assert word in general["about"]
