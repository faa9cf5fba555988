# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions that a slow system writes after a run: on the map while it still writes."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import worker_systems
from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from waiting import wait_until

from changescribe.engine import systems
from changescribe.engine.describe.request import MapCaptionRequest
from changescribe.engine.hosts import routing
from changescribe.ui.controller import RunController
from changescribe.ui.dock import system_panel
from changescribe.ui.dock.dock import ChangeScribeDock
from changescribe.ui.engine_thread import EngineThread
from changescribe.ui.packages import tiers
from changescribe.ui.processing.caption_changes import CaptionChanges
from changescribe.ui.settings import Settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the worker is told its systems' folder")

LONG_S = 300
#: Left, top, width and height in pixels of what became brighter; "writes" lies about the last.
SQUARES = ((10, 10, 20, 20), (80, 10, 20, 25), (150, 10, 25, 25), (20, 80, 20, 15), (90, 90, 9, 9))


@pytest.fixture
def desk(qgis_iface, qgis_canvas, qgis_new_project, make_raster, monkeypatch, tmp_path):
    """A dock with the real engine; "plain" detects, and what it finds is checked by it."""
    worker_systems.register_all()
    monkeypatch.setenv("PYTHONPATH", worker_systems.FOLDER)
    monkeypatch.setenv("CHANGESCRIBE_TEST_GATE", str(tmp_path / "gate"))
    monkeypatch.setattr(routing, "_options", routing.HostOptions())
    monkeypatch.setattr(tiers, "missing", lambda tier=None: ())
    names = ("compact", "slow_compact", "slow_writes")
    infos = tuple(systems.create(name).info for name in names)
    monkeypatch.setattr(system_panel, "installed_systems", lambda: infos)
    # Frozen dataclasses keep their defaults in __init__.
    defaults = MapCaptionRequest.__init__.__defaults__
    monkeypatch.setattr(MapCaptionRequest.__init__, "__defaults__", (*defaults[:-1], "compact"))
    before = np.full((3, 128, 192), 60, np.uint8)
    after = before.copy()
    for x, y, width, height in SQUARES:
        after[:, y : y + height, x : x + width] = 250
    layers = [
        QgsRasterLayer(make_raster(name + ".tif", pixels), name)
        for name, pixels in (("site_2016", before), ("site_2023", after))
    ]
    settings = Settings()
    settings.worker_python = sys.executable
    dock = ChangeScribeDock(qgis_canvas, settings)
    controller = RunController(qgis_iface, dock, settings, EngineThread())
    ends = []
    controller.run_ended.connect(ends.append)
    QgsProject.instance().addMapLayers(layers)
    qgis_canvas.setMinimumSize(900, 700)
    qgis_canvas.window().show()
    qgis_canvas.show()
    qgis_canvas.setDestinationCrs(layers[0].crs())
    qgis_canvas.setExtent(layers[0].extent())
    dock.layers.before_combo.setLayer(layers[0])
    dock.layers.after_combo.setLayer(layers[1])
    dock.prompt.set_text("buildings built")
    dock.refresh()
    yield SimpleNamespace(
        dock=dock,
        controller=controller,
        ends=ends,
        settings=settings,
        bar=qgis_iface.messageBar(),
        options=dock.advanced.captions,
        gate=tmp_path / "gate",
    )
    assert controller.shut_down()
    routing.close_shared_host()
    dock.shut_down()
    dock.deleteLater()


def choose(desk, system, *levels):
    options = desk.options
    options.system.setCurrentIndex(options.system.findData(system))
    for level, box in options.boxes.items():
        box.setChecked(level in levels)


def start(desk):
    desk.ends.clear()
    assert not desk.dock.run.reason_label.text()
    desk.dock.run.detect_button.click()


def texts(desk):
    """The captions of the changes and of tiles and scene, as the map has them."""
    run = desk.controller.last_run
    layers = (run.layer("changes"), run.layer("captions")) if run is not None else ()
    return [f["caption"] for layer in layers if layer is not None for f in layer.getFeatures()]


def written(desk):
    return [text for text in texts(desk) if text.startswith("A building of")]


def attributes(desk):
    """The captions in the GeoPackage, read anew."""
    layer = QgsVectorLayer(f"{desk.controller.last_run.gpkg}|layername=changes", "again")
    return [feature["caption"] for feature in layer.getFeatures()]


