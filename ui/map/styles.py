# SPDX-License-Identifier: GPL-3.0-or-later
"""Styles of results: safe for colour-blind readers and readable on imagery."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Optional

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsExpression,
    QgsFillSymbol,
    QgsPalettedRasterRenderer,
    QgsPalLayerSettings,
    QgsRendererCategory,
    QgsRuleBasedLabeling,
    QgsSimpleFillSymbolLayer,
    QgsSimpleLineSymbolLayer,
    QgsTextBufferSettings,
    QgsTextFormat,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor

from ...engine.request import APPEARED, CHANGED, MASK_VALUES, REMOVED
from ..compat import LABEL_OUTSIDE_POLYGONS, UNIT_MILLIMETERS, UNIT_POINTS
from ..translation import change_text, tr
from .tip_pictures import FUNCTION as PICTURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qgis.core import QgsRasterLayer, QgsVectorLayer

_FILL_ALPHA = 51  # 20 %
_OUTLINE_MM = 0.5
_HALO_MM = 1.2
_HALO_COLOUR = QColor(255, 255, 255, 190)
_MASK_ALPHA = 150
#: Dark and light shades for the second and third object of a direction. All nine colours differ
#: under each kind of colour blindness (measured by a test).
_SHADES = {
    APPEARED: ("#08264d", "#6cc0f5"),
    REMOVED: ("#6b1f00", "#f5b041"),
    CHANGED: ("#7d2a5b", "#f0c3dc"),
}
#: Outlines of further objects of the same direction, three objects each.
_PEN_STYLES = (
    Qt.PenStyle.SolidLine,
    Qt.PenStyle.DashLine,
    Qt.PenStyle.DotLine,
    Qt.PenStyle.DashDotLine,
    Qt.PenStyle.DashDotDotLine,
)
#: Side of a region of median size on the screen from which on captions are shown.
_CAPTION_SIDE_M = 0.02
_CAPTION_SCALES = (500.0, 250_000.0)
_CAPTION_LINE = 28


def colour_of(direction: str) -> str:
    """Return the colour of a direction in the mask, such as "#0072b2"."""
    # Imported here, since styles are only needed after a run has loaded the engine.
    from ...engine.detect.outlining import MASK_COLOURS

    value = MASK_VALUES.get(direction, MASK_VALUES[CHANGED])
    return QColor(*MASK_COLOURS[value][:3]).name()


def shade_of(direction: str, index: int) -> str:
    """Return the colour of the object with an index among those of a direction."""
    known = direction if direction in _SHADES else CHANGED
    shades = (colour_of(known), *_SHADES[known])
    return shades[index % len(shades)]


def _escaped(expression: str) -> str:
    """Return an expression that escapes its text for HTML, since captions contain the prompt."""
    text = f"to_string({expression})"
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = f"replace({text}, '{character}', '{entity}')"
    return text


def _filled(text: str, field: str, expression: str) -> str:
    """Return an expression that puts a value into the field of a text."""
    return f"replace({QgsExpression.quotedString(text)}, '{{{field}}}', {expression})"


def map_tip() -> str:
    """Return the HTML map tip of a region.

    It is saved with the results. Without the plugin it has no pictures.
    """
    what = "CASE {cases} END".format(
        cases=" ".join(
            f"""WHEN "direction" = '{direction}' THEN """
            + _filled(change_text("{object}", direction), "object", '"object"')
            for direction in (APPEARED, REMOVED, CHANGED)
        )
    )
    pixels = _filled(tr("{count} pixels"), "count", 'format_number("area_px", 0)')
    cover = "coalesce({from_class}, '?') || ' &rarr; ' || coalesce({to_class}, '?')".format(
        from_class=_escaped('"from_class"'), to_class=_escaped('"to_class"')
    )
    before, after = _escaped('"date_before"'), _escaped('"date_after"')
    return f"""
<div style="font-family: sans-serif; width: 260px">
<b>[% {_escaped(f'coalesce("caption", {what})')} %]</b>
<table style="margin-top: 4px">
<tr><td>{tr("score")}</td><td>
<div style="background: #d8dde1; width: 90px; height: 8px">
<div style="background: [% CASE WHEN "direction" = 'appeared' THEN '{colour_of(APPEARED)}'
 WHEN "direction" = 'removed' THEN '{colour_of(REMOVED)}' ELSE '{colour_of(CHANGED)}' END %];
 width: [% round(90 * coalesce("score", 0)) %]px; height: 8px"></div></div></td>
<td>[% format_number(coalesce("score", 0), 2) %]</td></tr>
<tr><td>{tr("area")}</td><td colspan="2">[% CASE WHEN "area_m2" IS NULL
 THEN {pixels}
 WHEN "area_m2" >= 10000 THEN format_number("area_m2" / 10000, 2) || ' ha'
 ELSE format_number("area_m2", 0) || ' m&sup2;' END %]</td></tr>
<tr><td>{tr("what")}</td><td colspan="2">[% {_escaped(what)} %]</td></tr>
<tr><td>{tr("cover")}</td><td colspan="2">[% CASE WHEN "from_class" IS NULL AND "to_class" IS NULL
 THEN {QgsExpression.quotedString(tr("not known"))} ELSE {cover} END %]</td></tr>
<tr><td>{tr("dates")}</td><td colspan="2">[% coalesce({before}, '?') %] &rarr;
 [% coalesce({after}, '?') %]</td></tr>
