# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the dock that matter now and then: what is shown, and what is asked for."""

from __future__ import annotations

import pytest
from qgis.core import QgsCoordinateReferenceSystem, QgsRasterRange

from changescribe.ui.dock.estimates import estimate
from changescribe.ui.settings import Settings


def test_the_size_of_pixels_is_asked_for_where_layers_do_not_tell_it(desk, raster_layer):
    spin = desk.dock.advanced.pixel_size
    spin.setValue(0.8)
    assert spin.isHidden()
    assert desk.dock.build_request().pixel_size is None
    for name, combo in (("x_2016", "before_combo"), ("y_2023", "after_combo")):
        layer = raster_layer(name, shape=(60, 80), geotransform=None)
        layer.setCrs(QgsCoordinateReferenceSystem())
        getattr(desk.dock.layers, combo).setLayer(layer)
    desk.dock.refresh()
    assert not spin.isHidden()
    assert desk.dock.build_request().pixel_size == 0.8
    before = desk.dock.layers.before
    told = estimate(before, before.extent(), (0.4,), None, 0.8)
    assert (told.pixels, told.working_pixels) == (4800, 4 * 4800)
    trained = desk.dock.system.info.pixel_sizes[0]
    spin.setValue(2 * trained)
    desk.dock.refresh()
    assert desk.dock.estimate.working_pixels == pytest.approx(4 * 4800)
    # The engine does not take (column, -row) for metres either.
    before.setCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
    desk.dock.refresh()
    assert not spin.isHidden()
    spin.setValue(0)
    assert spin.text() == "Unknown"
    assert desk.dock.build_request().pixel_size is None


def test_hidden_fields_leave_no_gap(desk):
    desk.dock.show()
    advanced = desk.dock.advanced
    advanced.setCollapsed(False)
    desk.dock.widget().widget().layout().activate()
    assert advanced.host.isHidden()
    gap = advanced.folder.y() - advanced.captions.geometry().bottom()
    usual = advanced.device.y() - advanced.bands_after.geometry().bottom()
    assert 0 < gap < 2 * usual


def test_fields_that_do_not_matter_stay_hidden_when_advanced_opens_and_closes(desk, raster_layer):
    desk.dock.show()
    advanced = desk.dock.advanced
    fields = (advanced.threshold, advanced.pixel_size, advanced.host)
    for collapsed, shown in ((True, [False] * 3), (False, [True, False, False])):
        advanced.setCollapsed(collapsed)
        assert [field.isVisible() for field in fields] == shown
        desk.dock.refresh()
        assert [field.isVisible() for field in fields] == shown
    for name, combo in (("x_2016", "before_combo"), ("y_2023", "after_combo")):
        layer = raster_layer(name, shape=(60, 80), geotransform=None)
        layer.setCrs(QgsCoordinateReferenceSystem())
        getattr(desk.dock.layers, combo).setLayer(layer)
    advanced.setCollapsed(True)
    desk.dock.refresh()
    assert not advanced.pixel_size.isVisible()
    advanced.setCollapsed(False)
    assert advanced.pixel_size.isVisible()


def test_invalid_pixels_reach_the_request(desk) -> None:
    advanced = desk.dock.advanced
    assert desk.dock.build_request().nodata == "auto"
    advanced.nodata.setCurrentIndex(advanced.nodata.findData("none"))
    assert desk.dock.build_request().nodata == "none"
    layer = desk.dock.layers.before
    layer.dataProvider().setUserNoDataValue(1, [QgsRasterRange(0.0, 3.0)])
    assert desk.dock.build_request().nodata_before == ((0.0, 3.0),)
    assert desk.dock.build_request().nodata_after == ()


def test_the_alignment_reaches_the_request_and_is_remembered(desk):
    combo = desk.dock.advanced.align
    assert desk.dock.build_request().align == "report"
    combo.setCurrentIndex(combo.findData("auto"))
    assert desk.dock.build_request().align == "auto"
    assert Settings().align == "auto"


def test_right_angles_can_be_switched_off(desk):
    assert desk.dock.build_request().outlines == "auto"
    desk.dock.advanced.outlines.setChecked(False)
    assert desk.dock.build_request().outlines == "free"


def test_masks_reach_the_request_with_their_values(desk):
    advanced = desk.dock.advanced
    assert desk.dock.build_request().clouds == "auto"
    advanced.clouds.setChecked(False)
    request = desk.dock.build_request()
    assert request.clouds == "off"
    assert (request.mask_before, request.mask_after) == (None, None)
    advanced.mask_after.setFilePath("/data/SCL.tif")
    assert desk.dock.build_request().mask_after == "/data/SCL.tif"
    advanced.mask_values.setText(" 3,8-10 ")
    request = desk.dock.build_request()
    assert (request.mask_before, request.mask_after) == (None, "/data/SCL.tif:3,8-10")
