# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs through the dock: the request, progress, errors, what is shown at the end."""

from __future__ import annotations

import dataclasses
import os

import fake_engine
from canvas import show_canvas
from qgis.core import (
    QgsProject,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QWidget
from run_button import reason
from waiting import wait_until

from changescribe.engine.errors import InputError, OutputError
from changescribe.engine.request import Progress, Stage


def test_enter_starts_a_run(desk):
    QTest.keyClick(desk.dock.prompt.combo, Qt.Key.Key_Return)
    wait_until(lambda: desk.ends)
    assert desk.ends == ["finished"]
    QTest.keyClick(desk.dock.prompt.combo.lineEdit(), Qt.Key.Key_Enter)
    wait_until(lambda: len(desk.ends) == 2)
    desk.dock.prompt.set_text("")
    QTest.keyClick(desk.dock.prompt.combo, Qt.Key.Key_Return)
    assert len(desk.engine.requests) == 2


def test_the_request_holds_the_form(desk, tmp_path):
    desk.dock.advanced.threshold.setValue(0.35)
    desk.dock.advanced.min_area.setValue(80)
    desk.dock.advanced.bands_before.setText("3 2 1")
    desk.dock.advanced.device.setCurrentIndex(1)
    desk.dock.advanced.folder.setFilePath(str(tmp_path / "new" / "folder"))
    desk.run()
    request = desk.engine.requests[0]
    assert (request.before, request.after) == (desk.before.source(), desk.after.source())
    assert request.prompt == "buildings built"
    assert (request.threshold, request.min_area, request.device) == (0.35, 80, "cpu")
    assert (request.bands_before, request.bands_after) == ((3, 2, 1), None)
    assert (request.date_before, request.date_after) == ("2016-05-04", "2023-06-01")
    assert (request.extent, request.area, request.overwrite) == (None, None, False)
    assert os.path.dirname(request.output) == str(tmp_path / "new" / "folder")
    assert os.path.basename(request.output) == "city_2016-05-04_buildings_built_1.gpkg"


def test_a_second_run_writes_new_files(desk):
    first, second = desk.run(), desk.run()
    assert first.gpkg != second.gpkg
    assert os.path.exists(first.gpkg)
    assert os.path.exists(second.gpkg)
    beside = os.path.join(os.path.dirname(desk.before.source()), "changescribe")
    assert os.path.dirname(first.gpkg) == os.path.dirname(second.gpkg) == beside
    assert desk.dock.results.list.count() == 2
    assert desk.dock.results.current == second


def test_cancel_in_mid_run_keeps_the_finished_part(desk):
    desk.engine.release.clear()
    desk.dock.run.detect_button.click()
    wait_until(desk.engine.running.is_set)
    desk.dock.run.cancel_button.click()
    assert desk.dock.run.progress_label.text() == "Stopping after this tile\N{HORIZONTAL ELLIPSIS}"
    wait_until(lambda: desk.ends)
    assert desk.ends == ["finished"]
    assert desk.controller.last_run.partial
    assert "partial" in desk.dock.results.list.item(0).text()


def test_what_a_cancelled_run_writes_can_be_dropped(desk):
    panel, dropped = desk.dock.run, []
    panel.drop.connect(lambda: dropped.append(True))
    panel.show_running()
    panel.cancel_button.click()
    panel.show_progress(Progress(Stage.DETECTING, 0.5, 3, 4))
    assert not panel.cancel_button.isEnabled()
    panel.show_progress(Progress(Stage.OUTLINING, 0.9))
    assert panel.progress_label.text() == "Writing what is finished\N{HORIZONTAL ELLIPSIS}"
    assert panel.cancel_button.text() == "&Drop it"
    panel.cancel_button.click()
    assert dropped == [True]
    assert not panel.cancel_button.isEnabled()
    panel.show_running()
    assert panel.cancel_button.text() == "Canc&el"
    panel.show_idle()


def test_cancel_with_nothing_finished(desk):
    desk.engine.release.clear()
    desk.engine.partial = False
    desk.dock.run.detect_button.click()
    wait_until(desk.engine.running.is_set)
    desk.dock.run.cancel_button.click()
    wait_until(lambda: desk.ends)
    assert desk.ends == ["cancelled"]
    assert desk.dock.results.list.count() == 0
    assert not QgsProject.instance().layerTreeRoot().findGroups()
    assert not reason(desk)


def test_an_error_is_shown_with_its_hint(desk):
    desk.engine.error = InputError("The raster has no bands.", "Choose another.", "details here")
    desk.dock.run.detect_button.click()
    wait_until(lambda: desk.ends)
    assert desk.ends == ["failed"]
    item = desk.bar.currentItem()
    assert "The raster has no bands. Choose another." in item.text()
    assert item.findChild(QWidget, "changeScribeDetailsButton") is not None
    dialog = desk.controller.messenger.show_details("a", "details here")
    assert "details here" in dialog.findChild(QWidget, "detailsText").toPlainText()
    assert not reason(desk)
    assert desk.dock.run.progress_bar.isHidden()


def test_an_unwritable_folder_is_an_error_before_the_run(desk, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    desk.dock.advanced.folder.setFilePath(str(file / "below"))
    desk.dock.run.detect_button.click()
    assert desk.ends == ["failed"]
    assert isinstance(desk.controller.last_error, OutputError)
    assert not desk.engine.requests


def test_progress_line(desk):
    from changescribe.engine.request import Progress, Stage
    from changescribe.ui.translation import stage_text

    text = desk.dock.run.progress_text(Progress(Stage.DETECTING, 0.2, 31, 120, 9.2))
    assert text == "Detecting changes: tile 31 of 120 \N{MIDDLE DOT} 9 s left"
    assert desk.dock.run.progress_text(Progress(Stage.WRITING, 0.9)) == "Writing the results"
    assert all(stage_text(stage) for stage in Stage)


def test_device_and_speed_are_learned(desk):
    desk.engine.tiles = 2
    desk.run()
    label = desk.dock.system.device_label
    assert label.text() == "Runs on: CPU (2 threads)"
    # What ran with another choice says nothing about this one.
    desk.dock.advanced.device.setCurrentIndex(desk.dock.advanced.device.findData("cuda"))
    assert "CPU (2 threads)" not in label.text()
    desk.dock.advanced.device.setCurrentIndex(desk.dock.advanced.device.findData("auto"))
    assert label.text() == "Runs on: CPU (2 threads)"


def test_run_without_findings(desk):
    desk.engine.count = 0
    run = desk.run()
    assert "No changes" in desk.dock.results.list.item(0).text()
    assert not desk.dock.results.captions_button.isEnabled()
    assert not QgsProject.instance().layerTreeRoot().findGroups(), "no empty group"
    assert not desk.dock.results.zoom_button.isEnabled()
    assert os.path.exists(run.gpkg)
    text = desk.bar.currentItem().text()
    assert "No change matching" in text
    assert "Lower" in text


def test_the_message_is_one_line(desk):
    caption = "; ".join(["12 buildings appeared (3.1 ha), most in the north-east"] * 4) + "."

    def find_much(*args, **kwargs):
        return dataclasses.replace(fake_engine.FakeEngine()(*args, **kwargs), caption=caption)

    desk.controller.thread_._detect = find_much
    desk.run()
    text = desk.bar.currentItem().text()
    assert text.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert caption.startswith(text[:-2])
    assert 45 < len(text) < 75
    assert caption in desk.dock.results.list.item(0).toolTip()


def test_warnings_are_read_with_the_result(desk):
    def warn(*args, **kwargs):
        result = fake_engine.FakeEngine()(*args, **kwargs)
        return dataclasses.replace(
            result, warnings=("Pixels are coarse: kinds are guesses. Such as roads.", "More.")
        )

    show_canvas(desk, 800, 600)
    plain = desk.run()
    title = desk.controller.runs.title.label
    assert title.isHidden()
    desk.controller.thread_._detect = warn
    run = desk.run()
    entry = desk.dock.results.list.item(0)
    line = entry.text().splitlines()[-1]
    assert line == "\N{WARNING SIGN} Pixels are coarse: kinds are guesses (+1)"
    assert "Such as roads." in entry.toolTip()
    assert "More." in entry.toolTip()
    assert title.isVisible()
    assert title.text() == f"{run.title} \N{EM DASH} {line[:-5]}"
    assert title.geometry().bottom() < desk.canvas.height()
    assert "appeared" in desk.bar.currentItem().text()
    # It goes with the run.
    desk.dock.results.list.setCurrentRow(1)
    assert desk.dock.results.current == plain
    assert title.isHidden()
    desk.dock.results.list.setCurrentRow(0)
    assert title.isVisible()
    run.group().setItemVisibilityChecked(False)
    wait_until(title.isHidden)


def test_words_that_the_system_does_not_know_are_told_before_the_run(desk):
    label = desk.dock.prompt.unknown_label
    assert label.isHidden()
    desk.dock.prompt.set_text("flurbs built and roads built")
    desk.dock.refresh()
    assert not label.isHidden()
    assert '"flurbs"' in label.text()
    assert "roads" not in label.text()
    assert "zero-shot" in label.text()
    assert desk.dock.run.detect_button.isEnabled()
    info = fake_engine.info(competing=("grass", "water"))
    desk.dock.prompt.check_words(info)
    assert label.isHidden()
