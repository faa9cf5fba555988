# SPDX-License-Identifier: GPL-3.0-or-later
"""The dock: why a run cannot start, what a request holds, and whole runs through it."""

from __future__ import annotations

import re

import fake_engine
import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsDateTimeRange,
    QgsProject,
    QgsRasterLayer,
)
from qgis.PyQt.QtCore import QDateTime, Qt
from qgis.PyQt.QtWidgets import QAbstractButton, QLabel, QMainWindow, QWidget
from run_button import reason
from waiting import wait_until

from changescribe.engine.errors import InputError
from changescribe.engine.raster.dates import is_iso_date
from changescribe.engine.request import DEVICES
from changescribe.ui.compat import FIXED_TEMPORAL_RANGE
from changescribe.ui.dock.advanced_panel import AdvancedPanel, bands_in
from changescribe.ui.dock.estimates import duration_text, estimate
from changescribe.ui.map.layer_source import date_of, overlap_of, source_path
from changescribe.ui.packages import tiers
from changescribe.ui.settings import Settings

NAMES = (
    "beforeLayer afterLayer swapButton beforeDate afterDate prompt parseLabel extentGroup "
    "estimateLabel systemCombo deviceLabel thresholdSpin minAreaSpin bandsBefore bandsAfter "
    "outputFolder detectButton reasonLabel cancelButton progressBar progressLabel resultsList "
    "exportButton captionsButton zoomButton whyButton filterScoreSlider filterScore filterArea "
    "filterReset filterCount promptChips"
).split()
WGS84 = QgsCoordinateReferenceSystem("EPSG:4326")


def test_widgets_have_their_names(desk):
    for name in NAMES:
        assert desk.dock.findChild(QWidget, name) is not None, name


def test_tab_key_follows_the_column(desk):
    order, widget = [], desk.dock.layers.before_combo
    while True:
        if widget.objectName() in NAMES:
            order.append(widget.objectName())
        widget = widget.nextInFocusChain()
        if widget is desk.dock.layers.before_combo:
            break
    expected = [
        "beforeLayer",
        "beforeDate",
        "afterLayer",
        "afterDate",
        "swapButton",
        "prompt",
        "systemCombo",
        "whyButton",
        "thresholdSpin",
        "minAreaSpin",
        "bandsBefore",
        "bandsAfter",
        "outputFolder",
        "detectButton",
        "cancelButton",
        "resultsList",
        "filterScoreSlider",
        "filterScore",
        "filterArea",
        "filterReset",
        "zoomButton",
        "captionsButton",
        "exportButton",
    ]
    assert [name for name in order if name in expected] == expected


def test_mnemonics_are_unique(desk):
    letters = []
    for kind in (QLabel, QAbstractButton):
        for widget in desk.dock.findChildren(kind):
            if desk.dock.packages.isAncestorOf(widget):
                continue
            found = re.search("&([^&])", widget.text())
            letters += [found.group(1).lower()] if found else []
    assert len(letters) > 12
    assert len(letters) == len(set(letters)), sorted(letters)


def test_ready(desk):
    assert not reason(desk)
    assert "buildings" in desk.dock.prompt.parse_label.text()
    assert "0.5 ha" in desk.dock.extent.estimate_label.text() or (
        "m\N{SUPERSCRIPT TWO}" in desk.dock.extent.estimate_label.text()
    )
    assert "19,200 pixels" in desk.dock.extent.estimate_label.text()


def test_reason_without_layers(desk):
    desk.dock.layers.after_combo.setLayer(None)
    assert reason(desk) == "Choose two raster layers"


def test_reason_same_layer(desk):
    desk.dock.layers.after_combo.setLayer(desk.before)
    assert reason(desk) == "Choose two different layers"


def test_reason_same_file_in_two_layers(desk):
    twin = QgsRasterLayer(desk.before.source(), "twin")
    QgsProject.instance().addMapLayer(twin)
    desk.dock.layers.after_combo.setLayer(twin)
    assert reason(desk) == "Choose two different layers"


