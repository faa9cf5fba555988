# SPDX-License-Identifier: GPL-3.0-or-later
"""Styles of results: safe for colour-blind readers and readable on imagery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsExpression,
    QgsFeatureRequest,
    QgsFillSymbol,
    QgsPalettedRasterRenderer,
    QgsRendererCategory,
    QgsSimpleFillSymbolLayer,
    QgsSimpleLineSymbolLayer,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor

from ...engine.request import APPEARED, CHANGED, MASK_VALUES, REMOVED
from ..compat import UNIT_MILLIMETERS
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


def add_classes(layer: QgsVectorLayer) -> None:
    """Add classes for objects that came into a layer of changes by an edit."""
    renderer = layer.renderer()
    fields = [layer.fields().indexOf(name) for name in ("object", "direction")]
    if not isinstance(renderer, QgsCategorizedSymbolRenderer) or -1 in fields:
        return
    known = {str(category.value()) for category in renderer.categories()}
    request = QgsFeatureRequest().setSubsetOfAttributes(fields)
    request.setFlags(QgsFeatureRequest.Flag.NoGeometry)
    found = {(str(f["object"]), str(f["direction"])) for f in layer.getFeatures(request)}
    new = sorted(kind for kind in found if "|".join(kind) not in known)
    for name, direction in new:
        index = sum(value.endswith(f"|{direction}") for value in known)
        value = f"{name}|{direction}"
        known.add(value)
        symbol = region_symbol(direction, index)
        renderer.addCategory(QgsRendererCategory(value, symbol, change_text(name, direction)))
    if new:
        layer.emitStyleChanged()
        layer.triggerRepaint()


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