</table>[% coalesce(eval('{PICTURES}()'), '') %]</div>
"""


def region_symbol(direction: str, index: int = 0) -> QgsFillSymbol:
    """Return the symbol of a region: light halo, outline in the direction's colour, faint fill.

    ``index`` among the objects of the direction decides shade and outline.
    """
    colour = QColor(shade_of(direction, index))
    pen = _PEN_STYLES[index // (1 + len(_SHADES[CHANGED])) % len(_PEN_STYLES)]
    halo = QgsSimpleLineSymbolLayer(_HALO_COLOUR, _HALO_MM)
    halo.setWidthUnit(UNIT_MILLIMETERS)
    halo.setPenJoinStyle(Qt.PenJoinStyle.RoundJoin)
    fill_colour = QColor(colour)
    fill_colour.setAlpha(_FILL_ALPHA)
    fill = QgsSimpleFillSymbolLayer(fill_colour)
    fill.setStrokeColor(colour)
    fill.setStrokeStyle(pen)
    fill.setStrokeWidth(_OUTLINE_MM)
    fill.setStrokeWidthUnit(UNIT_MILLIMETERS)
    fill.setPenJoinStyle(Qt.PenJoinStyle.RoundJoin)
    symbol = QgsFillSymbol()
    symbol.changeSymbolLayer(0, halo)
    symbol.appendSymbolLayer(fill)
    return symbol


def region_renderer(kinds: Sequence[tuple[str, str]]) -> QgsCategorizedSymbolRenderer:
    """Return a renderer with one category per (object, direction)."""
    categories = []
    seen: dict[str, int] = {}
    for name, direction in kinds:
        index = seen.get(direction, 0)
        seen[direction] = index + 1
        value = f"{name}|{direction}"
        symbol = region_symbol(direction, index)
        categories.append(QgsRendererCategory(value, symbol, change_text(name, direction)))
    return QgsCategorizedSymbolRenderer('"object" || \'|\' || "direction"', categories)


#: "grass -> building", or the caption if a class is unknown.
_CLASSES_OR_CAPTION = (
    'coalesce("from_class" || \' \N{RIGHTWARDS ARROW} \' || "to_class", "caption")'
)


def caption_labels(
    median_area_m2: Optional[float], *, classes: bool = False
) -> QgsRuleBasedLabeling:
    """Return labels with the captions, shown at large scales only.

    The area of a typical region decides the minimum scale; None shows labels at all scales.
    ``classes`` labels with the classes of both dates, if known: "grass -> building".
    """
    settings = QgsPalLayerSettings()
    settings.fieldName = _CLASSES_OR_CAPTION if classes else "caption"
    settings.isExpression = classes
    settings.placement = LABEL_OUTSIDE_POLYGONS
    settings.autoWrapLength = _CAPTION_LINE
    settings.setFormat(text_format(8.0))
    root = QgsRuleBasedLabeling.Rule(None)
    rule = QgsRuleBasedLabeling.Rule(settings)
    rule.setDescription(tr("caption"))
    if median_area_m2:
        scale = math.sqrt(median_area_m2) / _CAPTION_SIDE_M
        # The "minimum scale" is the smallest scale at which the rule applies.
        rule.setMinimumScale(min(max(scale, _CAPTION_SCALES[0]), _CAPTION_SCALES[1]))
    root.appendChild(rule)
    return QgsRuleBasedLabeling(root)


def label_all_but(layer: QgsVectorLayer, numbers: Sequence[int]) -> None:
    """Hide the labels of changes (by ``change_id``) whose captions are on the map.

    Labels with classes, and those made by the user, are kept.
    """
    labeling = layer.labeling()
    if not isinstance(labeling, QgsRuleBasedLabeling):
        return
    root = labeling.rootRule().clone()
    shown = f'"change_id" NOT IN ({", ".join(map(str, sorted(numbers)))})' if numbers else ""
    for rule in root.children():
        settings = rule.settings()
        if settings is not None and settings.fieldName == "caption":
            if rule.filterExpression() == shown:
                return
            rule.setFilterExpression(shown)
    layer.setLabeling(QgsRuleBasedLabeling(root))
    layer.triggerRepaint()


def text_format(points: float) -> QgsTextFormat:
    """Return dark text with a light buffer, readable on imagery."""
    text = QgsTextFormat()
    text.setSize(points)
    text.setSizeUnit(UNIT_POINTS)
    text.setColor(QColor("#16202a"))
    halo = QgsTextBufferSettings()
    halo.setEnabled(True)
    halo.setSize(0.8)
    halo.setSizeUnit(UNIT_MILLIMETERS)
    halo.setColor(QColor(255, 255, 255, 235))
    text.setBuffer(halo)
    return text


def mask_renderer(layer: QgsRasterLayer) -> QgsPalettedRasterRenderer:
    """Return the paletted style of a mask, with unchanged pixels transparent."""
    texts = {APPEARED: tr("appeared"), REMOVED: tr("removed"), CHANGED: tr("changed")}
    entries = [
        QgsPalettedRasterRenderer.Class(
            MASK_VALUES["unchanged"], QColor(0, 0, 0, 0), tr("unchanged")
        )
    ]
    for direction, text in texts.items():
        shade = QColor(colour_of(direction))
        shade.setAlpha(_MASK_ALPHA)
        entries.append(QgsPalettedRasterRenderer.Class(MASK_VALUES[direction], shade, text))
    return QgsPalettedRasterRenderer(layer.dataProvider(), 1, entries)