def test_reason_no_overlap(desk, raster_layer):
    far = raster_layer("far_2023", geotransform=(900000.0, 0.5, 0, 5000000.0, 0, -0.5))
    desk.dock.layers.after_combo.setLayer(far)
    assert reason(desk) == "The layers do not overlap"


def test_reason_prompt(desk):
    desk.dock.prompt.set_text("   ")
    assert reason(desk) == "Type what changed"
    assert desk.dock.prompt.parse_label.text().startswith("Try:")
    desk.dock.prompt.set_text("the of and")
    assert reason(desk) == desk.dock.prompt.problem


def test_reason_online_map(desk):
    uri = "type=xyz&url=http://localhost:1/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=19&zmin=0"
    online = QgsRasterLayer(uri, "tiles", "wms")
    QgsProject.instance().addMapLayer(online)
    desk.dock.layers.after_combo.setLayer(online)
    assert desk.dock.layers.after is online
    assert '"tiles" is an online map' in reason(desk)
    assert source_path(online) is None


def test_reason_crs_on_one_side_only(desk, raster_layer):
    bare = raster_layer("bare_2023", geotransform=None)
    bare.setCrs(QgsCoordinateReferenceSystem())
    desk.dock.layers.after_combo.setLayer(bare)
    assert "has no CRS" in reason(desk)


def test_without_georeference_sizes_must_match(desk, raster_layer):
    layers = [
        raster_layer(n, shape=s, geotransform=None)
        for n, s in (("x_2016", (60, 80)), ("y_2023", (60, 80)), ("z_2023", (60, 90)))
    ]
    for layer in layers:
        layer.setCrs(QgsCoordinateReferenceSystem())
    desk.dock.layers.before_combo.setLayer(layers[0])
    desk.dock.layers.after_combo.setLayer(layers[2])
    assert reason(desk) == "Layers without georeference must have the same size in pixels"
    desk.dock.layers.after_combo.setLayer(layers[1])
    assert not reason(desk)
    assert desk.dock.extent.estimate_label.text() == "4,800 pixels"


def test_without_crs_but_placed_sizes_may_differ(desk, raster_layer):
    local = (100.0, 0.5, 0.0, 200.0, 0.0, -0.5)
    layers = [
        raster_layer(n, shape=s, geotransform=g)
        for n, s, g in (
            ("x_2016", (60, 80), local),
            ("y_2023", (60, 90), local),
            ("z_2023", (60, 80), None),
        )
    ]
    for layer in layers:
        layer.setCrs(QgsCoordinateReferenceSystem())
    desk.dock.layers.before_combo.setLayer(layers[0])
    desk.dock.layers.after_combo.setLayer(layers[1])
    assert not reason(desk)
    desk.dock.layers.after_combo.setLayer(layers[2])
    assert reason(desk) == '"z_2023" has no georeference, but the other layer has one'


def test_reason_bands_and_dates(desk):
    desk.dock.advanced.bands_after.setText("4, 3, 2")
    assert "Invalid bands for" in reason(desk)
    desk.dock.advanced.bands_after.setText("3, 2, 1")
    assert not reason(desk)
    desk.dock.layers.before_date.setText("May 2016")
    assert reason(desk) == "Correct the dates, or leave them empty"


def test_reason_no_system(desk, monkeypatch):
    from changescribe.ui.dock import system_panel

    monkeypatch.setattr(system_panel, "installed_systems", tuple)
    desk.dock.system.reload()
    assert "No detection system" in reason(desk)


def test_reason_while_running(desk):
    desk.engine.release.clear()
    desk.dock.run.detect_button.click()
    wait_until(desk.engine.running.is_set)
    assert reason(desk) == "A run is in progress"
    assert not desk.dock.run.cancel_button.isHidden()
    desk.controller.start()
    desk.engine.release.set()
    wait_until(lambda: desk.ends)
    assert not reason(desk)
    assert desk.dock.run.cancel_button.isHidden()
    assert len(desk.engine.requests) == 1


