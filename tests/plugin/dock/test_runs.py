# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of results: what the map shows, and what can be done with a run."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import replace

import pytest
from qgis.core import QgsApplication, QgsProject
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QLineEdit, QMessageBox
from waiting import wait_until

from changescribe.engine.cli.app import _parser
from changescribe.ui.map.commands import changescribe_command
from changescribe.ui.map.runs import runs_in_project

ARROW = "\N{RIGHTWARDS ARROW}"


@pytest.fixture
def two(desk):
    """Two runs, the later one first in the list; the dock is shown, so that it gets events."""
    desk.dock.resize(420, 1000)
    desk.dock.show()
    return desk.run(), desk.run()


def row(desk, run):
    return [listed.run_id for listed in desk.dock.results.runs].index(run.run_id)


def click(desk, run, modifier=Qt.KeyboardModifier.NoModifier):
    entries = desk.dock.results.list
    place = entries.visualItemRect(entries.item(row(desk, run))).center()
    QTest.mouseClick(entries.viewport(), Qt.MouseButton.LeftButton, modifier, place)


def choose(desk, run, name):
    desk.dock.results.list.setCurrentRow(row(desk, run))
    desk.dock.results.more_button.click()
    menu = desk.dock.results.menu
    assert menu.isVisible()
    action = menu.actions_[name]
    assert action.isEnabled()
    menu.hide()
    action.trigger()


def test_the_chosen_run_is_what_the_map_shows(desk, two):
    first, second = two
    assert (first.is_shown(), second.is_shown()) == (False, True), "a new run hides earlier ones"
    click(desk, first)
    assert desk.dock.results.current == first
    assert (first.is_shown(), second.is_shown()) == (True, False)
    click(desk, second, Qt.KeyboardModifier.ControlModifier)
    assert (first.is_shown(), second.is_shown()) == (True, True)
    # The line that is already chosen shows its run again.
    second.group().setItemVisibilityChecked(False)
    click(desk, second)
    assert (first.is_shown(), second.is_shown()) == (False, True)
    QTest.keyClick(desk.dock.results.list, Qt.Key.Key_Down)
    assert (first.is_shown(), second.is_shown()) == (True, False)


def test_titles_are_unique_and_name_the_layers(desk, two):
    first, second = two
    assert first.title == f"buildings built, 2016 {ARROW} 2023"
    assert second.title == first.title + " (2)"
    names = [layer.name() for layer in QgsProject.instance().mapLayers().values()]
    assert len(names) == len(set(names))
    assert second.layer("changes").name() == second.title


def test_rename_in_the_list_and_in_the_layer_tree(desk, two, tmp_path):
    first, _second = two
    choose(desk, first, "rename")
    field = desk.dock.results.list.findChild(QLineEdit, "runTitle")
    assert field.text() == first.title
    field.setText("  phase 1 ")
    QTest.keyClick(field, Qt.Key.Key_Return)
    wait_until(lambda: desk.dock.results.runs[row(desk, first)].title == "phase 1")
    run = desk.dock.results.runs[row(desk, first)]
    assert run.group().name() == run.layer("changes").name() == "phase 1"
    assert run.layer("mask").name() == "phase 1 (mask)"
    run.group().setName("phase 2")
    wait_until(lambda: desk.dock.results.runs[row(desk, first)].title == "phase 2")
    assert desk.dock.results.list.item(row(desk, first)).text().startswith("phase 2\n")
    assert run.layer("mask").name() == "phase 2 (mask)"
    path = str(tmp_path / "town.qgz")
    assert QgsProject.instance().write(path)
    assert QgsProject.instance().read(path)
    assert "phase 2" in [listed.title for listed in desk.dock.results.runs]


def test_a_deleted_group_leaves_the_list_and_a_moved_one_stays(desk, two):
    first, second = two
    root = QgsProject.instance().layerTreeRoot()
    # As the layer tree does when a group is dragged.
    copy = first.group().clone()
    root.insertChildNode(0, copy)
    root.removeChildNode(root.findGroups()[2])
    QTest.qWait(20)
    assert len(desk.dock.results.runs) == 2
    root.removeChildNode(second.group())
    wait_until(lambda: len(desk.dock.results.runs) == 1)
    assert desk.dock.results.current.run_id == first.run_id


def test_the_line_says_how_it_was_found(desk):
    desk.dock.advanced.threshold.setValue(0.35)
    run = desk.run()
    text = desk.dock.results.list.item(0).text()
    assert "score \N{GREATER-THAN OR EQUAL TO} 0.35" in text
    assert "analysed" in text
    assert (run.threshold, run.analysed_m2) == (0.35, 1.0)


def test_the_area_analysed_is_a_layer_of_the_group(desk, two):
    first, _second = two
    choose(desk, first, "area")
    layer = first.layer("area")
    assert layer.name() == f"{first.title} (area analysed)"
    assert layer.featureCount() == 1
    assert layer.extent() == first.layer("mask").extent()
    assert first.node("area").isVisible()
    first.node("area").setItemVisibilityChecked(False)
    choose(desk, first, "area")
    assert first.layer("area") is layer
    assert first.node("area").isVisible()


def test_run_again(desk, two):
    first, _second = two
    desk.dock.prompt.set_text("something else")
    number = len(desk.ends)
    choose(desk, first, "again")
    wait_until(lambda: len(desk.ends) > number)
    again = desk.engine.requests[-1]
    assert again.prompt == "buildings built"
    assert (again.before, again.after) == (desk.before.source(), desk.after.source())
    assert again.output not in (first.gpkg, _second.gpkg)
    assert len(desk.dock.results.runs) == 3


