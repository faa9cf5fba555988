# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs of the project: each is a group of layers, which says where its files are."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Optional

from qgis.core import (
    QgsLayerTreeGroup,
    QgsLayerTreeLayer,
    QgsLayerTreeNode,
    QgsMapLayer,
    QgsProject,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorLayer,
)

from ..translation import tr

if TYPE_CHECKING:
    from ...engine.request import ChangeRequest

#: Custom properties that identify a run in a project. They are set on layer tree nodes; those of
#: a layer are lost with the layer.
RUN_PROPERTY = "changescribe/run_id"
RESULT_PROPERTY = "changescribe/result"
_FACTS_PROPERTY = "changescribe/run"
#: Custom properties of a layer of changes: the compared rasters, see :func:`remember_sources`.
BEFORE_PROPERTY = "changescribe/before"
AFTER_PROPERTY = "changescribe/after"
_ID = "_layer"
#: Files of a run beside its GeoPackage.
_SUFFIXES = (
    "_mask.tif",
    "_mask.qml",
    "_score.tif",
    # Statistics that QGIS wrote.
    "_mask.tif.aux.xml",
    "_score.tif.aux.xml",
    "_captions.gpkg",
    "_area.gpkg",
    ".gpkg-wal",
    ".gpkg-shm",
    ".gpkg",
)


@dataclass(frozen=True)
class Run:
    """A run whose layers are, or were, in the project.

    Attributes:
        run_id: id in the GeoPackage.
        title: prompt and dates, or the name that the user gave; also the name of the group.
        gpkg: path of the GeoPackage, found from its layers, so that a moved project works.
        mask: path of the mask.
        caption: scene caption.
        area_m2: changed area in m2; None without georeference.
        partial: whether the run was cancelled.
        threshold: minimum score of change.
        analysed_m2: area analysed in m2; None without georeference.
        warnings: sentences that change how to read the result.
        request: the request, as written by the engine's ``record.to_json``.
    """

    run_id: str
    title: str
    gpkg: str
    mask: str
    caption: str
    count: int
    area_m2: Optional[float]
    partial: bool = False
    threshold: float = 0.5
    analysed_m2: Optional[float] = None
    warnings: tuple[str, ...] = ()
    request: str = ""

    def group(self) -> Optional[QgsLayerTreeGroup]:
        """Return the run's group in the layer tree; None if it was removed."""
        for group in QgsProject.instance().layerTreeRoot().findGroups(True):
            if group.customProperty(RUN_PROPERTY) == self.run_id:
                return group
        return None

    def node(self, kind: str) -> Optional[QgsLayerTreeLayer]:
        """Return the layer tree node of :meth:`layer`."""
        return _node(self.group(), kind)

    def layer(self, kind: str) -> Optional[QgsMapLayer]:
        """Return the run's layer "changes", "mask", "captions" or "area"; None if it is gone."""
        node = self.node(kind)
        return node.layer() if node is not None else None

    @property
    def headline(self) -> str:
        """The first sentence of the warning that matters most; "" without warnings.

        That is one by which the result is a guess, else the first.
        """
        first = next((text for text in self.warnings if "guess" in text), "")
        first = first or (self.warnings[0] if self.warnings else "")
        return re.split(r"(?<=[a-z0-9)])\. ", first, maxsplit=1)[0].rstrip(".")

    def is_shown(self) -> bool:
        """Whether the map shows the group."""
        group = self.group()
        return group is not None and group.isVisible()

    def captions_shown(self) -> bool:
        """Whether the captions of the run are shown."""
        layer = self.layer("changes")
        return isinstance(layer, QgsVectorLayer) and layer.labelsEnabled()

    def files(self) -> list[str]:
        """Return the files of the run that exist, the GeoPackage last."""
        stem = os.path.splitext(self.gpkg)[0]
        named = [stem + suffix for suffix in _SUFFIXES] if self.gpkg else []
        return [path for path in named if os.path.isfile(path)]


def runs_in_project() -> tuple[Run, ...]:
    """Return the runs of the project that still have layers, the topmost last."""
    found = []
    for group in QgsProject.instance().layerTreeRoot().findGroups(True):
        if group.customProperty(RUN_PROPERTY):
            run = _read(group)
            if run.gpkg:
                found.append(run)
    return tuple(reversed(found))


def store(run: Run) -> None:
    """Write the facts of a run to its group, which the project saves."""
    group = run.group()
    if group is None:
        return
    facts = asdict(run)
    for name in ("gpkg", "mask"):  # absolute paths, which a moved project must not keep
        del facts[name]
    group.setCustomProperty(_FACTS_PROPERTY, json.dumps(facts, ensure_ascii=False))


def rename(run: Run, title: str) -> Run:
    """Give the run, its group and its layers another name; return the run."""
    group = run.group()
    title = " ".join(title.split())
    if group is None or not title:
        return run
    title = free_title(title, but=run)
    group.setName(title)
    for node in group.findLayers():
        kind, layer = node.customProperty(RESULT_PROPERTY), node.layer()
        if kind and layer is not None:
            layer.setName(layer_name(title, str(kind)))
    run = replace(run, title=title)
    store(run)
    return run


