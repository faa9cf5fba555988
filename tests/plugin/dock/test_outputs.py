# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the dock puts results while no folder is chosen, and how it names them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from qgis.core import QgsProject, QgsRasterLayer

from changescribe.engine.detect.rasters import open_rasters
from changescribe.ui.dock import outputs


def test_one_folder_per_project(desk, tmp_path, monkeypatch):
    beside = Path(desk.before.source()).parent
    assert outputs.automatic_folder(desk.before) == str(beside / "changescribe")
    (tmp_path / "work").mkdir()
    assert QgsProject.instance().write(str(tmp_path / "work" / "town.qgz"))
    expected = str(tmp_path / "work" / "town_changescribe")
    assert outputs.automatic_folder(desk.before) == expected
    assert not Path(expected).exists(), "made with the first run"
    monkeypatch.setattr(outputs, "is_writable", lambda folder: folder == str(beside))
    assert outputs.automatic_folder(desk.before) == str(beside / "changescribe")
    monkeypatch.setattr(outputs, "is_writable", lambda _folder: False)
    assert outputs.automatic_folder(desk.before).endswith("ChangeScribe")


def test_names_of_outputs(tmp_path):
    path = outputs.new_output(str(tmp_path), "/x/Stadt Köln.tif", "Gebäude: neu / abgerissen?")
    assert os.path.basename(path) == "Stadt_Köln_gebaude_neu_abgerissen_1.gpkg"
    (tmp_path / os.path.basename(path).replace(".gpkg", "_mask.tif")).write_text("")
    assert outputs.new_output(
        str(tmp_path), "/x/Stadt Köln.tif", "Gebäude: neu / abgerissen?"
    ).endswith("_2.gpkg")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_both_dates_in_one_archive(desk, tmp_path, kind) -> None:
    archive = tmp_path / f"dates.{kind}"
    files = [Path(layer.source()) for layer in (desk.before, desk.after)]
    shutil.make_archive(str(archive.with_suffix("")), kind, files[0].parent)
    for file, combo in zip(files, ("before_combo", "after_combo"), strict=True):
        layer = QgsRasterLayer(f"/vsi{kind}/{archive}/{file.name}", f"{file.stem}_{kind}")
        assert layer.isValid()
        QgsProject.instance().addMapLayer(layer)
        getattr(desk.dock.layers, combo).setLayer(layer)
    assert desk.dock.reason() == ""
    request = desk.dock.build_request()
    assert request.before == f"/vsi{kind}/{archive}/{files[0].name}"
    assert request.after == f"/vsi{kind}/{archive}/{files[1].name}"
    # Results lie beside the archive.
    assert Path(request.output).parent == tmp_path / "changescribe"
    with open_rasters(request) as (before, after):
        assert before.read(before.grid)[1].all()
        assert after.read(after.grid)[1].all()
