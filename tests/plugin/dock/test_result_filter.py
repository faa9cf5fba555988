# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter under the list of results: on the map, with its number, kept in the project."""

from __future__ import annotations

import os

import pytest
from qgis.core import QgsProject
from waiting import wait_until


@pytest.fixture
def filtered(desk):
    """Four changes with scores 0.90, 0.86, 0.82 and 0.78, each smaller than the one before."""
    desk.engine.count = 4
    desk.run()
    return desk.dock.results.filter


def shown(desk):
    layer = desk.dock.results.current.layer("changes")
    return sorted(feature["change_id"] for feature in layer.getFeatures())


def test_score_and_area_are_applied_live(desk, filtered):
    assert filtered.count_label.text() == "4 of 4 shown"
    filtered.score.setValue(0.8)
    wait_until(lambda: shown(desk) == [1, 2, 3])
    assert filtered.count_label.text() == "3 of 4 shown"
    areas = {
        f["change_id"]: f["area_m2"]
        for f in desk.dock.results.current.layer("changes").getFeatures()
    }
    filtered.area.setValue(areas[2] - 1)
    wait_until(lambda: shown(desk) == [1, 2])
    filtered.reset_button.click()
    assert shown(desk) == [1, 2, 3, 4]
    assert not desk.dock.results.current.layer("changes").subsetString()
    assert (filtered.score.value(), filtered.area.value()) == (0.0, 0.0)


def test_the_slider_and_the_number_are_one(desk, filtered):
    filtered.slider.setValue(80)
    assert filtered.score.value() == 0.8
    wait_until(lambda: shown(desk) == [1, 2, 3])
    filtered.score.setValue(0.89)
    assert filtered.slider.value() == 89
    filtered.reset_button.click()
    assert filtered.slider.value() == 0
    filtered.slider.setValue(85)
    desk.run()
    assert filtered.slider.value() == 0
    desk.dock.results.list.setCurrentRow(1)
    assert filtered.slider.value() == 85


def test_each_run_has_its_own(desk, filtered):
    filtered.score.setValue(0.8)
    desk.run()  # before the first filter was applied
    assert filtered.score.value() == 0.0
    assert shown(desk) == [1, 2, 3, 4]
    desk.dock.results.list.setCurrentRow(1)
    assert filtered.score.value() == 0.8
    assert shown(desk) == [1, 2, 3]


def test_the_project_keeps_it(desk, filtered, tmp_path):
    filtered.score.setValue(0.85)
    filtered.area.setValue(12)
    filtered.apply()
    path = str(tmp_path / "project.qgz")
    assert QgsProject.instance().write(path)
    QgsProject.instance().clear()
    assert filtered.isHidden()
    assert QgsProject.instance().read(path)
    assert (filtered.score.value(), filtered.area.value()) == (0.85, 12.0)
    assert shown(desk) == [1, 2]


def test_nothing_left_and_editing(desk, filtered):
    filtered.score.setValue(1.0)
    filtered.apply()
    assert filtered.count_label.text() == "0 of 4 shown"
    desk.dock.results.zoom_button.click()
    assert desk.canvas.extent().intersects(desk.before.extent())
    filtered.reset()
    desk.dock.results.current.layer("changes").startEditing()
    filtered.score.setValue(0.8)
    filtered.apply()
    assert "edits" in filtered.count_label.text()
    assert shown(desk) == [1, 2, 3, 4]
    desk.dock.results.current.layer("changes").rollBack()


def test_it_unlocks_and_counts_follow_after_edits(desk, filtered):
    run = desk.dock.results.current
    layer = run.layer("changes")
    assert layer.startEditing()
    assert not filtered.score.isEnabled()
    first = next(layer.getFeatures())
    assert layer.deleteFeature(first.id())
    assert layer.commitChanges()
    assert filtered.score.isEnabled()
    assert filtered.count_label.text() == "3 of 3 shown"
    now = desk.dock.results.current
    assert now.count == 3
    assert "\n3 changes" in desk.dock.results.list.item(0).text()
    assert now.area_m2 == pytest.approx(run.area_m2 - first["area_m2"])
    filtered.score.setValue(0.8)
    filtered.apply()
    assert filtered.count_label.text() == "2 of 3 shown"
    filtered.reset_button.click()
    # Rolled back, nothing changes.
    layer.startEditing()
    layer.deleteFeature(next(layer.getFeatures()).id())
    layer.rollBack()
    assert filtered.count_label.text() == "3 of 3 shown"


def test_an_edit_that_brings_a_new_class_brings_its_symbol(desk, filtered):
    layer = desk.dock.results.current.layer("changes")
    assert [c.value() for c in layer.renderer().categories()] == ["buildings|appeared"]
    layer.startEditing()
    index = layer.fields().indexOf("object")
    layer.changeAttributeValue(next(layer.getFeatures()).id(), index, "roads")
    layer.commitChanges()
    values = [c.value() for c in layer.renderer().categories()]
    assert values == ["buildings|appeared", "roads|appeared"]


def test_a_missing_file_is_told(desk, filtered, tmp_path):
    path = str(tmp_path / "project.qgz")
    assert QgsProject.instance().write(path)
    gpkg = desk.dock.results.current.gpkg
    QgsProject.instance().clear()
    os.rename(gpkg, gpkg + ".away")
    assert QgsProject.instance().read(path)
    assert filtered.count_label.text() == f"{os.path.basename(gpkg)} is missing"
    assert not filtered.score.isEnabled()
