# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions on the map: labels of QGIS with callouts, placed for each view by QGIS itself."""

from __future__ import annotations

import math
from typing import Optional

from qgis.core import (
    QgsCallout,
    QgsFeatureRequest,
    QgsLineSymbol,
    QgsPalLayerSettings,
    QgsProject,
    QgsProperty,
    QgsRuleBasedLabeling,
    QgsSimpleLineCallout,
    QgsTextBackgroundSettings,
    QgsTextBufferSettings,
    QgsTextFormat,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSizeF
from qgis.PyQt.QtGui import QColor

from ..compat import (
    ALIGN_LEFT,
    BACKGROUND_RECTANGLE,
    BACKGROUND_SIZE_BUFFER,
    LABEL_HORIZONTAL,
    LABEL_OUTSIDE_POLYGONS,
    PARTIAL_LABELS,
    UNIT_MILLIMETERS,
    UNIT_POINTS,
)
from ..translation import tr

#: Captions on the map at small scales; from :func:`caption_scale` on, all changes have theirs.
LARGEST = 10
#: Side of a region of median size on the screen from which on all captions are shown.
_CAPTION_SIDE_M = 0.02
_CAPTION_SCALES = (500.0, 250_000.0)
#: Characters of a line and of a whole caption.
_LINE, _LENGTH = 34, 110
_DISTANCE_MM = 3.5
#: How much captions avoid other changes; QGIS's default is 1.
_OBSTACLE = 2.0
#: The engine does not count the box as part of a label, so it must be small.
_PADDING_MM = 0.5
_REGION_FILL, _PLACE_FILL = "#e6ffffff", "#f0dbe6f0"
_INK = "#16202a"

_CAPTION = (
    f'if(length("caption") > {_LENGTH}, left("caption", {_LENGTH - 2}) || '
    "'\N{HORIZONTAL ELLIPSIS}', \"caption\")"
)
_ARROW = "\N{RIGHTWARDS ARROW}"
#: "grass -> building", or the caption if a class is unknown.
_CLASSES_OR_CAPTION = f"""coalesce("from_class" || ' {_ARROW} ' || "to_class", {_CAPTION})"""
#: From 0 to 10, growing with the area.
_PRIORITY = 'min(10, ln("area_px" + 1))'


def caption_scale(median_area_m2: Optional[float]) -> float:
    """Return the scale denominator below which all captions are shown; 0 if never."""
    if not median_area_m2:
        return 0.0
    scale = math.sqrt(median_area_m2) / _CAPTION_SIDE_M
    return min(max(scale, _CAPTION_SCALES[0]), _CAPTION_SCALES[1])


def caption_labels(
    median_area_m2: Optional[float], *, classes: bool = False
) -> QgsRuleBasedLabeling:
    """Return labels with the captions: of the ten largest changes in view, or of all close by.

    Which changes are the largest is known from the order of the renderer, see
    :func:`draw_largest_first`.

    Args:
        median_area_m2: of the regions; decides from which scale on all are labelled.
        classes: label with the classes of both dates, if known: "grass -> building".
    """
    scale = caption_scale(median_area_m2)
    expression = _CLASSES_OR_CAPTION if classes else _CAPTION
    root = QgsRuleBasedLabeling.Rule(None)
    largest = QgsRuleBasedLabeling.Rule(_caption_settings(expression, LARGEST))
    largest.setDescription(tr("the ten largest in view"))
    largest.setMaximumScale(scale)  # QGIS's word for the largest scale at which a rule applies
    root.appendChild(largest)
    if scale:
        close = QgsRuleBasedLabeling.Rule(_caption_settings(expression, 0))
        close.setDescription(tr("all, at large scales"))
        close.setMinimumScale(scale)
        root.appendChild(close)
    return QgsRuleBasedLabeling(root)


def draw_largest_first(layer: QgsVectorLayer) -> None:
    """Make a layer draw, and thus label, its largest regions first; smaller ones lie on top."""
    renderer = layer.renderer()
    order = QgsFeatureRequest.OrderByClause('"area_px"', False)
    renderer.setOrderBy(QgsFeatureRequest.OrderBy([order]))
    renderer.setOrderByEnabled(True)


def keep_in_view() -> None:
    """Let no label of the project be cut off at the edge of the map."""
    project = QgsProject.instance()
    settings = project.labelingEngineSettings()
    settings.setFlag(PARTIAL_LABELS, False)
    project.setLabelingEngineSettings(settings)


def place_labels() -> QgsRuleBasedLabeling:
    """Return labels of the captions of tiles and of the scene, inside their outlines."""
    root = QgsRuleBasedLabeling.Rule(None)
    for level, priority, title in (("scene", 10, tr("scene")), ("tiles", 8, tr("tiles"))):
        settings = QgsPalLayerSettings()
        settings.fieldName = "caption"
        settings.placement = LABEL_HORIZONTAL
        settings.fitInPolygonOnly = True
        settings.autoWrapLength = _LINE
        settings.priority = priority
        settings.setFormat(boxed_format(_PLACE_FILL))
        rule = QgsRuleBasedLabeling.Rule(settings)
        rule.setFilterExpression(f"\"level\" = '{level}'")
        rule.setDescription(title)
        root.appendChild(rule)
    return QgsRuleBasedLabeling(root)


def text_format(points: float) -> QgsTextFormat:
    """Return dark text with a light buffer, readable on imagery."""
    text = QgsTextFormat()
    text.setSize(points)
    text.setSizeUnit(UNIT_POINTS)
    text.setColor(QColor(_INK))
    halo = QgsTextBufferSettings()
    halo.setEnabled(True)
    halo.setSize(0.8)
    halo.setSizeUnit(UNIT_MILLIMETERS)
    halo.setColor(QColor(255, 255, 255, 235))
    text.setBuffer(halo)
    return text


def boxed_format(fill: str = _REGION_FILL) -> QgsTextFormat:
    """Return dark text on a light box with the given colour (#AARRGGBB)."""
    text = text_format(8.5)
    background = QgsTextBackgroundSettings()
    background.setEnabled(True)
    background.setType(BACKGROUND_RECTANGLE)
    background.setSizeType(BACKGROUND_SIZE_BUFFER)
    background.setSize(QSizeF(_PADDING_MM, _PADDING_MM))
    background.setSizeUnit(UNIT_MILLIMETERS)
    background.setFillColor(QColor(fill))
    background.setStrokeColor(QColor(22, 32, 42, 120))
    background.setStrokeWidth(0.2)
    background.setStrokeWidthUnit(UNIT_MILLIMETERS)
    text.setBackground(background)
    buffer = text.buffer()
    buffer.setEnabled(False)  # the box suffices
    text.setBuffer(buffer)
    return text


def _caption_settings(expression: str, most: int) -> QgsPalLayerSettings:
    settings = QgsPalLayerSettings()
    settings.fieldName = expression
    settings.isExpression = True
    settings.placement = LABEL_OUTSIDE_POLYGONS
    settings.dist = _DISTANCE_MM
    settings.distUnits = UNIT_MILLIMETERS
    settings.autoWrapLength = _LINE
    settings.multilineAlign = ALIGN_LEFT
    obstacles = settings.obstacleSettings()
    obstacles.setFactor(_OBSTACLE)
    settings.setObstacleSettings(obstacles)
    settings.limitNumLabels = bool(most)
    settings.maxNumLabels = most
    settings.setFormat(boxed_format())
    properties = settings.dataDefinedProperties()
    properties.setProperty(
        QgsPalLayerSettings.Property.Priority, QgsProperty.fromExpression(_PRIORITY)
    )
    settings.setDataDefinedProperties(properties)
    settings.setCallout(_callout())
    return settings


def _callout() -> QgsCallout:
    """Return a dark line with a light halo from the box to the change."""
    symbol = QgsLineSymbol.createSimple(
        {"line_color": "255,255,255,220", "line_width": "1.0", "capstyle": "round"}
    )
    top = QgsLineSymbol.createSimple({"line_color": _INK, "line_width": "0.35"})
    symbol.appendSymbolLayer(top.symbolLayer(0).clone())
    callout = QgsSimpleLineCallout()
    callout.setEnabled(True)
    callout.setLineSymbol(symbol)
    callout.setAnchorPoint(QgsCallout.AnchorPoint.PointOnExterior)
    return callout
