# SPDX-License-Identifier: GPL-3.0-or-later
"""Flicker, swipe, second map and pictures, driven by keys and mouse."""

from __future__ import annotations

import numpy as np
import pytest
from canvas import show_canvas
from qgis.core import QgsProject, QgsRectangle
from qgis.gui import QgsMapToolPan
from qgis.PyQt.QtCore import QPoint, Qt
from qgis.PyQt.QtGui import QImage, qGray
from qgis.PyQt.QtTest import QTest
from waiting import wait_until


@pytest.fixture
def view(desk, make_raster):
    """A map of 800 x 600 with a dark first and a bright second date, the second one on top."""
    for layer, value in ((desk.before, 40), (desk.after, 220)):
        pixels = np.full((3, 120, 160), value, np.uint8)
        layer.setDataSource(make_raster(f"flat{value}.tif", pixels), layer.name(), "gdal")
    show_canvas(desk, 800, 600)
    desk.canvas.setLayers([desk.after, desk.before])
    desk.canvas.setExtent(desk.before.extent())
    desk.dates = desk.controller.dates
    drawn(desk)
    yield desk
    desk.canvas.setLayers([])


def drawn(desk):
    desk.canvas.waitWhileRendering()
    if desk.dates.pictures.shown:
        wait_until(lambda: len(desk.dates.pictures.item.images) == 2)
    QTest.qWait(30)


def light(desk, share):
    """Lightness of the map at a share of its width, at a quarter of its height."""
    image: QImage = desk.canvas.grab().toImage()
    return qGray(image.pixel(int(image.width() * share), image.height() // 4))


def key(desk, code, press=True):
    (QTest.keyPress if press else QTest.keyRelease)(desk.canvas, code)


def test_flicker_shows_the_other_date_while_the_key_is_held(view):
    assert light(view, 0.5) > 200
    key(view, Qt.Key.Key_F)
    drawn(view)
    assert light(view, 0.5) < 60
    key(view, Qt.Key.Key_F, press=False)
    drawn(view)
    assert light(view, 0.5) > 200
    # Where the map shows the first date, it is the second one.
    view.canvas.setLayers([view.before, view.after])
    drawn(view)
    assert light(view, 0.5) < 60
    QTest.mousePress(view.dock.compare.flicker_button, Qt.MouseButton.LeftButton)
    drawn(view)
    assert light(view, 0.5) > 200
    QTest.mouseRelease(view.dock.compare.flicker_button, Qt.MouseButton.LeftButton)
    drawn(view)
    assert light(view, 0.5) < 60


def test_swipe_with_mouse_and_keys(view):
    pan = QgsMapToolPan(view.canvas)
    view.canvas.setMapTool(pan)
    key(view, Qt.Key.Key_W)
    drawn(view)
    button = view.dock.compare.swipe_button
    assert button.isChecked()
    assert light(view, 0.25) < 60
    assert light(view, 0.75) > 200
    port = view.canvas.viewport()
    at = [QPoint(int(view.canvas.width() * share), 200) for share in (0.5, 0.9)]
    QTest.mousePress(port, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at[0])
    QTest.mouseMove(port, at[1])
    QTest.mouseRelease(port, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at[1])
    assert view.dates.pictures.item.share == pytest.approx(0.9, abs=0.01)
    assert light(view, 0.75) < 60
    extent = view.canvas.extent()
    key(view, Qt.Key.Key_Left)
    assert view.dates.pictures.item.share == pytest.approx(0.86, abs=0.01)
    assert view.canvas.extent() == extent, "the arrow moves the line, not the map"
    # The pictures follow the map.
    view.canvas.setExtent(QgsRectangle(500010, 4999950, 500040, 4999970))
    drawn(view)
    assert light(view, 0.25) < 60
    # A flicker within the swipe comes back to the line.
    key(view, Qt.Key.Key_F)
    drawn(view)
    key(view, Qt.Key.Key_F, press=False)
    assert view.dates.pictures.item.with_line
    key(view, Qt.Key.Key_W)
    assert view.canvas.mapTool() is pan
    assert not button.isChecked()
    assert not view.dates.pictures.shown
    button.click()
    assert view.dates.pictures.shown
    key(view, Qt.Key.Key_Escape)
    assert view.canvas.mapTool() is pan


def test_the_names_of_both_dates(view):
    pair = view.dates.pair()
    assert (pair.before_text, pair.after_text) == ("city_2016-05-04", "city_2023-06-01")
    view.before.setName("town")
    assert view.dates.pair().before_text == "town, 2016-05-04"


def test_a_removed_layer_ends_the_swipe(view):
    key(view, Qt.Key.Key_W)
    drawn(view)
    QgsProject.instance().removeMapLayer(view.before.id())
    assert not view.dates.pictures.shown
    assert not view.dock.compare.swipe_button.isEnabled()
    key(view, Qt.Key.Key_F)
    assert "Choose the before and after layers" in view.bar.currentItem().text()
    key(view, Qt.Key.Key_F, press=False)


def test_the_second_map_moves_along(view):
    view.dock.compare.second_button.click()
    second = view.dates.view.canvas
    wait_until(lambda: second.layers() == [view.before])
    view.canvas.setExtent(QgsRectangle(500010, 4999950, 500040, 4999970))
    assert second.center().distance(view.canvas.center()) < 1e-6
    assert second.scale() == pytest.approx(view.canvas.scale(), rel=1e-6)
    second.setCenter(second.center() + (view.before.extent().center() - second.center()) / 2)
    assert view.canvas.center().x() == pytest.approx(second.center().x())
    view.dates.view.dates.setCurrentIndex(1)
    assert second.layers() == [view.after]
    view.dates.view.close()
    assert not view.dock.compare.second_button.isChecked()


def test_a_click_shows_the_change_on_both_dates(view):
    run = view.run()
    layer = run.layer("changes")
    view.canvas.setLayers([layer, view.after])
    drawn(view)
    view.dock.compare.pictures_button.click()
    feature = next(layer.getFeatures())
    place = view.canvas.getCoordinateTransform().transform(feature.geometry().centroid().asPoint())
    QTest.mouseClick(
        view.canvas.viewport(),
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
        QPoint(int(place.x()), int(place.y())),
    )
    window = view.dates.window
    assert window.isVisible()
    assert window.caption.text() == feature["caption"]
    assert window.names[0].text() == "Before, 2016-05-04"
    shades = [qGray(label.pixmap().toImage().pixel(180, 180)) for label in window.pictures]
    assert shades[0] < 90
    assert shades[1] > 150
    # It follows the selection.
    other = next(f for f in layer.getFeatures() if f.id() != feature.id())
    layer.selectByIds([other.id()])
    assert window.caption.text() == other["caption"]
    window.close()
    layer.selectByIds([feature.id()])
    assert not window.isVisible()
    view.dock.compare.pictures_button.click()
    assert view.canvas.mapTool() is not view.dates.picture_tool
