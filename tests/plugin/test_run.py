# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs through the dock with the real pipeline: a plain system, then the bundled model."""

from __future__ import annotations

import importlib.util
import os
import shutil
import threading
from types import SimpleNamespace

import fake_engine
import numpy as np
import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)
from waiting import wait_until

import changescribe
from changescribe.engine import systems
from changescribe.engine.hosts import base
from changescribe.engine.systems.base import ChangeSystem, TilePrediction
from changescribe.ui.dock import extent
from changescribe.ui.dock.system_panel import installed_systems
from changescribe.ui.packages import tiers

DEMO = os.path.join(os.path.dirname(changescribe.__file__), "resources", "demo")
SQUARE = (slice(40, 80), slice(100, 160))


class Brighter(ChangeSystem):
    """Finds what became brighter; can be held between tiles."""

    info = fake_engine.info(tile_size=64, overlap=16)

    def __init__(self):
        self.hold = threading.Event()
        self.hold.set()
        self.working = threading.Event()

    def load(self, device="auto"):
        """Has no weights."""

    @property
    def device(self):
        return "CPU (1 thread)"

    def predict(self, before, after, queries, hints=None):
        self.working.set()
        assert self.hold.wait(20)
        brighter = after.astype(np.float32).mean(-1) - before.astype(np.float32).mean(-1)
        score = np.clip(brighter / 100.0, 0.0, 1.0)
        return TilePrediction(np.stack([score] * len(queries), 1))


@pytest.fixture
def stage(qgis_iface, qgis_canvas, qgis_new_project):
    """Return a function that builds dock and controller with the real engine."""
    from changescribe.ui.controller import RunController
    from changescribe.ui.dock.dock import ChangeScribeDock
    from changescribe.ui.engine_thread import EngineThread
    from changescribe.ui.settings import Settings

    built = []

    def build(before, after, prompt):
        dock = ChangeScribeDock(qgis_canvas, Settings())
        controller = RunController(
            qgis_iface, dock, Settings(), EngineThread(host=base.InProcessHost)
        )
        built.append((dock, controller))
        for layer in (before, after):
            QgsProject.instance().addMapLayer(layer)
        qgis_canvas.setDestinationCrs(before.crs())
        qgis_canvas.setExtent(before.extent())
        dock.layers.before_combo.setLayer(before)
        dock.layers.after_combo.setLayer(after)
        dock.prompt.set_text(prompt)
        dock.refresh()
        ends = []
        controller.run_ended.connect(ends.append)
        return SimpleNamespace(dock=dock, controller=controller, ends=ends, canvas=qgis_canvas)

    yield build
    for dock, controller in built:
        assert controller.shut_down()
        dock.shut_down()
        dock.deleteLater()


@pytest.fixture
def brighter(monkeypatch):
    from changescribe.ui.dock import system_panel

    system = Brighter()
    monkeypatch.setattr(systems, "create", lambda name: system)
    monkeypatch.setattr(system_panel, "installed_systems", lambda: (system.info,))
    monkeypatch.setattr(tiers, "missing", lambda tier=None: ())
    return system


@pytest.fixture
def scene(make_raster):
    """Return a function that makes two layers; SQUARE of the later one is bright."""

    def make(**options):
        before = np.full((3, 150, 200), 60, np.uint8)
        after = before.copy()
        after[:, SQUARE[0], SQUARE[1]] = 220
        return tuple(
            QgsRasterLayer(make_raster(name + ".tif", pixels, **options), name)
            for name, pixels in (("site_2016", before), ("site_2023", after))
        )

    return make


def detect(desk, timeout=30.0):
    desk.dock.refresh()
    assert not desk.dock.run.reason_label.text()
    desk.dock.run.detect_button.click()
    wait_until(lambda: desk.ends, timeout)
    assert desk.ends == ["finished"], desk.controller.last_error
    return desk.controller.last_run


