# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions written after a run: to the attributes of its polygons and to the map."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsFeatureRequest,
    QgsGeometry,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)

from ...engine.errors import OutputError
from ..translation import tr
from .annotations import PlaceCaption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...engine.describe.request import MapCaption
    from .runs import Run

_REGIONS = "regions"
#: Of the file that the engine writes beside the results.
_SUFFIX = "_captions.gpkg"


def take(run: Run, captions: Sequence[MapCaption]) -> list[PlaceCaption]:
    """Write captions of regions to the layer ``changes``; return those of other places.

    Raises:
        OutputError: the layer cannot be changed.
    """
    layer = run.layer("changes")
    if not isinstance(layer, QgsVectorLayer):
        return []
    texts = {c.change_id: c.caption for c in captions if c.level == _REGIONS}
    if texts:
        _change(layer, texts)
    return [
        PlaceCaption(c.level, c.caption, _bounds(layer, c.place.wkt, c.place.crs))
        for c in captions
        if c.level != _REGIONS
    ]


def stored(run: Run) -> list[PlaceCaption]:
    """Return the captions of tiles and of the scene stored beside the results of a run."""
    path = os.path.splitext(run.gpkg)[0] + _SUFFIX
    changes = run.layer("changes")
    if not os.path.exists(path) or changes is None:
        return []
    layer = QgsVectorLayer(f"{path}|layername=captions", "captions", "ogr")
    if not layer.isValid():
        return []
    wkt = layer.crs().toWkt() if layer.crs().isValid() else None
    return [
        PlaceCaption(
            str(feature["level"]),
            str(feature["caption"]),
            _bounds(changes, feature.geometry().asWkt(), wkt),
        )
        for feature in layer.getFeatures()
        if feature["level"] != _REGIONS and feature["run_id"] == run.run_id
    ]


def _change(layer: QgsVectorLayer, texts: dict[int, str]) -> None:
    """Set captions by change id, in one transaction."""
    index = layer.fields().indexOf("caption")
    numbers = ", ".join(map(str, texts))
    request = QgsFeatureRequest().setFilterExpression(f'"change_id" IN ({numbers})')
    changed = {f.id(): {index: texts[f["change_id"]]} for f in layer.getFeatures(request)}
    if changed and not layer.dataProvider().changeAttributeValues(changed):
        raise OutputError(
            tr("Cannot write the captions to the layer."),
            tr("Check that the file is writable."),
            "\n".join(layer.dataProvider().errors()),
        )
    layer.triggerRepaint()


def _bounds(layer: QgsVectorLayer, wkt: str, crs: object) -> QgsRectangle:
    """Return the bounding box of a geometry in the CRS of a layer."""
    box = QgsGeometry.fromWkt(wkt).boundingBox()
    own = QgsCoordinateReferenceSystem.fromWkt(crs) if crs else QgsCoordinateReferenceSystem()
    if not own.isValid() or not layer.crs().isValid():
        return box
    try:
        to_layer = QgsCoordinateTransform(own, layer.crs(), QgsProject.instance())
        return to_layer.transformBoundingBox(box)
    except QgsCsException:
        return box