@pytest.mark.parametrize("system", ["slow_compact", "slow_writes"])
def test_captions_come_one_after_the_other_and_cancelling_keeps_them(desk, system):
    choose(desk, system, "regions")
    start(desk)
    wait_until(lambda: written(desk) or desk.ends, LONG_S)
    assert not desk.ends, desk.controller.last_error
    assert desk.controller.busy
    assert "caption" in desk.dock.run.progress_label.text()
    assert len(texts(desk)) == len(SQUARES)  # the others still have their facts
    wait_until(lambda: len(written(desk)) >= 2 or desk.ends, LONG_S)
    assert not desk.ends
    desk.dock.run.cancel_button.click()
    assert (
        desk.dock.run.progress_label.text() == "Stopping after this caption\N{HORIZONTAL ELLIPSIS}"
    )
    desk.gate.touch()  # the one in work is finished
    wait_until(lambda: desk.ends, LONG_S)
    assert desk.ends == ["finished"]
    assert not desk.controller.busy
    kept = len(written(desk))
    assert kept in (2, 3)
    in_file = [text for text in attributes(desk) if text.startswith("A building of")]
    assert len(in_file) == kept
    assert all(". New building, " in text for text in in_file)
    assert any("captions were kept" in item.text() for item in desk.bar.items())


def test_all_levels_the_guard_is_told_and_the_project_has_them_again(desk):
    desk.gate.touch()
    choose(desk, "slow_compact", "regions", "tiles", "scene")
    start(desk)
    wait_until(lambda: desk.ends, LONG_S)
    assert desk.ends == ["finished"], desk.controller.last_error
    run = desk.controller.last_run
    bar = [item.text() for item in desk.bar.items()]
    assert any("written captions were replaced by the facts" in text for text in bar)
    assert len(written(desk)) >= 4
    places = run.layer("captions")
    assert {place["level"] for place in places.getFeatures()} == {"tiles", "scene"}
    scene = next(place for place in places.getFeatures() if place["level"] == "scene")
    assert scene.geometry().boundingBox().contains(run.layer("changes").extent())
    assert any(text.startswith("5 buildings appeared") for text in texts(desk))
    assert [rule.filterExpression() for rule in places.labeling().rootRule().children()] == [
        "\"level\" = 'scene'",
        "\"level\" = 'tiles'",
    ]
    desk.controller.set_captions(run, False)
    assert not run.node("captions").isVisible()


def test_the_facts_alone_are_there_at_once(desk):
    choose(desk, "", "regions")
    assert desk.options.choice is None
    start(desk)
    wait_until(lambda: desk.ends, LONG_S)
    assert desk.ends == ["finished"]
    assert len(texts(desk)) == len(SQUARES)
    choose(desk, "", "tiles")
    assert desk.options.choice == ("facts", ("tiles",))
    assert desk.settings.caption_levels == ("tiles",)


def test_what_a_writer_lacks_is_said_before_the_run(desk, monkeypatch, tmp_path):
    label = desk.options.lacking_label
    choose(desk, "slow_compact", "tiles")
    assert label.isHidden()
    monkeypatch.setenv("CHANGESCRIBE_WEIGHTS", str(tmp_path / "weights"))
    kcfi = systems.create("kcfi").info
    desk.settings.caption_system = "kcfi"
    desk.options.offer((kcfi,))
    assert not label.isHidden()
    for name in ("kcfi.safetensors", "Qwen2-0.5B-Instruct"):
        assert name in label.text()
    assert "PyTorch" not in label.text()
    monkeypatch.setattr(tiers, "missing", lambda tier=None: ("torch",))
    desk.options.offer((kcfi,))
    assert label.text().startswith("Missing: PyTorch, kcfi.safetensors")
    desk.options.offer(())
    assert label.isHidden()


@pytest.mark.parametrize("level", ["boxes", "tiles", "regions"])
def test_processing_describes_boxes_tiles_or_regions(desk, level):
    layers = desk.dock.layers
    before = layers.before
    polygons = QgsVectorLayer(f"PolygonZ?crs={before.crs().authid()}", "polygons", "memory")
    left, top = before.extent().xMinimum(), before.extent().yMaximum()
    # A triangle whose bounding box, but not itself, takes in the first square.
    corners = (
        [(0, 30), (30, 0), (60, 60), (0, 30)]
        if level == "boxes"
        else [(34, 60), (60, 0), (60, 60), (34, 60)]
    )
    feature = QgsFeature()
    geometry = QgsGeometry.fromPolygonXY(
        [[QgsPointXY(left + x / 2, top - y / 2) for x, y in corners]]
    )
    geometry.get().addZValue(5.0)
    feature.setGeometry(geometry)
    polygons.dataProvider().addFeatures([feature])
    context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
    context.setProject(QgsProject.instance())
    results, done = (
        CaptionChanges()
        .create()
        .run(
            {
                "BEFORE": before,
                "AFTER": layers.after,
                "SYSTEM": "compact",
                "LEVEL": level,
                "BOXES": polygons,
                "OUTPUT": "memory:",
            },
            context,
            feedback,
        )
    )
    assert done, feedback.textLog()
    found = list(context.getMapLayer(results["OUTPUT"]).getFeatures())
    assert {row["source"] for row in found} == {"facts"}
    if level == "tiles":
        assert len(found) == 6
        assert [found[1][name] for name in ("x0", "y0", "x1", "y1")] == [64, 0, 128, 64]
    else:
        assert len(found) == 1
        assert ("No change" in found[0]["caption"]) == (level == "regions")
