# SPDX-License-Identifier: GPL-3.0-or-later
"""What the list of results does with runs: shows, renames, repeats, compares, removes them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Callable

from qgis.core import (
    QgsAggregateCalculator,
    QgsApplication,
    QgsGeometry,
    QgsProject,
    QgsSpatialIndex,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QObject
from qgis.PyQt.QtWidgets import QMessageBox

from ..engine.errors import ChangeScribeError, InputError
from ..engine.results.record import from_json
from .dock.outputs import new_output
from .map import commands
from .map.area_layer import area_file, show_area, write_area
from .map.layer_source import source_path
from .map.map_title import MapTitle
from .map.runs import (
    AFTER_PROPERTY,
    BEFORE_PROPERTY,
    rename,
    runs_in_project,
    show_alone,
    source_file,
    source_layer,
    store,
)
from .map.styles import add_classes
from .map.tree_watcher import TreeWatcher
from .translation import tr

if TYPE_CHECKING:
    from qgis.gui import QgsMapCanvas

    from ..engine.request import ChangeRequest
    from .dock.results_panel import ResultsPanel
    from .errors import Messenger
    from .map.runs import Run


class RunActions(QObject):
    """Handles the list of results, and keeps it in step with the layer tree.

    Args:
        panel: the list.
        canvas: the main map, which gets a title.
        messenger: shows errors and notes.
        submit: starts a run.
    """

    def __init__(
        self,
        panel: ResultsPanel,
        canvas: QgsMapCanvas,
        messenger: Messenger,
        submit: Callable[[ChangeRequest], None],
    ) -> None:
        super().__init__(panel)
        self._panel, self._messenger, self._submit = panel, messenger, submit
        self.title = MapTitle(canvas)
        self._watcher = TreeWatcher(self)
        self._watcher.changed.connect(self.follow_tree)
        self._handlers: dict[str, Callable[[Run], None]] = {
            "area": self._show_area,
            "again": self._again,
            "continue": self._continue,
            "command": lambda run: self._copy(run, commands.changescribe_command),
            "processing": lambda run: self._copy(run, commands.processing_command),
            "remove": self.remove,
            "delete": self._delete,
        }
        panel.shown.connect(self.show)
        panel.list.currentRowChanged.connect(self._show_title)
        panel.renamed.connect(lambda run, title: panel.update_run(rename(run, title)))
        panel.filter.edited.connect(self.count_again)
        panel.menu.chosen.connect(self._chosen)
        panel.menu.compared.connect(self.compare)

    def show(self, run: Run, also: bool = False) -> None:
        """Show a run on the map, alone unless ``also``."""
        show_alone(run, self._panel.runs, also=also)
        self._show_title()

    def _show_title(self, _row: int = 0) -> None:
        self.title.show_run(self._panel.current)

    def count_again(self, run: Run) -> None:
        """Follow an edit of the changes in the line of a run, and in the legend."""
        layer = run.layer("changes")
        total = self._panel.filter.total()
        if not isinstance(layer, QgsVectorLayer) or total < 0:
            return
        add_classes(layer)
        if total == run.count:
            return
        area, known = layer.aggregate(QgsAggregateCalculator.Aggregate.Sum, "area_m2")
        if layer.subsetString() or not known or run.area_m2 is None:
            area = run.area_m2
        run = replace(run, count=total, area_m2=area)
        store(run)
        self._panel.update_run(run)

    def follow_tree(self) -> None:
        """List the runs that have a group, by its name; without layers only if nothing was found.

        Runs that found nothing never had a group.
        """
        found = {run.run_id: run for run in runs_in_project()}
        for run in self._panel.runs:
            if run.count and run.run_id not in found:
                self._panel.remove(run)
            elif run.run_id in found and run.title != found[run.run_id].title:
                self._panel.update_run(rename(run, found[run.run_id].title))
        listed = {run.run_id for run in self._panel.runs}
        for run_id, run in found.items():
            if run_id not in listed:  # pasted, or from a layer definition file
                store(run)
                self._panel.add(run)
        self._panel.refresh()
        self._show_title()

    def _chosen(self, name: str, run: Run) -> None:
        handler = self._handlers.get(name)
        if handler is None:
            return
        try:
            handler(run)
        except ChangeScribeError as error:
            self._messenger.error(error)

    def _show_area(self, run: Run) -> None:
        show_area(run)

    def request_of(self, run: Run, output: str = "") -> ChangeRequest:
        """Return the request of a run, with its rasters where they are now.

        Raises:
            InputError: the request is not known.
        """
        changes = run.layer("changes")
        try:
            request = from_json(run.request, output or run.gpkg)
            if changes is None:
                return request
            paths = []
            for name in (BEFORE_PROPERTY, AFTER_PROPERTY):
                layer = source_layer(changes, name)
                path = source_path(layer) if layer is not None else None
                paths.append(path or source_file(changes, name))
            before, after = paths
            return from_json(
                run.request,
                output or run.gpkg,
                before=before or request.before,
                after=after or request.after,
            )
        except ValueError as error:
            raise InputError(
                tr('How "{run}" was made is not known.').format(run=run.title),
                tr("Fill in the form and start a new run."),
                str(error),
            ) from error

    def _again(self, run: Run) -> None:
        request = self.request_of(run)
        folder = os.path.dirname(run.gpkg)
        self._submit(self.request_of(run, new_output(folder, request.before, request.prompt)))

    def _continue(self, run: Run) -> None:
        request = replace(self.request_of(run, run.gpkg), resume=True, overwrite=True)
        # Its files cannot be replaced everywhere while they are open.
        self.remove(run)
        self._submit(request)

    def _copy(self, run: Run, command: Callable[..., str]) -> None:
        request = self.request_of(run)
        folder = os.path.dirname(run.gpkg)
        request = self.request_of(run, new_output(folder, request.before, request.prompt))
        if command is commands.processing_command:
            text = command(request)
        else:
            text = command(request, write_area(run) if request.area else area_file(run))
        QgsApplication.clipboard().setText(text)
        self._messenger.info(tr("Copied: {command}").format(command=text))

    def compare(self, run: Run, other: Run) -> None:
        """Show two runs and how many changes they share."""
        both = [r.layer("changes") for r in (run, other)]
        first, second = both
        if not isinstance(first, QgsVectorLayer) or not isinstance(second, QgsVectorLayer):
            return
        self.show(run)
        self.show(other, also=True)
        shared = [shared_changes(first, second), shared_changes(second, first)]
        text = tr(
            "{shared} of {count} changes of {run} touch one of {other}; the other way round, "
            "{back} of {total} do."
        )
        self._messenger.info(
            text.format(
                shared=shared[0],
                count=first.featureCount(),
                run=run.title,
                other=other.title,
                back=shared[1],
                total=second.featureCount(),
            )
        )

    def remove(self, run: Run) -> None:
        """Remove the layers of a run from the project; its files stay."""
        group = run.group()
        if group is not None:
            ids = [node.layerId() for node in group.findLayers()]
            group.parent().removeChildNode(group)
            QgsProject.instance().removeMapLayers(ids)
        self._panel.remove(run)

    def _delete(self, run: Run) -> None:
        files = run.files()
        buttons = QMessageBox.StandardButton
        text = tr("Delete the files of {run}?")
        answer = QMessageBox.question(
            self._panel,
            tr("Delete files"),
            "\n".join((text.format(run=run.title), *map(os.path.basename, files))),
            buttons.Yes | buttons.No,
            buttons.No,
        )
        if answer == buttons.Yes:
            self.delete(run)

    def delete(self, run: Run) -> None:
        """Remove a run from the project and delete its files."""
        self.remove(run)
        left = []
        # Listed after the layers are closed, since that writes statistics.
        for path in run.files():
            try:
                os.remove(path)
            except OSError as error:
                left.append(str(error))
        if left:
            self._messenger.warning(tr("Some files could not be deleted."), "\n".join(left))

    def shut_down(self) -> None:
        """Disconnect from the project."""
        self._watcher.shut_down()
        self.title.shut_down()


def shared_changes(layer: QgsVectorLayer, other: QgsVectorLayer) -> int:
    """Return how many polygons of a layer touch one of another, in the CRS of both."""
    index = QgsSpatialIndex(
        other.getFeatures(), flags=QgsSpatialIndex.Flag.FlagStoreFeatureGeometries
    )
    count = 0
    for feature in layer.getFeatures():
        geometry: QgsGeometry = feature.geometry()
        engine = QgsGeometry.createGeometryEngine(geometry.constGet())
        engine.prepareGeometry()
        near = index.intersects(geometry.boundingBox())
        count += any(engine.intersects(index.geometry(number).constGet()) for number in near)
    return count
