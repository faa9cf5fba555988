# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions of the largest changes as annotations with leader lines.

The annotation layer is saved with the project. It is rebuilt from the layer ``changes`` for the
current scale whenever captions are shown. Captions of tiles and of the scene are placed inside
their outlines.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from qgis.core import (
    QgsAnnotationLayer,
    QgsAnnotationLineItem,
    QgsAnnotationPointTextItem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsFeature,
    QgsFeatureRequest,
    QgsLineString,
    QgsLineSymbol,
    QgsMapSettings,
    QgsPoint,
    QgsPointXY,
    QgsProject,
    QgsRectangle,
    QgsRenderContext,
    QgsTextBackgroundSettings,
    QgsTextFormat,
    QgsTextRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSizeF, Qt
from qgis.PyQt.QtGui import QColor

from ..compat import (
    BACKGROUND_RECTANGLE,
    BACKGROUND_SIZE_BUFFER,
    REVERSE_TRANSFORM,
    UNIT_MILLIMETERS,
)
from . import styles
from .placement import Box, Item, place
from .runs import RESULT_PROPERTY, layer_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qgis.gui import QgsMapCanvas

    from .runs import Run

LARGEST = 10
#: Number of regions that captions avoid covering.
_AVOIDED = 100
_LINE_LENGTH = 34
_LINES = 3
#: Lines of a caption of two sentences, written by a system and from the facts.
_LINES_OF_TWO = 5
#: Background of captions of regions, and of tiles and scenes (#AARRGGBB).
_REGION_FILL, _PLACE_FILL = "#e1ffffff", "#f0dbe6f0"
_LEVELS_INSIDE = ("scene", "tiles")
_UNIT = re.compile(r"(?<=\d) (?=(?:k?m²?|ha)\b)")
_POINTS = 8.5
_PADDING_MM = 1.0
_VIEW_MARGIN = 6.0
#: Captions are hidden if the map is zoomed out by more than this factor after placing them.
_HIDE_BEYOND = 2.5


@dataclass(frozen=True)
class PlaceCaption:
    """A caption of a tile or of the scene; bounds are in the CRS of the layer ``changes``."""

    level: str
    caption: str
    bounds: QgsRectangle


@dataclass(frozen=True)
class _Caption:
    lines: tuple[str, ...]
    anchor: QgsPointXY
    bounds: QgsRectangle
    direction: str
    inside: bool = False
    change_id: int = 0


def show_captions(run: Run, canvas: QgsMapCanvas, places: Sequence[PlaceCaption] = ()) -> int:
    """Place the captions of the largest changes for the current map, replacing earlier ones.

    ``places`` are captions of tiles and of the scene. Returns the number of captions shown.
    """
    changes = run.layer("changes")
    group = run.group()
    if group is None or not isinstance(changes, QgsVectorLayer):
        return 0
    layer = run.layer("captions")
    if layer is None:
        layer = _new_layer(changes, layer_name(run.title, "captions"))
        QgsProject.instance().addMapLayer(layer, False)
        node = group.insertLayer(0, layer)
        node.setCustomProperty(RESULT_PROPERTY, "captions")
        node.setExpanded(False)
    else:
        _clear(layer)
    settings = _settings_for(canvas, changes)
    layer.setScaleBasedVisibility(True)
    layer.setMinimumScale(settings.scale() * _HIDE_BEYOND)
    regions = _largest(changes, settings)
    shown = _fill(layer, changes, regions, settings, places)
    # At large scales, labels would repeat the captions on top of them.
    styles.label_all_but(changes, [region.change_id for region in regions] if shown else ())
    node = group.findLayer(layer.id())
    if node is not None:
        node.setItemVisibilityChecked(True)
    layer.triggerRepaint()
    return shown


def hide_captions(run: Run) -> None:
    """Hide the captions of a run; they stay in the project."""
    layer, group = run.layer("captions"), run.group()
    if layer is not None and group is not None:
        node = group.findLayer(layer.id())
        if node is not None:
            node.setItemVisibilityChecked(False)
    changes = run.layer("changes")
    if isinstance(changes, QgsVectorLayer):
        styles.label_all_but(changes, ())


def shorten(caption: str, lines: int = _LINES) -> tuple[str, ...]:
    """Wrap a caption into a few short lines, with an ellipsis if it is too long.

    ``lines`` is the maximum of one sentence; more sentences get more lines.
    """
    # Keep numbers and units together.
    text = _UNIT.sub("\N{NO-BREAK SPACE}", caption.strip().rstrip("."))
    return tuple(
        textwrap.wrap(
            text,
            _LINE_LENGTH,
            max_lines=_LINES_OF_TWO if ". " in text else lines,
            placeholder=" \N{HORIZONTAL ELLIPSIS}",
            break_long_words=True,
        )
    )


def _new_layer(changes: QgsVectorLayer, name: str) -> QgsAnnotationLayer:
    options = QgsAnnotationLayer.LayerOptions(QgsProject.instance().transformContext())
    layer = QgsAnnotationLayer(name, options)
    layer.setCrs(changes.crs())
    return layer


def _clear(layer: QgsAnnotationLayer) -> None:
    for item_id in list(layer.items()):
        layer.removeItem(item_id)


def _settings_for(canvas: QgsMapCanvas, changes: QgsVectorLayer) -> QgsMapSettings:
    """Return the settings of the canvas, zoomed to the changes if it shows none of them."""
    settings = QgsMapSettings(canvas.mapSettings())
    bounds = settings.layerToMapCoordinates(changes, changes.extent())
    if not settings.visibleExtent().intersects(bounds):
        bounds.scale(1.2)
        settings.setExtent(bounds)
    return settings


def _fill(
    layer: QgsAnnotationLayer,
    changes: QgsVectorLayer,
    regions: Sequence[_Caption],
    settings: QgsMapSettings,
    places: Sequence[PlaceCaption],
) -> int:
    context = QgsRenderContext.fromMapSettings(settings)
    text_format = _text_format()
    captions = [region for region in regions if region.lines][:LARGEST]
    # The scene has only one place, so it comes first; tiles use the space left by regions.
    captions[:0] = _inside_of(places, _LEVELS_INSIDE[0])
    captions += _inside_of(places, _LEVELS_INSIDE[1])
    to_map = QgsCoordinateTransform(changes.crs(), settings.destinationCrs(), QgsProject.instance())
    to_pixel = settings.mapToPixel()
    padding = context.convertToPainterUnits(_PADDING_MM, UNIT_MILLIMETERS)
    descent = QgsTextRenderer.fontMetrics(context, text_format).descent()

    def on_screen(rectangle: QgsRectangle) -> Box:
        bounds = to_map.transformBoundingBox(rectangle)
        first = to_pixel.transform(QgsPointXY(bounds.xMinimum(), bounds.yMaximum()))
        last = to_pixel.transform(QgsPointXY(bounds.xMaximum(), bounds.yMinimum()))
        return Box(first.x(), first.y(), last.x() - first.x(), last.y() - first.y())

    items = []
    for caption in captions:
        width = QgsTextRenderer.textWidth(context, text_format, list(caption.lines))
        height = QgsTextRenderer.textHeight(context, text_format, list(caption.lines))
        anchor = to_pixel.transform(to_map.transform(caption.anchor))
        items.append(
            Item(
                (anchor.x(), anchor.y()),
                on_screen(caption.bounds),
                width + 2 * padding,
                height + 2 * padding,
                caption.inside,
            )
        )
    size = settings.outputSize()
    view = Box(
        _VIEW_MARGIN,
        _VIEW_MARGIN,
        size.width() - 2 * _VIEW_MARGIN,
        size.height() - 2 * _VIEW_MARGIN,
    )
    placed = place(items, view, [on_screen(region.bounds) for region in regions])
    shown = 0
    for caption, item, box in zip(captions, items, placed):
        if box is None:
            continue
        style = _text_format(_PLACE_FILL) if caption.inside else text_format
        _add(layer, caption, item, box, padding, descent, style, settings, to_map)
        shown += 1
    return shown


def _add(
    layer: QgsAnnotationLayer,
    caption: _Caption,
    item: Item,
    box: Box,
    padding: float,
    descent: float,
    text_format: QgsTextFormat,
    settings: QgsMapSettings,
    to_map: QgsCoordinateTransform,
) -> None:
    """Add a leader line, or the outline of a tile, and the text above it."""

    def to_layer(x: float, y: float) -> QgsPointXY:
        point = settings.mapToPixel().toMapCoordinates(round(x), round(y))
        return to_map.transform(point, REVERSE_TRANSFORM)

    # Ends slightly inside the box, which is drawn on top.
    inner = Box(box.x + padding, box.y + padding, box.width - 2 * padding, box.height - 2 * padding)
    points = [caption.anchor, to_layer(*inner.nearest(*item.anchor))]
    if caption.inside:
        bounds = caption.bounds
        points = [
            QgsPointXY(x, y)
            for x, y in (
                (bounds.xMinimum(), bounds.yMinimum()),
                (bounds.xMaximum(), bounds.yMinimum()),
                (bounds.xMaximum(), bounds.yMaximum()),
                (bounds.xMinimum(), bounds.yMaximum()),
                (bounds.xMinimum(), bounds.yMinimum()),
            )
        ]
    leader = QgsAnnotationLineItem(QgsLineString([QgsPoint(point) for point in points]))
    leader.setSymbol(_outline_symbol() if caption.inside else _leader_symbol(caption.direction))
    leader.setZIndex(0)
    layer.addItem(leader)
    # A text is anchored at the left end of the baseline of its last line.
    corner = to_layer(box.x + padding, box.y + box.height - padding - descent)
    text = QgsAnnotationPointTextItem("\n".join(caption.lines), corner)
    text.setFormat(text_format)
    text.setAlignment(Qt.AlignmentFlag.AlignLeft)
    text.setZIndex(1)
    layer.addItem(text)


def _largest(changes: QgsVectorLayer, settings: QgsMapSettings) -> list[_Caption]:
    """Return the largest regions on the map: those to caption and further ones to avoid."""
    request = QgsFeatureRequest()
    view = _view_in(changes, settings)
    if view is not None:
        request.setFilterRect(view)
    request.addOrderBy('"area_px"', False)
    request.setLimit(_AVOIDED)
    captions = []
    for feature in changes.getFeatures(request):
        caption = _caption_of(feature)
        if caption is not None:
            captions.append(caption)
    return captions


def _inside_of(places: Sequence[PlaceCaption], level: str) -> list[_Caption]:
    """Return the captions of a level, placed inside their bounds."""
    return [
        _Caption(
            shorten(place.caption, _LINES_OF_TWO),
            place.bounds.center(),
            place.bounds,
            "",
            inside=True,
        )
        for place in places
        if place.level == level
    ]


def _view_in(changes: QgsVectorLayer, settings: QgsMapSettings) -> Optional[QgsRectangle]:
    try:
        return settings.mapToLayerCoordinates(changes, settings.visibleExtent())
    except QgsCsException:
        return None


def _caption_of(feature: QgsFeature) -> Optional[_Caption]:
    lines = shorten(str(feature["caption"] or ""))
    anchor = feature.geometry().pointOnSurface()
    if anchor.isEmpty():
        return None
    return _Caption(
        lines,
        anchor.asPoint(),
        feature.geometry().boundingBox(),
        str(feature["direction"]),
        change_id=int(feature["change_id"]),
    )


def _text_format(fill: str = _REGION_FILL) -> QgsTextFormat:
    text = styles.text_format(_POINTS)
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
    buffer.setEnabled(False)  # the background suffices
    text.setBuffer(buffer)
    return text


def _outline_symbol() -> QgsLineSymbol:
    """Return a thin dashed line that is visible on light and dark ground."""
    symbol = QgsLineSymbol.createSimple({"line_color": "255,255,255,150", "line_width": "0.5"})
    top = QgsLineSymbol.createSimple(
        {"line_color": "22,32,42,200", "line_width": "0.2", "line_style": "dash"}
    )
    symbol.appendSymbolLayer(top.symbolLayer(0).clone())
    return symbol


def _leader_symbol(direction: str) -> QgsLineSymbol:
    colour = styles.colour_of(direction)
    symbol = QgsLineSymbol.createSimple(
        {"line_color": "#ffffff", "line_width": "1.0", "capstyle": "round"}
    )
    top = QgsLineSymbol.createSimple(
        {"line_color": colour, "line_width": "0.4", "capstyle": "round"}
    )
    symbol.appendSymbolLayer(top.symbolLayer(0).clone())
    return symbol
