# SPDX-License-Identifier: GPL-3.0-or-later
"""Where to look: canvas, drawn rectangle, polygons; in the CRS of the earlier layer."""

from __future__ import annotations

import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.gui import QgsMapToolPan

from changescribe.engine.errors import InputError
from changescribe.engine.raster.area import AreaMask
from changescribe.engine.raster.reader import RasterSource
from changescribe.ui.dock import extent as where
from changescribe.ui.map.layer_source import to_crs

WGS84 = QgsCoordinateReferenceSystem("EPSG:4326")


def reason(desk):
    desk.dock.refresh()
    text = desk.dock.run.reason_label.text()
    assert desk.dock.run.detect_button.isEnabled() == (not text)
    assert desk.dock.run.reason_label.isHidden() == (not text)
    return text


def polygon_layer(rectangles, crs="EPSG:32633"):
    layer = QgsVectorLayer(f"Polygon?crs={crs}", "areas", "memory")
    for rectangle in rectangles:
        feature = QgsFeature()
        feature.setGeometry(QgsGeometry.fromRect(rectangle))
        layer.dataProvider().addFeature(feature)
    layer.updateExtents()
    QgsProject.instance().addMapLayer(layer)
    return layer


def test_where_canvas(desk):
    box = desk.before.extent()
    desk.dock.extent.set_choice(where.CANVAS)
    desk.canvas.setExtent(
        QgsRectangle(
            box.xMinimum() + 10, box.yMinimum() + 10, box.xMinimum() + 30, box.yMinimum() + 25
        )
    )
    assert not reason(desk)
    extent = desk.dock.build_request().extent
    shown = desk.canvas.extent().intersect(box)
    assert (extent.xmin, extent.ymax) == pytest.approx((shown.xMinimum(), shown.yMaximum()))
    desk.canvas.setExtent(QgsRectangle(0, 0, 100, 100))
    assert reason(desk) == "The map canvas does not show the overlap of the layers"


def test_where_drawn_in_another_crs(desk):
    desk.dock.extent.set_choice(where.DRAW)
    assert reason(desk) == "Draw a rectangle on the map"
    box = desk.before.extent()
    inside = QgsRectangle(
        box.xMinimum() + 10, box.yMinimum() + 10, box.xMaximum() - 10, box.yMaximum() - 10
    )
    desk.dock.extent.set_drawn(to_crs(inside, desk.before.crs(), WGS84), WGS84)
    assert not reason(desk)
    extent = desk.dock.build_request().extent
    assert extent.xmin == pytest.approx(inside.xMinimum(), abs=1)
    assert extent.crs is None


def test_where_drawing_gives_the_map_tool_back(desk):
    pan = QgsMapToolPan(desk.canvas)
    desk.canvas.setMapTool(pan)
    desk.dock.extent.set_choice(where.DRAW)
    desk.dock.extent.start_drawing()
    assert desk.canvas.mapTool() is not pan
    desk.dock.extent._tool.extentChanged.emit(desk.before.extent())
    assert desk.canvas.mapTool() is pan
    assert not desk.dock.extent.draw_button.isChecked()
    assert not reason(desk)


def test_where_polygons_selection_or_all(desk):
    box = desk.before.extent()
    x, y = box.xMinimum(), box.yMinimum()
    layer = polygon_layer(
        [
            QgsRectangle(x + 5, y + 5, x + 15, y + 15),
            QgsRectangle(x + 20, y + 20, x + 30, y + 30),
            QgsRectangle(x + 9000, y, x + 9010, y + 10),
        ]
    )
    desk.dock.extent.set_choice(where.LAYER)
    desk.dock.extent.layer_combo.setLayer(layer)
    assert not reason(desk)
    request = desk.dock.build_request()
    area = QgsGeometry.fromWkt(request.area.wkt)
    assert area.area() == pytest.approx(200)
    layer.selectByIds([2])
    request = desk.dock.build_request()
    assert QgsGeometry.fromWkt(request.area.wkt).area() == pytest.approx(100)
    assert (request.extent.xmin, request.extent.ymin) == pytest.approx((x + 20, y + 20))
    layer.selectByIds([3])
    assert reason(desk) == "The polygons lie outside the overlap of the layers"


def test_where_polygons_overlap(desk):
    """They are handed over as they are, and an area that two cover stays in."""
    box = desk.before.extent()
    x, y = box.xMinimum(), box.yMinimum()
    layer = polygon_layer(
        [QgsRectangle(x + 5, y + 5, x + 15, y + 15), QgsRectangle(x + 10, y + 5, x + 20, y + 15)]
    )
    desk.dock.extent.set_choice(where.LAYER)
    desk.dock.extent.layer_combo.setLayer(layer)
    area = desk.dock.build_request().area
    assert QgsGeometry.fromWkt(area.wkt).constGet().numGeometries() == 2
    with RasterSource.open(desk.before.source()) as source:
        mask = AreaMask(area, source.grid).on(source.grid)
    assert mask.sum() == pytest.approx(150 / 0.25, rel=0.02)


