# SPDX-License-Identifier: GPL-3.0-or-later
"""The export dialog: format, file, warnings and errors, without blocking."""

from __future__ import annotations

import os
import threading

import pytest
from waiting import wait_until

from changescribe.engine.errors import OutputError
from changescribe.ui.dock.export_dialog import ExportDialog, free_path
from changescribe.ui.settings import Settings


class Recorder:
    """An export that can be held, and that warns or fails when told to."""

    def __init__(self):
        self.calls, self.warnings, self.error = [], (), None
        self.release = threading.Event()
        self.release.set()

    def __call__(self, gpkg, out, overwrite):
        self.calls.append((gpkg, out, threading.get_ident()))
        self.overwrite = overwrite
        assert self.release.wait(5)
        if self.error:
            raise self.error
        with open(out, "w", encoding="utf-8") as file:
            file.write("x")
        return self.warnings


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def dialog(desk, recorder):
    run = desk.run()
    dialog = ExportDialog(run, Settings(), None, recorder)
    yield dialog
    recorder.release.set()
    wait_until(lambda: not dialog.busy)
    dialog.close()


def test_proposes_a_free_name_per_format(dialog, desk):
    path = dialog.file_widget.filePath()
    assert path.endswith("_export.shp")
    assert os.path.dirname(path) == os.path.dirname(desk.controller.last_run.gpkg)
    dialog.format_combo.setCurrentIndex(2)
    assert dialog.file_widget.filePath().endswith("_export.geojson")
    assert "10 characters" not in dialog.note_label.text()


def test_exports_in_another_thread_and_shows_warnings(dialog, desk, recorder):
    recorder.warnings = ("2 captions were cut; they are whole in the CSV.",)
    recorder.release.clear()
    done = []
    dialog.exported.connect(done.append)
    dialog.export_button.click()
    wait_until(lambda: recorder.calls)
    assert dialog.busy
    assert not dialog.export_button.isEnabled()
    recorder.release.set()
    wait_until(lambda: done)
    gpkg, out, ident = recorder.calls[0]
    assert gpkg == desk.controller.last_run.gpkg
    assert ident != threading.get_ident()
    assert out == done[0]
    assert os.path.basename(out) in dialog.status_label.text()
    assert "CSV" in dialog.warning_label.text()
    assert dialog.folder_button.isEnabled()


def test_adds_the_suffix(dialog, recorder, tmp_path):
    dialog.file_widget.setFilePath(str(tmp_path / "result"))
    dialog.export_button.click()
    wait_until(lambda: recorder.calls and not dialog.busy)
    assert recorder.calls[0][1] == str(tmp_path / "result.shp")
    assert Settings().export_folder == str(tmp_path)


@pytest.mark.parametrize("error", [OutputError("Disk full.", "Free some."), ValueError("x")])
def test_an_error_is_shown(dialog, recorder, error):
    recorder.error = error
    failed = []
    dialog.failed.connect(failed.append)
    dialog.export_button.click()
    wait_until(lambda: failed)
    assert dialog.warning_label.text() == str(failed[0])
    assert not recorder.overwrite
    assert dialog.export_button.isEnabled()
    assert not dialog.folder_button.isEnabled()


def test_closing_during_an_export_is_harmless(desk, recorder):
    desk.run()
    dialog = desk.controller.open_export(desk.controller.last_run)
    dialog._export = recorder
    recorder.release.clear()
    dialog.export_button.click()
    wait_until(lambda: recorder.calls)
    dialog.close()
    recorder.release.set()
    wait_until(lambda: os.path.exists(recorder.calls[0][1]))
    wait_until(lambda: not desk.controller._exports)


def test_asks_before_a_file_is_replaced(dialog, recorder, tmp_path):
    (tmp_path / "there.shp").write_text("old")
    dialog.file_widget.setFilePath(str(tmp_path / "there.shp"))
    assert not dialog.replace_box.isHidden()
    assert not dialog.export_button.isEnabled()
    dialog.replace_box.setChecked(True)
    dialog.export_button.click()
    wait_until(lambda: recorder.calls and not dialog.busy)
    assert recorder.overwrite
    assert not dialog.export_button.isEnabled()
    dialog.file_widget.setFilePath(str(tmp_path / "new.shp"))
    assert dialog.replace_box.isHidden()
    assert dialog.export_button.isEnabled()


def test_no_file_no_export(dialog):
    dialog.file_widget.setFilePath("")
    assert not dialog.export_button.isEnabled()


def test_export_of_a_real_run(desk, tmp_path):
    """Through the real export: a shapefile that OGR reads back."""
    export = pytest.importorskip("changescribe.engine.results.export")
    assert export
    from osgeo import ogr

    desk.run()
    dialog = desk.controller.open_export(desk.controller.last_run)
    out = str(tmp_path / "out.shp")
    dialog.file_widget.setFilePath(out)
    done = []
    dialog.exported.connect(done.append)
    dialog.failed.connect(done.append)
    dialog.export_button.click()
    wait_until(lambda: done)
    assert done == [out]
    source = ogr.Open(out)
    assert source.GetLayer(0).GetFeatureCount() == 3
    assert os.path.exists(str(tmp_path / "out.cpg"))
    dialog.close()


def test_free_path(tmp_path):
    stem = str(tmp_path / "a")
    assert free_path(stem, ".shp") == stem + ".shp"
    (tmp_path / "a.shp").write_text("")
    assert free_path(stem, ".shp") == stem + "_2.shp"
