# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests in a real QGIS: two layers, a dock, and an engine that can be held."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("qgis.core")
import fake_engine
from qgis.core import QgsProject, QgsRasterLayer, QgsSettings
from qgis.PyQt.QtCore import QSettings
from waiting import wait_until


@pytest.fixture(autouse=True)
def own_settings(qgis_app, tmp_path):
    """Each test starts without settings, and never touches those of the user."""
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings")
    )
    assert QgsSettings().fileName().startswith(str(tmp_path))


@pytest.fixture
def system(monkeypatch):
    """One described system, whether or not the bundled model is there; packages all present."""
    from changescribe.ui.dock import system_panel
    from changescribe.ui.packages import tiers

    monkeypatch.setattr(system_panel, "installed_systems", lambda: (fake_engine.info(),))
    monkeypatch.setattr(tiers, "missing", lambda tier=None: ())
    return fake_engine.info()


@pytest.fixture
def raster_layer(make_raster):
    """Return a function that makes a raster layer of 3 bands and adds it to the project."""

    def make(name, shape=(120, 160), add=True, **options):
        pixels = np.random.default_rng(len(name)).integers(60, 190, (3, *shape), dtype=np.uint8)
        layer = QgsRasterLayer(make_raster(f"{name}.tif", pixels, **options), name)
        assert layer.isValid()
        if add:
            QgsProject.instance().addMapLayer(layer)
        return layer

    return make


@pytest.fixture
def pair(qgis_new_project, raster_layer):
    return raster_layer("city_2016-05-04"), raster_layer("city_2023-06-01")


@pytest.fixture
def desk(qgis_iface, qgis_canvas, system, pair):
    """A dock with its controller and a fake engine, ready for a run."""
    from changescribe.ui.controller import RunController
    from changescribe.ui.dock.dock import ChangeScribeDock
    from changescribe.ui.engine_thread import EngineThread
    from changescribe.ui.settings import Settings

    settings = Settings()
    engine = fake_engine.FakeEngine()
    qgis_canvas.setDestinationCrs(pair[0].crs())
    qgis_canvas.setExtent(pair[0].extent())
    dock = ChangeScribeDock(qgis_canvas, settings)
    controller = RunController(qgis_iface, dock, settings, EngineThread(engine, lambda: None))
    ends = []
    controller.run_ended.connect(ends.append)
    dock.layers.before_combo.setLayer(pair[0])
    dock.layers.after_combo.setLayer(pair[1])
    dock.prompt.set_text("buildings built")
    dock.refresh()

    def run():
        number = len(ends)
        dock.run.detect_button.click()
        wait_until(lambda: len(ends) > number)
        return controller.last_run

    yield SimpleNamespace(
        dock=dock,
        controller=controller,
        engine=engine,
        ends=ends,
        run=run,
        before=pair[0],
        after=pair[1],
        settings=settings,
        canvas=qgis_canvas,
        bar=qgis_iface.messageBar(),
    )
    engine.release.set()
    assert controller.shut_down()
    dock.shut_down()
    dock.deleteLater()
