# SPDX-License-Identifier: GPL-3.0-or-later
"""A run, the chosen layers and their dates belong to the project."""

from __future__ import annotations

import os

from qgis.core import QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QPushButton
from run_button import reason
from waiting import wait_until

from changescribe.ui import project_guard


def held_run(desk):
    desk.engine.release.clear()
    desk.dock.run.detect_button.click()
    wait_until(desk.engine.running.is_set)


def answer(desk, monkeypatch, what):
    asked = []
    monkeypatch.setattr(desk.controller.guard, "ask", lambda: asked.append(what) or what)
    return asked


def test_a_result_never_gets_into_another_project(desk, tmp_path):
    project = QgsProject.instance()
    assert project.write(str(tmp_path / "town.qgz"))
    held_run(desk)
    project.clear()
    wait_until(lambda: desk.ends)
    assert not desk.controller.busy
    assert not project.layerTreeRoot().findGroups()
    assert not project.mapLayers()
    assert desk.dock.results.list.count() == 0
    kept = desk.engine.requests[0].output
    assert os.path.exists(kept)
    item = desk.bar.currentItem()
    assert kept in item.text()
    buttons = {button.text(): button for button in item.findChildren(QPushButton)}
    buttons["Delete it"].click()
    assert not os.listdir(os.path.dirname(kept))


def test_without_a_run_nobody_is_asked(desk, monkeypatch):
    asked = answer(desk, monkeypatch, project_guard.KEEP)
    assert desk.controller.guard.allow_exit()
    QgsProject.instance().clear()
    assert not asked


def test_qgis_stays_open_until_the_run_is_saved(desk, monkeypatch):
    guard = desk.controller.guard
    held_run(desk)
    answer(desk, monkeypatch, project_guard.CONTINUE)
    assert not guard.allow_exit()
    assert desk.controller.busy
    answer(desk, monkeypatch, project_guard.KEEP)
    assert not guard.allow_exit()
    assert desk.ends == ["finished"]
    assert QgsProject.instance().isDirty()
    assert guard.allow_exit()
    desk.engine.running.clear()
    held_run(desk)
    answer(desk, monkeypatch, project_guard.DISCARD)
    assert guard.allow_exit()
    wait_until(lambda: len(desk.ends) == 2)
    assert not os.path.exists(desk.engine.requests[-1].output)


def test_the_question(desk):
    def click(text):
        (box,) = [w for w in QApplication.topLevelWidgets() if w.objectName() == "runInProgress"]
        (button,) = [button for button in box.buttons() if button.text() == text]
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    for text, expected in (
        ("Keep what is finished", project_guard.KEEP),
        ("Discard it", project_guard.DISCARD),
        ("Continue the run", project_guard.CONTINUE),
    ):
        QTimer.singleShot(50, lambda text=text: click(text))
        assert desk.controller.guard.ask() == expected


def test_layers_and_dates_come_back_with_the_project(desk, tmp_path):
    desk.dock.layers.before_date.setText("2016-05")
    desk.dock.layers.swap()
    path = str(tmp_path / "town.qgz")
    assert QgsProject.instance().write(path)
    QgsProject.instance().clear()
    assert desk.dock.layers.before is None
    assert QgsProject.instance().read(path)
    assert desk.dock.layers.before.name() == "city_2023-06-01"
    assert desk.dock.layers.after.name() == "city_2016-05-04"
    assert desk.dock.layers.dates == ("2023-06-01", "2016-05")


def test_masks_and_scores_are_not_offered(desk):
    run = desk.run()
    score = QgsRasterLayer(run.mask.replace("_mask.tif", "_score.tif"), "loaded by hand")
    assert score.isValid()
    QgsProject.instance().addMapLayer(score)
    QTest.qWait(20)
    for combo in (desk.dock.layers.before_combo, desk.dock.layers.after_combo):
        names = [combo.itemText(row) for row in range(combo.count())]
        assert sorted(filter(None, names)) == ["city_2016-05-04", "city_2023-06-01"]


def test_layers_that_arrive_while_the_dock_is_open(desk, raster_layer):
    QgsProject.instance().clear()
    desk.dock.show()
    first = raster_layer("later_2021")
    QTest.qWait(20)
    assert desk.dock.layers.before is None
    second = raster_layer("earlier_2011")
    wait_until(lambda: desk.dock.layers.before is not None)
    assert (desk.dock.layers.before, desk.dock.layers.after) == (second, first)
    desk.dock.layers.after_combo.setLayer(None)
    QgsProject.instance().removeMapLayer(first.id())
    third = raster_layer("latest_2024")
    wait_until(lambda: desk.dock.layers.after is third)
    assert desk.dock.layers.before is second


def test_a_removed_layer_is_not_replaced_by_another(desk, raster_layer):
    raster_layer("other_2020")
    held_run(desk)
    QgsProject.instance().removeMapLayer(desk.before.id())
    assert desk.dock.layers.before is None
    desk.engine.release.set()
    wait_until(lambda: desk.ends)
    assert desk.ends == ["finished"]
    assert desk.dock.layers.before is None
    assert reason(desk) == '"city_2016-05-04" was removed: choose another layer'
