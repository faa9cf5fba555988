# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions of a pair as a Processing algorithm."""

from __future__ import annotations

import numpy as np
import pytest
from algorithms import LEFT, PIXEL, SIZE, TOP, caption

pytest.importorskip("qgis.core")
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)


def test_caption_of_the_pair_and_of_boxes(provider, pair) -> None:
    result = caption(pair)
    (whole,) = result["OUTPUT"].getFeatures()
    assert whole["caption"] == result["CAPTION"]
    assert [whole[name] for name in ("x0", "y0", "x1", "y1")] == [0, 0, SIZE, SIZE]

    boxes = QgsVectorLayer("Polygon?crs=EPSG:32633", "boxes", "memory")
    places = [(8, 10, 38, 30), (40, 40, 50, 50), (500, 500, 600, 600)]
    features = []
    for x0, y0, x1, y1 in places:
        feature = QgsFeature()
        feature.setGeometry(
            QgsGeometry.fromRect(
                QgsRectangle(
                    LEFT + x0 * PIXEL, TOP - y1 * PIXEL, LEFT + x1 * PIXEL, TOP - y0 * PIXEL
                )
            )
        )
        features.append(feature)
    boxes.dataProvider().addFeatures(features)
    feedback = QgsProcessingFeedback()
    values = []
    feedback.progressChanged.connect(values.append)
    result = caption(pair, feedback, BOXES=boxes)
    assert values == sorted(values)
    found = list(result["OUTPUT"].getFeatures())
    assert [[f[n] for n in ("x0", "y0", "x1", "y1")] for f in found] == [
        list(place) for place in places[:2]
    ]
    assert found[0]["caption"] != found[1]["caption"]
    assert len(result["CAPTION"].splitlines()) == 2
    assert found[0].geometry().boundingBox() == features[0].geometry().boundingBox()


def test_caption_with_an_assigned_crs(provider, make_raster, qgis_new_project) -> None:
    """The files lie; the user has put it right in the layers' properties."""
    before = np.full((3, SIZE, SIZE), 20, np.uint8)
    after = before.copy()
    after[:, 10:30, 8:38] = 240
    layers = [
        QgsRasterLayer(make_raster(f"{name}.tif", pixels, crs=crs), name)
        for name, pixels, crs in (
            ("town_2012", before, "EPSG:32633"),
            ("town_2019", after, "EPSG:32733"),
        )
    ]
    crs = QgsCoordinateReferenceSystem("EPSG:32634")
    for layer in layers:
        layer.setCrs(crs)
        QgsProject.instance().addMapLayer(layer)
    boxes = QgsVectorLayer("Polygon?crs=EPSG:32634", "boxes", "memory")
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(LEFT + 2, TOP - 20, LEFT + 22, TOP - 2)))
    boxes.dataProvider().addFeatures([feature])
    result = caption(layers, BOXES=boxes)
    (found,) = result["OUTPUT"].getFeatures()
    assert result["OUTPUT"].crs() == crs
    assert [found[name] for name in ("x0", "y0", "x1", "y1")] == [4, 4, 44, 40]
    assert "building" in found["caption"]
