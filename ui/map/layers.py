# SPDX-License-Identifier: GPL-3.0-or-later
"""From the files of a run to a group of styled layers, on the main thread."""

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

#: Systems whose answer is which class became which: their polygons are labelled so.
_TELLS_CLASSES = ("textscd",)
#: Custom properties by which a run is found again in a project. They are set on the nodes of
#: the layer tree, since QGIS 3.22 does not save those of annotation layers.
RUN_PROPERTY = "changescribe/run_id"
RESULT_PROPERTY = "changescribe/result"
_STORED = ("title", "gpkg", "mask", "caption", "count", "area_m2", "partial")
_ARROW = "\N{RIGHTWARDS ARROW}"


@dataclass(frozen=True)
class Run:
    """A run whose layers are, or were, in the project.

    Attributes:
        run_id: as in the GeoPackage.
        title: prompt and dates; also the name of the group.
        gpkg: path of the GeoPackage.
        mask: path of the mask raster.
        caption: the scene in words.
        count: number of regions.
        area_m2: changed area; None without georeference.
        partial: the run was cancelled.
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
        """Return the run's group in the layer tree; None where it was removed."""
        for group in QgsProject.instance().layerTreeRoot().findGroups(True):
            if group.customProperty(RUN_PROPERTY) == self.run_id:
                return group
        return None

    def layer(self, kind: str) -> Optional[QgsMapLayer]:
        """Return the run's layer of a kind ("changes", "mask", "captions"), where it exists."""
        group = self.group()
        for node in group.findLayers() if group is not None else ():
            if node.layer() is not None and node.customProperty(RESULT_PROPERTY) == kind:
                return node.layer()
        return None

    def captions_shown(self) -> bool:
        """Whether the run's captions are on the map."""
        layer = self.layer("captions")
        group = self.group()
        if layer is None or group is None:
            return False
        node = group.findLayer(layer.id())
        return node is not None and node.itemVisibilityChecked()


def title_of(prompt: str, before: Optional[str], after: Optional[str]) -> str:
    """Return the name of a run: the prompt and, where they are known, the ISO dates."""
    if before and after:
        if before[:4] != after[:4]:
            before, after = before[:4], after[:4]
        return f"{prompt}, {before} {_ARROW} {after}"
    return prompt


def add_run(request: ChangeRequest, result: ChangeResult) -> Run:
    """Add the layers of a finished run in a group on top of the layer tree.

    Raises:
        OutputError: a file of the run cannot be opened.
    """
    _save_style(result)
    changes = _open_changes(result.gpkg)
    mask = _open_mask(result.mask)
    if not mask.crs().isValid():
        # The GeoPackage's "undefined Cartesian" is a CRS to QGIS, which it cannot transform.
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
    # Without feature counts in the legend: QGIS's counting thread asks the project for its
    # expression variables (QgsCategorizedSymbolRenderer.filterNeedsGeometry), which crashes QGIS
    # where the main thread does so at the same time, as it does while layers are added.
    _append(group, changes, "changes")
    node = _append(group, mask, "mask")
    # The polygons show the same: the mask is there to be switched on.
    node.setItemVisibilityChecked(False)
    node.setExpanded(False)
    return run


def runs_in_project() -> tuple[Run, ...]:
    """Return the runs whose groups are in the project, the topmost last."""
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
    if not layer.isValid():
        raise OutputError(
            tr('The results in "{file}" cannot be opened.').format(file=os.path.basename(gpkg)),
            tr("Check that the file is still there and that the folder can be read."),
            _provider_error(layer),
        )
    return layer


def _provider_error(layer: QgsMapLayer) -> str:
    # QgsError.summary() of an error without a message crashes QGIS 3.22.
    return "" if layer.error().isEmpty() else layer.error().summary()


def _open_mask(path: str) -> QgsRasterLayer:
    layer = QgsRasterLayer(path, tr("mask"), "gdal")
    if not layer.isValid():
        raise OutputError(
            tr('The mask "{file}" cannot be opened.').format(file=os.path.basename(path)),
            tr("Check that the file is still there and that the folder can be read."),
            _provider_error(layer),
        )
    return layer


def _save_style(result: ChangeResult) -> None:
    """Save the style of the polygons in the GeoPackage, as its default.

    A layer of its own does it: a layer that is open while a style is written to its
    GeoPackage can lose its file (SQLite's journal goes away under its connection).
    """
    layer = _open_changes(result.gpkg)
    _style_changes(layer, result)
    problem = save_style_to_database(layer, "ChangeScribe", tr("Changes by object and direction"))
    if problem:
        log(f"{layer.source()}: {problem}")


def _style_changes(layer: QgsVectorLayer, result: ChangeResult) -> None:
    """Give the polygons symbols, labels, map tip and field names."""
    kinds = [(query.object, query.direction) for query in result.counts]
    known = {(query.object, query.direction) for query in result.parse.queries}
    kinds += sorted(known - set(kinds))
    layer.setRenderer(styles.region_renderer(kinds))
    areas = [region.area_m2 for region in result.regions if region.area_m2]
    layer.setLabeling(
        styles.caption_labels(
            statistics.median(areas) if areas else None, classes=result.system in _TELLS_CLASSES
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
    """Write prompt, sources and system into the layer's metadata."""
    lines = [
        result.caption,
        tr("Prompt: {prompt} ({parse})").format(
            prompt=request.prompt, parse=result.parse.explanation
        ),
        tr("Before: {path}, {date}").format(
            path=request.before, date=result.date_before or tr("date not known")
        ),
        tr("After: {path}, {date}").format(
            path=request.after, date=result.date_after or tr("date not known")
        ),
        tr("System: {name} {revision}, on {device}").format(
            name=result.system, revision=result.revision, device=result.device
        ),
        *result.warnings,
    ]
    metadata = QgsLayerMetadata(layer.metadata())
    title = title_of(request.prompt, result.date_before, result.date_after)
    metadata.setTitle(f"{title}: {layer.name()}")
    metadata.setAbstract("\n".join(lines))
    metadata.setIdentifier(result.run_id)
    metadata.setHistory([line for line in lines[1:] if line])
    layer.setMetadata(metadata)
