# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the dock puts results while no folder is chosen, and how it names them."""

from __future__ import annotations

import os

from changescribe.ui.dock import outputs


def test_output_folder_falls_back(desk, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "is_writable", lambda _folder: False)
    assert outputs.automatic_folder(desk.before).endswith("ChangeScribe")
    monkeypatch.setattr(outputs, "is_writable", lambda folder: folder == str(tmp_path))
    assert outputs.automatic_folder(desk.before) == str(tmp_path)


def test_names_of_outputs(tmp_path):
    path = outputs.new_output(str(tmp_path), "/x/Stadt Köln.tif", "Gebäude: neu / abgerissen?")
    assert os.path.basename(path) == "Stadt_Köln_gebaude_neu_abgerissen_1.gpkg"
    (tmp_path / os.path.basename(path).replace(".gpkg", "_mask.tif")).write_text("")
    assert outputs.new_output(
        str(tmp_path), "/x/Stadt Köln.tif", "Gebäude: neu / abgerissen?"
    ).endswith("_2.gpkg")
