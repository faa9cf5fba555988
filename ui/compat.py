# SPDX-License-Identifier: GPL-3.0-or-later
"""One name for everything that differs between QGIS 3.22 (Qt 5) and QGIS 4 (Qt 6).

The rest of ``ui`` uses scoped enums (``Qt.Orientation.Horizontal``), which both support.
"""

from __future__ import annotations

from typing import Any, Callable

from qgis.core import (
    Qgis,
    QgsCoordinateTransform,
    QgsLabelingEngineSettings,
    QgsMapLayerProxyModel,
    QgsPalLayerSettings,
    QgsRasterLayerTemporalProperties,
    QgsTextBackgroundSettings,
    QgsUnitTypes,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QMetaType, QVariant

try:
    from qgis.PyQt.QtGui import QAction
except ImportError:  # Qt 5
    from qgis.PyQt.QtWidgets import QAction

__all__ = [
    "ALIGN_LEFT",
    "BACKGROUND_RECTANGLE",
    "BACKGROUND_SIZE_BUFFER",
    "FIELD_INTEGER",
    "FIELD_TEXT",
    "FILTER_POLYGON",
    "FILTER_RASTER",
    "FIXED_TEMPORAL_RANGE",
    "GEOMETRY_POLYGON",
    "LABEL_HORIZONTAL",
    "LABEL_OUTSIDE_POLYGONS",
    "LEVEL_CRITICAL",
    "LEVEL_INFO",
    "LEVEL_SUCCESS",
    "LEVEL_WARNING",
    "PARTIAL_LABELS",
    "REVERSE_TRANSFORM",
    "UNIT_AREA_M2",
    "UNIT_MILLIMETERS",
    "UNIT_PERCENTAGE",
    "UNIT_PIXELS",
    "UNIT_POINTS",
    "QAction",
    "save_style_to_database",
]


def _first(*spellings: Callable[[], Any]) -> Any:
    """Return the first spelling that does not raise AttributeError."""
    for spelling in spellings[:-1]:
        try:
            return spelling()
        except AttributeError:
            continue
    return spellings[-1]()


# PyQt 6 has no QVariant.Type.
FIELD_INTEGER = _first(lambda: QVariant.Int, lambda: QMetaType.Type.Int)
FIELD_TEXT = _first(lambda: QVariant.String, lambda: QMetaType.Type.QString)
FILTER_RASTER = _first(
    lambda: Qgis.LayerFilter.RasterLayer, lambda: QgsMapLayerProxyModel.Filter.RasterLayer
)
FILTER_POLYGON = _first(
    lambda: Qgis.LayerFilter.PolygonLayer, lambda: QgsMapLayerProxyModel.Filter.PolygonLayer
)
FIXED_TEMPORAL_RANGE = _first(
    lambda: Qgis.RasterTemporalMode.FixedTemporalRange,
    lambda: QgsRasterLayerTemporalProperties.TemporalMode.ModeFixedTemporalRange,
)
GEOMETRY_POLYGON = _first(
    lambda: Qgis.GeometryType.Polygon, lambda: QgsWkbTypes.GeometryType.PolygonGeometry
)
LABEL_OUTSIDE_POLYGONS = _first(
    lambda: Qgis.LabelPlacement.OutsidePolygons,
    lambda: QgsPalLayerSettings.Placement.OutsidePolygons,
)
LABEL_HORIZONTAL = _first(
    lambda: Qgis.LabelPlacement.Horizontal,
    lambda: QgsPalLayerSettings.Placement.Horizontal,
)
ALIGN_LEFT = _first(
    lambda: Qgis.LabelMultiLineAlignment.Left,
    lambda: QgsPalLayerSettings.MultiLineAlign.MultiLeft,
    lambda: QgsPalLayerSettings.MultiLeft,
)
PARTIAL_LABELS = _first(
    lambda: Qgis.LabelingFlag.UsePartialCandidates,
    lambda: QgsLabelingEngineSettings.Flag.UsePartialCandidates,
)
LEVEL_INFO = Qgis.MessageLevel.Info
LEVEL_SUCCESS = Qgis.MessageLevel.Success
LEVEL_WARNING = Qgis.MessageLevel.Warning
LEVEL_CRITICAL = Qgis.MessageLevel.Critical
REVERSE_TRANSFORM = _first(
    lambda: Qgis.TransformDirection.Reverse,
    lambda: QgsCoordinateTransform.TransformDirection.ReverseTransform,
    lambda: QgsCoordinateTransform.ReverseTransform,
)
UNIT_MILLIMETERS = _first(
    lambda: Qgis.RenderUnit.Millimeters, lambda: QgsUnitTypes.RenderUnit.RenderMillimeters
)
UNIT_POINTS = _first(lambda: Qgis.RenderUnit.Points, lambda: QgsUnitTypes.RenderUnit.RenderPoints)
UNIT_PIXELS = _first(lambda: Qgis.RenderUnit.Pixels, lambda: QgsUnitTypes.RenderUnit.RenderPixels)
UNIT_PERCENTAGE = _first(
    lambda: Qgis.RenderUnit.Percentage, lambda: QgsUnitTypes.RenderUnit.RenderPercentage
)
UNIT_AREA_M2 = _first(
    lambda: Qgis.AreaUnit.SquareMeters, lambda: QgsUnitTypes.AreaUnit.AreaSquareMeters
)
BACKGROUND_RECTANGLE = QgsTextBackgroundSettings.ShapeType.ShapeRectangle
BACKGROUND_SIZE_BUFFER = QgsTextBackgroundSettings.SizeType.SizeBuffer


def save_style_to_database(layer: QgsVectorLayer, name: str, description: str) -> str:
    """Save the style of a layer as the default in its database; return the error or ""."""
    modern = getattr(layer, "saveStyleToDatabaseV2", None)
    if modern is not None:  # QGIS 3.42; returns flags and a message
        outcome = modern(name, description, True, "")
        return str(outcome[-1]) if isinstance(outcome, tuple) else ""
    return str(layer.saveStyleToDatabase(name, description, True, "") or "")