def test_where_too_many_vertices(desk, monkeypatch):
    box = desk.before.extent()
    layer = polygon_layer([box, box])
    desk.dock.extent.set_choice(where.LAYER)
    desk.dock.extent.layer_combo.setLayer(layer)
    monkeypatch.setattr(where, "_MAX_VERTICES", 9)
    with pytest.raises(InputError, match="more than 9 vertices"):
        desk.dock.build_request()
    layer.selectByIds([1])
    assert desk.dock.build_request().area is not None


def test_where_polygons_in_degrees(desk):
    box = desk.before.extent()
    inner = QgsRectangle(
        box.xMinimum() + 10, box.yMinimum() + 10, box.xMinimum() + 30, box.yMinimum() + 30
    )
    layer = polygon_layer([to_crs(inner, desk.before.crs(), WGS84)], "EPSG:4326")
    desk.dock.extent.set_choice(where.LAYER)
    desk.dock.extent.layer_combo.setLayer(layer)
    area = QgsGeometry.fromWkt(desk.dock.build_request().area.wkt)
    assert area.boundingBox().xMinimum() == pytest.approx(inner.xMinimum(), abs=1)
    assert area.area() == pytest.approx(400, rel=0.05)


def test_where_no_polygon_in_the_overlap(desk):
    box = desk.before.extent()
    around = QgsGeometry.fromWkt("POLYGON((0 0, 0 1, 1 1, 0 0))")
    layer = polygon_layer([])
    for corner in (
        (box.xMinimum() - 50, box.yMinimum() - 50),
        (box.xMaximum() + 50, box.yMaximum() + 50),
    ):
        feature, shape = QgsFeature(), QgsGeometry(around)
        shape.translate(*corner)
        feature.setGeometry(shape)
        layer.dataProvider().addFeature(feature)
    layer.updateExtents()
    desk.dock.extent.set_choice(where.LAYER)
    desk.dock.extent.layer_combo.setLayer(layer)
    desk.dock.run.detect_button.click()
    assert desk.ends == ["failed"]
    assert "No polygon" in str(desk.controller.last_error)
    QgsProject.instance().removeMapLayer(layer)
    assert reason(desk) == "Choose a polygon layer"


@pytest.mark.parametrize("half_width", [0.5, 3.5])
def test_where_a_polygon_with_long_sides_in_degrees(desk, half_width):
    """Its border runs along the parallel through the middle of the overlap."""
    box = desk.before.extent()
    middle = to_crs(QgsRectangle(box.center(), box.center()), desk.before.crs(), WGS84).center()
    west, south = middle.x() - half_width, middle.y()
    layer = polygon_layer(
        [QgsRectangle(west, south, west + 2 * half_width, south + 4)], "EPSG:4326"
    )
    desk.dock.extent.set_choice(where.LAYER)
    desk.dock.extent.layer_combo.setLayer(layer)
    area = QgsGeometry.fromWkt(desk.dock.build_request().area.wkt)
    inside = area.intersection(QgsGeometry.fromRect(box))
    assert inside.area() == pytest.approx(box.width() * box.height() / 2, rel=0.03)


def test_where_polygons_cover_the_world(desk):
    layer = polygon_layer([QgsRectangle(-180, -90, 180, 90)], "EPSG:4326")
    desk.dock.extent.set_choice(where.LAYER)
    desk.dock.extent.layer_combo.setLayer(layer)
    assert not reason(desk)
    box = desk.before.extent()
    area = QgsGeometry.fromWkt(desk.dock.build_request().area.wkt)
    inside = area.intersection(QgsGeometry.fromRect(box))
    assert inside.area() == pytest.approx(box.width() * box.height())


def test_where_unsaved_edits_count(desk):
    box = desk.before.extent()
    x, y = box.xMinimum(), box.yMinimum()
    layer = polygon_layer([])
    desk.dock.extent.set_choice(where.LAYER)
    desk.dock.extent.layer_combo.setLayer(layer)
    layer.startEditing()
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(x + 5, y + 5, x + 15, y + 15)))
    layer.addFeature(feature)
    assert not reason(desk)
    area = QgsGeometry.fromWkt(desk.dock.build_request().area.wkt)
    assert area.area() == pytest.approx(100)
    layer.rollBack()