def test_polygon_lies_on_the_change(stage, brighter, scene):
    before, after = scene()
    run = detect(stage(before, after, "buildings built"))
    layer = run.layer("changes")
    assert run.count == layer.featureCount() == 1
    expected = QgsRectangle(500050.0, 4999960.0, 500080.0, 4999980.0)
    found = layer.extent()
    assert found.xMinimum() == pytest.approx(expected.xMinimum(), abs=0.5)
    assert found.yMaximum() == pytest.approx(expected.yMaximum(), abs=0.5)
    assert found.width() == pytest.approx(30, abs=1)
    feature = next(layer.getFeatures())
    assert feature["area_m2"] == pytest.approx(600, rel=0.05)
    assert feature["caption"]
    assert run.area_m2 == pytest.approx(feature["area_m2"], rel=0.01)
    assert run.layer("mask").extent() == before.extent()
    assert not [n for n in os.listdir(os.path.dirname(before.source())) if n.endswith(".aux.xml")]


def test_without_georeference_the_polygon_lies_on_the_raster(stage, brighter, scene):
    """QGIS draws such a raster at (column, -row); the polygons must be there too."""
    before, after = scene(geotransform=None)
    for layer in (before, after):
        layer.setCrs(QgsCoordinateReferenceSystem())
    run = detect(stage(before, after, "buildings built"))
    found = run.layer("changes").extent()
    assert before.extent().contains(found)
    value = after.dataProvider().sample(found.center(), 1)
    assert value == (220.0, True)
    assert found.xMinimum() == pytest.approx(100, abs=1)
    assert found.yMaximum() == pytest.approx(-40, abs=1)
    assert run.area_m2 is None
    assert run.layer("mask").extent() == before.extent()
    assert not run.layer("changes").crs().isValid()


def test_a_layer_with_an_assigned_crs(stage, brighter, scene):
    """The files say one zone, the user assigned another to both layers."""
    before, after = scene()
    for layer in (before, after):
        layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32634"))
    run = detect(stage(before, after, "buildings built"))
    assert run.count == 1
    assert run.layer("changes").crs().authid() == "EPSG:32634"


def test_part_of_the_canvas_only(stage, brighter, scene):
    before, after = scene()
    desk = stage(before, after, "buildings built")
    desk.canvas.setExtent(QgsRectangle(500000.0, 4999930.0, 500040.0, 4999960.0))
    desk.dock.extent.set_choice(extent.CANVAS)
    run = detect(desk)
    assert run.count == 0
    assert QgsRasterLayer(run.mask).extent().width() < before.extent().width()


def test_cancel_takes_effect_within_a_tile(stage, brighter, scene):
    before, after = scene()
    desk = stage(before, after, "buildings built")
    brighter.hold.clear()
    desk.dock.run.detect_button.click()
    wait_until(brighter.working.is_set)
    desk.dock.run.cancel_button.click()
    brighter.hold.set()
    wait_until(lambda: desk.ends)
    assert desk.ends[0] in ("cancelled", "finished")
    if desk.ends == ["finished"]:
        assert desk.controller.last_run.partial
    else:
        assert not [n for n in os.listdir(os.path.dirname(before.source())) if "built" in n]


@pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None or not installed_systems(),
    reason="needs onnxruntime and the bundled model",
)
def test_the_bundled_model_on_the_demo_pair(stage, tmp_path):
    pair = sorted(n for n in os.listdir(DEMO) if n.startswith("demo_2") and n.endswith(".tif"))
    for name in pair:  # QGIS writes statistics beside what it draws
        shutil.copy(os.path.join(DEMO, name), tmp_path)
    layers = [QgsRasterLayer(str(tmp_path / name), name[:-4]) for name in pair]
    desk = stage(*layers, "buildings built")
    # Room for captions between the many buildings.
    desk.canvas.setMinimumSize(1400, 1000)
    desk.canvas.window().show()
    desk.canvas.show()
    wait_until(lambda: desk.canvas.mapSettings().outputSize().width() >= 1390)
    desk.canvas.setExtent(layers[0].extent())
    desk.dock.advanced.folder.setFilePath(str(tmp_path))
    run = detect(desk, 200.0)
    assert run.count > 0
    assert run.layer("changes").featureCount() == run.count
    assert run.captions_shown()
    assert "CPU" in desk.dock.system.device_label.text() or (
        "CUDA" in desk.dock.system.device_label.text()
    )