def layer_name(title: str, kind: str) -> str:
    """Return the name of a layer of a run."""
    if kind == "changes":
        return title
    texts = {
        "mask": tr("{run} (mask)"),
        "captions": tr("{run} (captions)"),
        "area": tr("{run} (area analysed)"),
    }
    return texts[kind].format(run=title)


def free_title(title: str, but: Optional[Run] = None) -> str:
    """Return a title that no other group has, with a number if needed."""
    own = but.group() if but is not None else None
    groups = QgsProject.instance().layerTreeRoot().findGroups(True)
    taken = {group.name() for group in groups if group is not own}
    name, number = title, 1
    while name in taken:
        number += 1
        name = f"{title} ({number})"
    return name


def show_alone(run: Run, runs: tuple[Run, ...], *, also: bool = False) -> None:
    """Show the group of a run and hide those of the others; ``also`` leaves them as they are."""
    for other in runs:
        group = other.group()
        if group is None:
            continue
        if other.run_id == run.run_id:
            group.setItemVisibilityCheckedParentRecursive(True)
        elif not also:
            group.setItemVisibilityChecked(False)


def remember_sources(changes: QgsMapLayer, request: ChangeRequest, gpkg: str) -> None:
    """Note the compared rasters in the layer of changes: by layer, and by path from the results."""
    rasters = _rasters()
    for name, path in ((BEFORE_PROPERTY, request.before), (AFTER_PROPERTY, request.after)):
        changes.setCustomProperty(name, _relative(path, os.path.dirname(gpkg)))
        for layer in rasters:
            if path_of(layer) == path:
                changes.setCustomProperty(name + _ID, layer.id())
                break


def source_layer(changes: QgsMapLayer, name: str) -> Optional[QgsRasterLayer]:
    """Return the project's layer of a compared raster; None if it has none.

    Args:
        changes: layer of changes.
        name: :data:`BEFORE_PROPERTY` or :data:`AFTER_PROPERTY`.
    """
    known = changes.customProperty(name + _ID)
    path = source_file(changes, name)
    for layer in _rasters():
        if layer.isValid() and (layer.id() == known or path_of(layer) == path):
            return layer
    return None


def source_file(changes: QgsMapLayer, name: str) -> str:
    """Return the path of a compared raster as noted beside the results; "" if there is none."""
    noted = str(changes.customProperty(name) or "")
    if not noted or noted.startswith("/vsi") or os.path.isabs(noted):
        return noted
    return os.path.normpath(os.path.join(os.path.dirname(path_of(changes)), noted))


def path_of(layer: QgsMapLayer) -> str:
    """Return the file of a layer, without layer name and filter."""
    provider = layer.providerType()
    parts = QgsProviderRegistry.instance().decodeUri(provider, layer.source())
    return str(parts.get("path") or "") or layer.source()


def _relative(path: str, folder: str) -> str:
    """Return the path of a file from a folder, with "/"; unchanged if it is no file."""
    if not os.path.isfile(path):
        return path
    try:
        return os.path.relpath(path, folder).replace(os.sep, "/")
    except ValueError:  # another drive
        return path


def _rasters() -> list[QgsRasterLayer]:
    layers = QgsProject.instance().mapLayers().values()
    return [layer for layer in layers if isinstance(layer, QgsRasterLayer)]


def _node(group: Optional[QgsLayerTreeNode], kind: str) -> Optional[QgsLayerTreeLayer]:
    for node in group.findLayers() if group is not None else ():
        if node.layer() is not None and node.customProperty(RESULT_PROPERTY) == kind:
            return node
    return None


def _read(group: QgsLayerTreeGroup) -> Run:
    paths = {}
    for kind in ("changes", "mask"):
        node = _node(group, kind)
        paths[kind] = path_of(node.layer()) if node is not None else ""
    if paths["mask"] and not paths["changes"]:
        paths["changes"] = paths["mask"].replace("_mask.tif", ".gpkg")
    try:
        facts = json.loads(str(group.customProperty(_FACTS_PROPERTY) or "{}"))
        facts["warnings"] = tuple(facts.get("warnings", ()))
        known = Run.__dataclass_fields__
        return Run(
            **{
                "caption": "",
                "count": 0,
                "area_m2": None,
                **{name: value for name, value in facts.items() if name in known},
                "run_id": str(group.customProperty(RUN_PROPERTY)),
                "title": group.name(),
                "gpkg": paths["changes"],
                "mask": paths["mask"],
            }
        )
    except (TypeError, ValueError):  # not written by this version
        run_id = str(group.customProperty(RUN_PROPERTY))
        return Run(run_id, group.name(), paths["changes"], paths["mask"], "", 0, None)
