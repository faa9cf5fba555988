# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds the files of a run to the project as a group of styled layers, on the main thread."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
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
from ..compat import save_style_to_database
from ..errors import log
from ..translation import tr
from . import styles
from .tip_pictures import AFTER_PROPERTY, BEFORE_PROPERTY

if TYPE_CHECKING:
    from ...engine.request import ChangeRequest, ChangeResult

#: Systems that predict the classes of both dates, with which their polygons are labelled.
_WITH_CLASSES = ("textscd",)
#: Custom properties that identify a run in a project. They are set on layer tree nodes, since
#: QGIS 3.22 does not save those of annotation layers.
RUN_PROPERTY = "changescribe/run_id"
RESULT_PROPERTY = "changescribe/result"
_STORED = ("title", "gpkg", "mask", "caption", "count", "area_m2", "partial")
_ARROW = "\N{RIGHTWARDS ARROW}"


@dataclass(frozen=True)
class Run:
    """A run whose layers are, or were, in the project.

    Attributes:
        run_id: id in the GeoPackage.
        title: prompt and dates; also the name of the group.
        caption: scene caption.
        area_m2: changed area in m2; None without georeference.
        partial: whether the run was cancelled.
    """

    run_id: str
    title: str
    gpkg: str
    mask: str
    caption: str
    count: int
    area_m2: Optional[float]
    partial: bool = False

    def group(self) -> Optional[QgsLayerTreeGroup]:
        """Return the run's group in the layer tree; None if it was removed."""
        for group in QgsProject.instance().layerTreeRoot().findGroups(True):
            if group.customProperty(RUN_PROPERTY) == self.run_id:
                return group
        return None

    def layer(self, kind: str) -> Optional[QgsMapLayer]:
        """Return the run's layer "changes", "mask" or "captions"; None if it was removed."""
        group = self.group()
        for node in group.findLayers() if group is not None else ():
            if node.layer() is not None and node.customProperty(RESULT_PROPERTY) == kind:
                return node.layer()
        return None

    def captions_shown(self) -> bool:
        """Whether the captions of the run are shown."""
        layer = self.layer("captions")
        group = self.group()
        if layer is None or group is None:
            return False
        node = group.findLayer(layer.id())
        return node is not None and node.itemVisibilityChecked()


def title_of(prompt: str, before: Optional[str], after: Optional[str]) -> str:
    """Return the title of a run: the prompt and the years, or the dates within one year."""
    if before and after:
        if before[:4] != after[:4]:
            before, after = before[:4], after[:4]
        return f"{prompt}, {before} {_ARROW} {after}"
    return prompt


def add_run(request: ChangeRequest, result: ChangeResult) -> Run:
    """Add the layers of a finished run in a group at the top of the layer tree.

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
        title_of(request.prompt, result.date_before, result.date_after),
        result.gpkg,
        result.mask,
        result.caption,
        result.count,
        sum(areas) if areas else None,
        result.partial,
    )
    _style_changes(changes, result)
    _style_mask(mask)
    changes.setCustomProperty(BEFORE_PROPERTY, request.before)
    changes.setCustomProperty(AFTER_PROPERTY, request.after)
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


def runs_in_project() -> tuple[Run, ...]:
    """Return the runs of the project, the topmost last."""
    runs = []
    for group in QgsProject.instance().layerTreeRoot().findGroups(True):
        run_id = group.customProperty(RUN_PROPERTY)
        if run_id:
            stored = {key: group.customProperty(f"changescribe/{key}") for key in _STORED}
            runs.append(
                Run(
                    str(run_id),
                    str(stored["title"] or group.name()),
                    str(stored["gpkg"] or ""),
                    str(stored["mask"] or ""),
                    str(stored["caption"] or ""),
                    int(stored["count"] or 0),
                    None if stored["area_m2"] in (None, "") else float(stored["area_m2"]),
                    str(stored["partial"]) == "1",
                )
            )
    return tuple(reversed(runs))


def _new_group(run: Run) -> QgsLayerTreeGroup:
    group = QgsProject.instance().layerTreeRoot().insertGroup(0, run.title)
    group.setCustomProperty(RUN_PROPERTY, run.run_id)
    stored = {
        "title": run.title,
        "gpkg": run.gpkg,
        "mask": run.mask,
        "caption": str(run.caption),
        "count": str(run.count),
        "area_m2": "" if run.area_m2 is None else repr(run.area_m2),
        "partial": "1" if run.partial else "0",
    }
    for key, value in stored.items():
        group.setCustomProperty(f"changescribe/{key}", value)
    return group


def _append(group: QgsLayerTreeGroup, layer: QgsMapLayer, kind: str) -> QgsLayerTreeLayer:
    layer.setCustomProperty(RESULT_PROPERTY, kind)
    QgsProject.instance().addMapLayer(layer, False)
    node = group.addLayer(layer)
    node.setCustomProperty(RESULT_PROPERTY, kind)
    return node


def _open_changes(gpkg: str) -> QgsVectorLayer:
    layer = QgsVectorLayer(f"{gpkg}|layername=changes", tr("changes"), "ogr")
    _require_valid(layer, gpkg)
    return layer


def _open_mask(path: str) -> QgsRasterLayer:
    layer = QgsRasterLayer(path, tr("mask"), "gdal")
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
    kinds = [(query.object, query.direction) for query in result.counts]
    known = {(query.object, query.direction) for query in result.parse.queries}
    kinds += sorted(known - set(kinds))
    layer.setRenderer(styles.region_renderer(kinds))
    areas = [region.area_m2 for region in result.regions if region.area_m2]
    layer.setLabeling(
        styles.caption_labels(
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
    title = title_of(request.prompt, result.date_before, result.date_after)
    metadata.setTitle(f"{title}: {layer.name()}")
    metadata.setAbstract("\n".join(lines))
    metadata.setIdentifier(result.run_id)
    metadata.setHistory([line for line in lines[1:] if line])
    layer.setMetadata(metadata)