def test_swap_and_reversed_dates(desk):
    assert desk.dock.layers.dates == ("2016-05-04", "2023-06-01")
    assert desk.dock.layers.warning.isHidden()
    desk.dock.layers.swap_button.click()
    assert desk.dock.layers.before is desk.after
    assert desk.dock.layers.dates == ("2023-06-01", "2016-05-04")
    assert "seem reversed" in desk.dock.layers.warning.text()
    assert not desk.dock.layers.warning.isHidden()
    assert not reason(desk)


def test_date_of_temporal_properties(desk, raster_layer):
    layer = raster_layer("undated")
    properties = layer.temporalProperties()
    properties.setMode(FIXED_TEMPORAL_RANGE)
    begin = QDateTime.fromString("2019-03-02T00:00:00", Qt.DateFormat.ISODate)
    properties.setFixedTemporalRange(QgsDateTimeRange(begin, begin))
    properties.setIsActive(True)
    desk.dock.layers.before_combo.setLayer(layer)
    assert desk.dock.layers.dates[0] == "2019-03-02"


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("austin_2016.tif", "2016"),
        ("S2_20190604T101.tif", "2019-06-04"),
        ("tile_12016.tif", ""),
        ("tile_2048x2048_2019.tif", "2019"),
        ("x_20190231.tif", ""),
    ],
)
def test_date_of_the_file_name(qgis_new_project, raster_layer, name, date):
    assert date_of(raster_layer(name[:-4], add=False)) == date


def test_iso_dates():
    assert all(is_iso_date(d) for d in ("2016", "2016-02", "2016-02-29"))
    assert not any(is_iso_date(d) for d in ("16", "2015-02-29", "2016-13", "yesterday", ""))


def test_a_minimum_area_of_nothing_is_not_the_automatic_one(desk):
    area = desk.dock.advanced.min_area
    assert area.text() == "Automatic"
    assert desk.dock.advanced.minimum_area is None
    area.stepUp()
    assert desk.dock.advanced.minimum_area == 0
    assert AdvancedPanel(Settings()).minimum_area == 0
    area.stepDown()
    assert desk.dock.advanced.minimum_area is None
    area.setValue(200)
    area.stepUp()
    assert desk.dock.advanced.minimum_area == 210
    area.clear()
    assert desk.dock.advanced.minimum_area is None


def test_history_and_presets(desk):
    desk.dock.prompt.set_text("Swimming pools  built")
    desk.run()
    combo = desk.dock.prompt.combo
    entries = [combo.itemText(i) for i in range(combo.count())]
    assert entries[0] == "Swimming pools built"
    assert "trees cleared" in entries
    assert desk.settings.prompt_history == ["Swimming pools built"]
    assert desk.dock.prompt.text == "Swimming pools built"


def test_overlap_of_two_crs(desk, raster_layer):
    degrees = raster_layer(
        "deg_2023",
        shape=(100, 100),
        crs="EPSG:4326",
        geotransform=(14.99, 0.0002, 0, 45.16, 0, -0.0002),
    )
    overlap = overlap_of(desk.before, degrees)
    assert not overlap.isEmpty()
    assert desk.before.extent().contains(overlap)


def test_estimate_uses_measured_speed(desk):
    desk.settings.remember_speed("bundled", 1000.0)
    desk.dock.refresh()
    assert "about 19 s" in desk.dock.extent.estimate_label.text()
    coarse = estimate(desk.before, desk.before.extent(), (1.0,), 1000.0)
    assert coarse.working_pixels == pytest.approx(4800, rel=0.01)
    assert coarse.pixels == 19200


def test_words_for_numbers():
    assert [duration_text(s) for s in (0.2, 14.4, 130, 9000)] == ["1 s", "14 s", "2 min", "2.5 h"]


