# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions of a run: shown or hidden, and those written after it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qgis.core import (
    QgsFeatureRequest,
    QgsFillSymbol,
    QgsProject,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)

from ...engine.errors import OutputError
from ..translation import tr
from .labels import place_labels
from .runs import RESULT_PROPERTY, layer_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...engine.describe.request import MapCaption
    from .runs import Run

_REGIONS = "regions"
_KIND = "captions"
#: Of the file that the engine writes beside the results.
_SUFFIX = "_captions.gpkg"


def show(run: Run, *, shown: bool) -> None:
    """Show or hide the captions of a run."""
    changes = run.layer("changes")
    if isinstance(changes, QgsVectorLayer):
        changes.setLabelsEnabled(shown)
        changes.emitStyleChanged()
        changes.triggerRepaint()
    node = run.node(_KIND)
    if node is not None:
        node.setItemVisibilityChecked(shown)


def take(run: Run, captions: Sequence[MapCaption]) -> None:
    """Write captions of regions to the layer ``changes``.

    Raises:
        OutputError: the layer cannot be changed.
    """
    layer = run.layer("changes")
    texts = {c.change_id: c.caption for c in captions if c.level == _REGIONS}
    if not texts or not isinstance(layer, QgsVectorLayer):
        return
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


def add_places(run: Run) -> None:
    """Add the captions of tiles and of the scene, if any were written, to the group of a run."""
    group = run.group()
    path = os.path.splitext(run.gpkg)[0] + _SUFFIX
    if group is None or run.node(_KIND) is not None or not os.path.isfile(path):
        return
    layer = QgsVectorLayer(f"{path}|layername=captions", layer_name(run.title, _KIND), "ogr")
    layer.setSubsetString("\"level\" IN ('tiles', 'scene')")
    if not layer.isValid() or not layer.featureCount():
        return
    symbol = QgsFillSymbol.createSimple(
        {
            "style": "no",
            "outline_color": "22,32,42,200",
            "outline_width": "0.2",
            "outline_style": "dash",
        }
    )
    layer.setRenderer(QgsSingleSymbolRenderer(symbol))
    layer.setLabeling(place_labels())
    layer.setLabelsEnabled(True)
    layer.setCustomProperty(RESULT_PROPERTY, _KIND)
    QgsProject.instance().addMapLayer(layer, False)
    node = group.insertLayer(0, layer)
    node.setCustomProperty(RESULT_PROPERTY, _KIND)
    node.setExpanded(False)
