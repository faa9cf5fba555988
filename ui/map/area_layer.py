# SPDX-License-Identifier: GPL-3.0-or-later
"""The area that a run analysed, as a layer of its group."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsField,
    QgsFields,
    QgsFillSymbol,
    QgsGeometry,
    QgsProject,
    QgsSingleSymbolRenderer,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)

from ...engine.errors import OutputError
from ...engine.results.record import from_json
from ..compat import FIELD_TEXT
from ..translation import tr
from .polygons import plain, valid
from .runs import RESULT_PROPERTY, layer_name

if TYPE_CHECKING:
    from qgis.core import QgsMapLayer

    from .runs import Run

_LAYER = "area"


def area_file(run: Run) -> str:
    """Return the path of the GeoPackage of the area."""
    return os.path.splitext(run.gpkg)[0] + "_area.gpkg"


def show_area(run: Run) -> QgsMapLayer:
    """Add the area analysed to the group of a run, or show it again.

    Raises:
        OutputError: the mask is missing, or the file cannot be written.
    """
    node = run.node(_LAYER)
    if node is None:
        group = run.group()
        layer = QgsVectorLayer(
            f"{write_area(run)}|layername={_LAYER}", layer_name(run.title, _LAYER), "ogr"
        )
        if group is None or not layer.isValid():
            raise _failed(run)
        symbol = QgsFillSymbol.createSimple(
            {
                "style": "no",
                "outline_color": "#16202a",
                "outline_width": "0.4",
                "outline_style": "dash",
            }
        )
        layer.setRenderer(QgsSingleSymbolRenderer(symbol))
        layer.setCustomProperty(RESULT_PROPERTY, _LAYER)
        QgsProject.instance().addMapLayer(layer, False)
        node = group.addLayer(layer)
        node.setCustomProperty(RESULT_PROPERTY, _LAYER)
    node.setItemVisibilityCheckedParentRecursive(True)
    return node.layer()


def write_area(run: Run) -> str:
    """Write the area to :func:`area_file`, unless it exists; return its path.

    The area is the rectangle of the mask, within the polygons of the request, if it has any.

    Raises:
        OutputError: the mask is missing, or the file cannot be written.
    """
    path = area_file(run)
    if os.path.isfile(path):
        return path
    mask = run.layer("mask")
    if mask is None or not mask.isValid():
        raise _failed(run)
    area = QgsGeometry.fromRect(mask.extent())
    request = from_json(run.request) if run.request else None
    if request is not None and request.area is not None:
        polygons = QgsGeometry.fromWkt(request.area.wkt)
        crs = QgsCoordinateReferenceSystem.fromWkt(request.area.crs or "")
        if not crs.isValid() and request.area.crs:
            crs = QgsCoordinateReferenceSystem(request.area.crs)
        if crs.isValid() and mask.crs().isValid():
            polygons.transform(QgsCoordinateTransform(crs, mask.crs(), QgsProject.instance()))
        area = area.intersection(valid(plain(polygons)))
    area.convertToMultiType()
    fields = QgsFields()
    fields.append(QgsField("prompt", FIELD_TEXT))
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName = "GPKG", _LAYER
    writer = QgsVectorFileWriter.create(
        path,
        fields,
        QgsWkbTypes.Type.MultiPolygon,
        mask.crs(),
        QgsProject.instance().transformContext(),
        options,
    )
    feature = QgsFeature(fields)
    feature.setGeometry(area)
    feature["prompt"] = run.title
    written = not writer.hasError() and writer.addFeature(feature)
    problem = writer.errorMessage()
    del writer  # closes the file
    if not written:
        raise _failed(run, problem)
    return path


def _failed(run: Run, details: str = "") -> OutputError:
    return OutputError(
        tr('Cannot show the area of "{run}".').format(run=run.title),
        tr("Check that its files exist and that their folder is writable."),
        details,
    )
