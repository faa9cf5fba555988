# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a region on both dates: the same ground, nothing written, nothing without end."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qgis.core")

from osgeo import gdal
from qgis.core import (
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsFeature,
    QgsGeometry,
    QgsProject,
    QgsProperty,
    QgsRectangle,
    QgsSingleSymbolRenderer,
    QgsSymbolLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QImage, qGray

from changescribe.ui.map import tip_pictures


@pytest.fixture
def function(qgis_app):
    function = tip_pictures.register()
    yield function
    function.unregister()


@pytest.fixture
def changes(qgis_new_project, make_raster, tmp_path):
    """A region of 5 m: before in UTM with pixels of 0.5 m, after in degrees with larger ones."""
    lines = 700 * (np.arange(400) // 16 % 2) + 200
    pixels = np.broadcast_to(lines, (3, 400, 400)).astype(np.uint16)
    before, after = make_raster("before.tif", pixels), str(tmp_path / "after.tif")
    gdal.Warp(after, before, dstSRS="EPSG:4326", xRes=1.3e-5, yRes=9e-6)
    layer = QgsVectorLayer("Polygon?crs=EPSG:32633", "changes", "memory")
    region = QgsFeature()
    region.setGeometry(QgsGeometry.fromRect(QgsRectangle(500097, 4999897, 500102, 4999902)))
    layer.dataProvider().addFeatures([region])
    layer.setCustomProperty(tip_pictures.BEFORE_PROPERTY, before)
    layer.setCustomProperty(tip_pictures.AFTER_PROPERTY, after)
    QgsProject.instance().addMapLayer(layer)
    return layer


def pictures(layer):
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    context.setFeature(next(layer.getFeatures()))
    html = QgsExpression(f"{tip_pictures.FUNCTION}()").evaluate(context)
    return [
        QImage.fromData(base64.b64decode(text)) for text in re.findall(r'base64,([^"]+)"', html)
    ]


def test_both_dates_show_the_same_ground_whatever_their_crs_and_pixels(function, changes):
    sides = range(0, tip_pictures.SIDE, 2)
    before, after = (
        np.array([[qGray(image.pixel(x, y)) for x in sides] for y in sides])
        for image in pictures(changes)
    )
    assert before.std() > 50, "there is something to see"
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.7


def test_nothing_is_written_beside_the_rasters(function, changes, tmp_path):
    assert len(pictures(changes)) == 2
    assert not list(Path(tmp_path).glob("*.aux.xml"))


def test_a_symbol_that_calls_the_function_does_not_draw_itself_without_end(function, changes):
    symbol = changes.renderer().symbol().clone()
    symbol.symbolLayer(0).setDataDefinedProperty(
        QgsSymbolLayer.Property.PropertyFillColor,
        QgsProperty.fromExpression(f"if({tip_pictures.FUNCTION}() = '', 'red', 'blue')"),
    )
    changes.setRenderer(QgsSingleSymbolRenderer(symbol))
    assert len(pictures(changes)) == 2
    assert len(pictures(changes)) == 2


def test_a_raster_that_would_be_read_in_full_has_no_picture(function, changes, monkeypatch):
    monkeypatch.setattr(tip_pictures, "_MAX_PIXELS", 10)
    assert pictures(changes) == []
    raster = gdal.Open(changes.customProperty(tip_pictures.BEFORE_PROPERTY))
    raster.BuildOverviews("NEAREST", [2, 4])
    del raster
    assert len(pictures(changes)) == 1
