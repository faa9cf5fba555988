# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds the files of a run to the project as a group of styled layers, on the main thread."""

from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING, Optional

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsLayerMetadata,
    QgsLayerTreeGroup,
    QgsLayerTreeLayer,
    QgsMapLayer,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)

from ...engine.errors import OutputError
from ...engine.results.record import to_json
from ..compat import save_style_to_database
from ..errors import log
from ..translation import tr
from . import styles
from .labels import caption_labels, draw_largest_first, keep_in_view
from .runs import (
    RESULT_PROPERTY,
    RUN_PROPERTY,
    Run,
    free_title,
    layer_name,
    remember_sources,
    store,
)

if TYPE_CHECKING:
    from ...engine.request import ChangeRequest, ChangeResult

#: Systems that predict the classes of both dates, with which their polygons are labelled.
_WITH_CLASSES = ("textscd",)
_ARROW = "\N{RIGHTWARDS ARROW}"


def title_of(prompt: str, before: Optional[str], after: Optional[str]) -> str:
    """Return the title of a run: the prompt and the years, or the dates within one year."""
    if before and after:
        if before[:4] != after[:4]:
            before, after = before[:4], after[:4]
        return f"{prompt}, {before} {_ARROW} {after}"
    return prompt


def add_run(request: ChangeRequest, result: ChangeResult) -> Run:
    """Add the layers of a finished run in a group at the top of the layer tree.

    A run that found nothing adds none: its files are only listed.

    Raises:
        OutputError: a file of the run cannot be opened.
    """
    _save_style(result)
    changes = _open_changes(result.gpkg)
    mask = _open_mask(result.mask)
    if not mask.crs().isValid():
        # QGIS takes the GeoPackage's "undefined Cartesian" for a CRS, but cannot transform it.
        changes.setCrs(QgsCoordinateReferenceSystem())
    areas = [query.area_m2 for query in result.counts if query.area_m2 is not None]
    run = Run(
        result.run_id,
        free_title(title_of(request.prompt, result.date_before, result.date_after)),
        result.gpkg,
        result.mask,
        result.caption,
        result.count,
        sum(areas) if areas else None,
        result.partial,
        request.threshold,
        result.area_analysed_m2,
        tuple(map(str, result.warnings)),
        to_json(request),
    )
    for layer, kind in ((changes, "changes"), (mask, "mask")):
        layer.setName(layer_name(run.title, kind))
    _style_changes(changes, result)
    _style_mask(mask)
    if not run.count:
        return run
    keep_in_view()
    remember_sources(changes, request, result.gpkg)
    for layer in (changes, mask):
        _describe(layer, request, result)
    group = _new_group(run)
    # No feature counts in the legend: QGIS's counting thread reads the project's expression
    # variables (QgsCategorizedSymbolRenderer.filterNeedsGeometry), which crashes QGIS if the main
    # thread reads them too, as it does while layers are added.
    _append(group, changes, "changes")
    node = _append(group, mask, "mask")
    # The polygons already show what the mask does.
    node.setItemVisibilityChecked(False)
    node.setExpanded(False)
    return run


def _new_group(run: Run) -> QgsLayerTreeGroup:
    group = QgsProject.instance().layerTreeRoot().insertGroup(0, run.title)
    group.setCustomProperty(RUN_PROPERTY, run.run_id)
    store(run)
    return group


def _append(group: QgsLayerTreeGroup, layer: QgsMapLayer, kind: str) -> QgsLayerTreeLayer:
    layer.setCustomProperty(RESULT_PROPERTY, kind)
    QgsProject.instance().addMapLayer(layer, False)
    node = group.addLayer(layer)
    node.setCustomProperty(RESULT_PROPERTY, kind)
    return node


def _open_changes(gpkg: str) -> QgsVectorLayer:
    layer = QgsVectorLayer(f"{gpkg}|layername=changes", "changes", "ogr")
    _require_valid(layer, gpkg)
    return layer


def _open_mask(path: str) -> QgsRasterLayer:
    layer = QgsRasterLayer(path, "mask", "gdal")
    _require_valid(layer, path)
    return layer


def _require_valid(layer: QgsMapLayer, path: str) -> None:
    if not layer.isValid():
        # QgsError.summary() of an error without a message crashes QGIS 3.22.
        details = "" if layer.error().isEmpty() else layer.error().summary()
        raise OutputError(
            tr('Cannot open the results in "{file}".').format(file=os.path.basename(path)),
            tr("Check that the file exists and is readable."),
            details,
        )


def _save_style(result: ChangeResult) -> None:
    """Save the style of the polygons in the GeoPackage as the default.

    A separate layer is used, since writing a style to the GeoPackage of an open layer can remove
    the SQLite journal of its connection.
    """
    layer = _open_changes(result.gpkg)
    _style_changes(layer, result)
    problem = save_style_to_database(layer, "ChangeScribe", tr("Changes by object and direction"))
    if problem:
        log(f"{layer.source()}: {problem}")


def _style_changes(layer: QgsVectorLayer, result: ChangeResult) -> None:
    """Set symbols, labels, map tip and field aliases of the polygons."""
    # No empty classes in the legend.
    kinds = [(query.object, query.direction) for query in result.counts if query.count]
    layer.setRenderer(styles.region_renderer(kinds))
    draw_largest_first(layer)
    areas = [region.area_m2 for region in result.regions if region.area_m2]
    layer.setLabeling(
        caption_labels(
            statistics.median(areas) if areas else None, classes=result.system in _WITH_CLASSES
        )
    )
    layer.setLabelsEnabled(True)
    layer.setMapTipTemplate(styles.map_tip())
    layer.setDisplayExpression('"caption"')
    aliases = {
        "area_m2": tr("area (m\N{SUPERSCRIPT TWO})"),
        "area_px": tr("area (pixels)"),
        "from_class": tr("from"),
        "to_class": tr("to"),
    }
    for name, alias in aliases.items():
        index = layer.fields().indexOf(name)
        if index >= 0:
            layer.setFieldAlias(index, alias)


def _style_mask(layer: QgsRasterLayer) -> None:
    layer.setRenderer(styles.mask_renderer(layer))
    style = os.path.splitext(layer.source())[0] + ".qml"
    message, saved = layer.saveNamedStyle(style)
    if not saved:
        log(f"{style}: {message}")


def _describe(layer: QgsMapLayer, request: ChangeRequest, result: ChangeResult) -> None:
    """Write the prompt, sources and system to the metadata of a layer."""
    lines = [
        result.caption,
        tr("Prompt: {prompt} ({parse})").format(
            prompt=request.prompt, parse=result.parse.explanation
        ),
        tr("Before: {path}, {date}").format(
            path=request.before, date=result.date_before or tr("unknown date")
        ),
        tr("After: {path}, {date}").format(
            path=request.after, date=result.date_after or tr("unknown date")
        ),
        tr("System: {name} {revision}, on {device}").format(
            name=result.system, revision=result.revision, device=result.device
        ),
        *([result.alignment.text] if result.alignment else []),
        *result.warnings,
    ]
    metadata = QgsLayerMetadata(layer.metadata())
    metadata.setTitle(layer.name())
    metadata.setAbstract("\n".join(lines))
    metadata.setIdentifier(result.run_id)
    metadata.setHistory([line for line in lines[1:] if line])
    layer.setMetadata(metadata)
