# SPDX-License-Identifier: GPL-3.0-or-later
"""The compared layers and their dates, kept in the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qgis.core import QgsProject

if TYPE_CHECKING:
    from .layer_pair import LayerPairPanel

_SCOPE = "ChangeScribe"


def remember(panel: LayerPairPanel) -> None:
    """Write layers and dates to the project, which is changed only if they are others."""
    project = QgsProject.instance()
    layers = (panel.before, panel.after)
    for name, layer, date in zip(("before", "after"), layers, panel.dates):
        for key, value in (("layer", layer.id() if layer is not None else ""), ("date", date)):
            if project.readEntry(_SCOPE, f"{name}/{key}")[0] != value:
                project.writeEntry(_SCOPE, f"{name}/{key}", value)


def restore(panel: LayerPairPanel) -> None:
    """Choose the layers and dates of the project, as far as it has them."""
    project = QgsProject.instance()
    known = [
        (
            project.mapLayer(project.readEntry(_SCOPE, f"{name}/layer")[0]),
            project.readEntry(_SCOPE, f"{name}/date")[0],
        )
        for name in ("before", "after")
    ]
    combos = (panel.before_combo, panel.after_combo)
    for (layer, date), combo, edit in zip(known, combos, (panel.before_date, panel.after_date)):
        if layer is not None:
            combo.setLayer(layer)
            edit.setText(date)