def test_a_cancelled_run_is_continued_in_its_place(desk, two, monkeypatch):
    first, second = two
    menu = desk.dock.results.menu
    menu.prepare(first, (first, second), busy=False)
    assert not menu.actions_["continue"].isVisible()
    part = replace(first, partial=True)
    monkeypatch.setattr("changescribe.ui.dock.run_menu.resumable", lambda path: path == part.gpkg)
    menu.prepare(part, (part, second), busy=False)
    assert menu.actions_["continue"].isVisible()
    number = len(desk.ends)
    menu.chosen.emit("continue", part)
    wait_until(lambda: len(desk.ends) > number)
    request = desk.engine.requests[-1]
    assert (request.output, request.prompt) == (first.gpkg, "buildings built")
    assert request.resume
    assert request.overwrite


def test_a_run_as_a_command(desk, two):
    first, _second = two
    choose(desk, first, "command")
    words = shlex.split(QgsApplication.clipboard().text())
    assert words[:2] == ["changescribe", "detect"]
    arguments = _parser().parse_args(words[1:])
    assert arguments.prompt == "buildings built"
    assert arguments.before == desk.before.source()
    assert arguments.date_after == "2023-06-01"
    assert not os.path.exists(arguments.out)
    choose(desk, first, "processing")
    words = shlex.split(QgsApplication.clipboard().text())
    assert words[:4] == ["qgis_process", "run", "changescribe:detectchanges", "--"]
    assert "PROMPT=buildings built" in words
    assert f"BEFORE={desk.before.source()}" in words


def test_the_command_holds_every_option(desk):
    from changescribe.engine.request import ChangeRequest, Extent, Hints

    request = ChangeRequest(
        "a b.tif",
        "c.tif",
        "it's built",
        "o.gpkg",
        extent=Extent(1, 2, 3.25, 4, "EPSG:4326"),
        bands_before=(3, 2, 1),
        threshold=0.4,
        min_area=0.0,
        hints=Hints(competing=("grass", "water")),
        nodata="alpha",
        mask_before="m.tif:3,8-10",
        clouds="off",
        align="auto",
        outlines="free",
        device="cpu",
    )
    arguments = _parser().parse_args(shlex.split(changescribe_command(request))[1:])
    assert (arguments.before, arguments.prompt) == ("a b.tif", "it's built")
    assert arguments.extent == "1,2,3.25,4,EPSG:4326"
    assert (arguments.bands_before, arguments.min_area) == ((3, 2, 1), 0.0)
    assert arguments.competing == ("grass", "water")
    assert (arguments.nodata, arguments.clouds, arguments.align) == ("alpha", "off", "auto")
    assert arguments.outlines == "free"
    assert (arguments.mask_before, arguments.device) == ("m.tif:3,8-10", "cpu")


def test_compare_counts_what_both_found(desk, two):
    first, second = two
    layer = second.layer("changes")
    layer.startEditing()
    assert layer.deleteFeature(next(layer.getFeatures()).id())
    assert layer.commitChanges()
    panel = desk.dock.results
    panel.list.setCurrentRow(row(desk, first))
    panel.more_button.click()
    panel.menu.hide()
    (action,) = panel.menu.compare_menu.actions()
    assert action.text() == second.title
    action.trigger()
    text = desk.bar.currentItem().text()
    assert f"2 of 3 changes of {first.title} touch one of {second.title}" in text
    assert "2 of 2" in text
    assert first.is_shown()
    assert second.is_shown()


def test_remove_keeps_the_files_and_delete_does_not(desk, two, monkeypatch):
    first, second = two
    choose(desk, first, "remove")
    assert [run.run_id for run in desk.dock.results.runs] == [second.run_id]
    assert first.group() is None
    assert os.path.exists(first.gpkg)
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    choose(desk, second, "delete")
    assert os.path.exists(second.gpkg)
    choose(desk, second, "delete")
    assert not desk.dock.results.runs
    stem = os.path.splitext(second.gpkg)[0]
    assert not [
        name
        for name in os.listdir(os.path.dirname(stem))
        if name.startswith(os.path.basename(stem))
    ]
    assert not [
        layer.name()
        for layer in QgsProject.instance().mapLayers().values()
        if layer not in (desk.before, desk.after)
    ]


def test_a_moved_project_finds_its_runs_and_their_rasters(desk, tmp_path):
    """As after zipping the folder and unpacking it elsewhere."""
    home = tmp_path / "old"
    home.mkdir()
    layers = []
    for layer in (desk.before, desk.after):
        path = shutil.copy(layer.source(), home)
        layer.setDataSource(path, layer.name(), "gdal")
        layers.append(path)
    assert QgsProject.instance().write(str(home / "town.qgz"))
    desk.dock.refresh()
    run = desk.run()
    assert run.gpkg.startswith(str(home / "town_changescribe"))
    assert QgsProject.instance().write()
    QgsProject.instance().clear()
    shutil.move(str(home), str(tmp_path / "new"))
    assert QgsProject.instance().read(str(tmp_path / "new" / "town.qgz"))
    (moved,) = runs_in_project()
    assert moved.gpkg == run.gpkg.replace(f"{os.sep}old{os.sep}", f"{os.sep}new{os.sep}")
    assert desk.dock.results.current == moved
    request = desk.controller.runs.request_of(moved)
    assert request.before == str(tmp_path / "new" / os.path.basename(layers[0]))
    assert os.path.exists(request.after)
    dialog = desk.controller.open_export(moved)
    dialog.file_widget.setFilePath(str(tmp_path / "moved.shp"))
    ended = []
    dialog.exported.connect(ended.append)
    dialog.failed.connect(ended.append)
    dialog.export_button.click()
    wait_until(lambda: ended)
    assert ended == [str(tmp_path / "moved.shp")]
    dialog.close()