def test_bands_in_words():
    assert bands_in("3, 2, 1") == (3, 2, 1)
    assert bands_in("4") == (4,)
    assert [bands_in(t) for t in ("", "1, 2", "0", "red", "1,2,3,4")] == [None] * 5


def test_device_expected_before_the_first_run(desk, monkeypatch):
    texts = {}
    for has_card in (False, True):
        monkeypatch.setattr(tiers, "has_cuda", lambda able=has_card: able)
        for device in DEVICES:
            desk.settings.device = device
            desk.dock.system.refresh()
            texts[has_card, device] = desk.dock.system.device_label.text()
    assert texts[False, "auto"] == "Runs on: CPU"
    assert texts[False, "cpu"] == texts[True, "cpu"] == "Runs on: CPU (chosen under Advanced)"
    assert "does not support GPUs" in texts[False, "cuda"]
    assert "GPU if" in texts[True, "auto"]


def test_why_opens_what_is_installed(desk):
    desk.dock.system.why_button.click()
    details = desk.dock.findChild(QWidget, "detailsText").toPlainText()
    assert "onnxruntime: " in details
    assert "onnxruntime providers: " in details


def test_text_of_the_user_is_never_html(desk):
    desk.engine.error = InputError('The raster "<b>x</b>" has no bands.', "<i>Choose</i>.", "d")
    desk.dock.run.detect_button.click()
    wait_until(lambda: desk.ends)
    assert "&lt;b&gt;x&lt;/b&gt;" in desk.bar.currentItem().text()
    dialog = desk.controller.messenger.show_details("<b>x</b>", "details")
    labels = dialog.findChildren(QLabel) + [
        desk.dock.run.reason_label,
        desk.dock.prompt.parse_label,
        desk.dock.layers.warning,
    ]
    assert {label.textFormat() for label in labels} == {Qt.TextFormat.PlainText}
    desk.dock.run.set_reason('"<b>x</b>"')
    assert desk.dock.run.detect_button.toolTip() == '<qt>"&lt;b&gt;x&lt;/b&gt;"</qt>'


def test_offers_two_rasters_in_the_order_of_their_dates(
    qgis_canvas, system, qgis_new_project, raster_layer
):
    from changescribe.ui.dock.dock import ChangeScribeDock

    late, early = raster_layer("late_2020"), raster_layer("early_2010")
    dock = ChangeScribeDock(qgis_canvas, Settings())
    dock.show()
    assert (dock.layers.before, dock.layers.after) == (early, late)
    dock.shut_down()
    dock.deleteLater()


def test_the_dock_is_not_narrower_than_its_content(desk):
    content = desk.dock.findChild(QWidget, "ChangeScribeContent")
    assert desk.dock.widget().minimumSizeHint().width() > content.minimumSizeHint().width()
    desk.dock.layers.before_date.setText("2024")
    desk.dock.show()
    desk.dock.resize(10, 900)
    wait_until(lambda: not desk.dock.layers.warning.isHidden())
    assert content.width() >= content.minimumSizeHint().width()
    assert desk.dock.minimumSizeHint().width() < 420


def test_the_dock_widens_with_its_content(desk):
    window = QMainWindow()
    window.setCentralWidget(QWidget())
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, desk.dock)
    window.resize(1200, 500)
    window.show()
    desk.dock.show()
    content = desk.dock.findChild(QWidget, "ChangeScribeContent")
    wait_until(lambda: content.width() < 400)
    desk.dock.advanced.threshold.setMinimumWidth(400)
    desk.dock.advanced.setCollapsed(False)
    view = desk.dock.widget().viewport()
    wait_until(lambda: view.width() >= content.minimumSizeHint().width() > 400)
    desk.dock.setParent(None)


def test_system_info_is_shown(desk):
    assert desk.dock.system.combo.currentText() == fake_engine.info().title
    assert "research data" in desk.dock.system.terms_label.text()
