# SPDX-License-Identifier: GPL-3.0-or-later
"""Between the dock and the engine: starts runs, and turns what comes back into layers."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Optional

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QObject, pyqtSignal
from qgis.PyQt.QtWidgets import QPushButton

from ..engine.errors import ChangeScribeError
from .compat import LEVEL_INFO, LEVEL_SUCCESS
from .dock.export_dialog import ExportDialog, open_folder
from .engine_thread import EngineThread
from .errors import Messenger, as_change_scribe_error, log
from .map import annotations, layers, run_captions

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

    from ..engine.describe.request import MapCaption, MapCaptions
    from ..engine.request import ChangeRequest, ChangeResult
    from .dock.dock import ChangeScribeDock
    from .dock.estimates import Estimate
    from .map.layers import Run
    from .settings import Settings

#: Runs shorter than this say little about the speed of long ones.
_WORTH_MEASURING_S = 0.5
_SHOWN_S = 30
#: Of a caption in the message bar, which has one line.
_MESSAGE_LENGTH = 78


class RunController(QObject):
    """Owns the engine thread and answers the dock's signals.

    Signals:
        run_ended(str): "finished", "failed" or "cancelled", after layers and messages.
    """

    run_ended = pyqtSignal(str)

    def __init__(
        self,
        iface: QgisInterface,
        dock: ChangeScribeDock,
        settings: Settings,
        thread: Optional[EngineThread] = None,
    ) -> None:
        super().__init__(dock)
        self._iface, self._dock, self._settings = iface, dock, settings
        self.messenger = Messenger(iface.messageBar(), iface.mainWindow())
        self.thread_ = thread or EngineThread()
        self._request: Optional[ChangeRequest] = None
        self._estimate: Optional[Estimate] = None
        self._exports: list[ExportDialog] = []
        #: The run whose captions are being written, and those of tiles and scenes by run.
        self._describing: Optional[Run] = None
        self._places: dict[str, list[annotations.PlaceCaption]] = {}
        self.last_error: Optional[ChangeScribeError] = None
        self.last_run: Optional[Run] = None
        self._connect()
        self.restore_runs()

    def _connect(self) -> None:
        self.thread_.progressed.connect(self._dock.run.show_progress)
        self.thread_.finished_run.connect(self._finished)
        self.thread_.failed.connect(self._failed)
        self.thread_.cancelled.connect(self._cancelled)
        self.thread_.captioned.connect(self._captioned)
        self.thread_.finished_captions.connect(self._captions_finished)
        self._dock.detect_requested.connect(self.start)
        self._dock.cancel_requested.connect(self.thread_.cancel)
        self._dock.results.export.connect(self.open_export)
        self._dock.results.zoom.connect(self.zoom_to)
        self._dock.results.captions.connect(self.set_captions)
        self._dock.results.details.connect(self.show_details)
        self._dock.results.filtered.connect(self.refresh_captions)
        QgsProject.instance().readProject.connect(self.restore_runs)
        QgsProject.instance().cleared.connect(self._dock.results.clear)

    @property
    def busy(self) -> bool:
        """A run is in progress."""
        return self._request is not None or self._describing is not None

    def start(self) -> None:
        """Start a run for the dock's form as it is."""
        if self.busy:
            return
        try:
            request = self._dock.build_request()
        except ChangeScribeError as error:
            self._fail(error)
            return
        self._request, self._estimate = request, self._dock.estimate
        self.last_error = self.last_run = None
        self._settings.remember_prompt(request.prompt)
        self._dock.prompt.refresh_history()
        self._dock.set_running(True)
        self.thread_.submit(request)

    def _finished(self, result: ChangeResult) -> None:
        request = self._request
        self._end()
        if request is None:
            return
        self._learn(request, result)
        try:
            run = layers.add_run(request, result)
        except Exception as error:  # noqa: BLE001 - the one error path: shown, not lost
            self._fail(as_change_scribe_error(error))
            return
        self.last_run = run
        self._dock.results.add(run)
        self._announce(run, result)
        if self._settings.captions_shown and run.count:
            self._show_captions(run)
        choice = self._dock.advanced.captions.choice
        if choice is not None and run.count and not result.partial:
            self._describe(run, request, *choice)
        else:
            self.run_ended.emit("finished")

    def _describe(
        self, run: Run, request: ChangeRequest, system: str, levels: tuple[str, ...]
    ) -> None:
        """Have captions written; the run ends with them."""
        from ..engine.describe.request import MapCaptionRequest

        self._describing = run
        self._dock.set_running(True)
        self.thread_.submit_captions(MapCaptionRequest(request, run.run_id, system, levels))

    def _captioned(self, captions: list[MapCaption]) -> None:
        """Show captions that have come, beside those that are there."""
        run = self._describing
        if run is None:
            return
        try:
            places = run_captions.take(run, captions)
        except Exception as error:  # noqa: BLE001 - the one error path: shown, not lost
            self.messenger.error(as_change_scribe_error(error))
            return
        self._places.setdefault(run.run_id, []).extend(places)
        if self._settings.captions_shown:
            self._show_captions(run)

    def _captions_finished(self, outcome: MapCaptions) -> None:
        self._captions_ended()
        if outcome.warnings:
            self.messenger.warning(outcome.warnings[0], "\n".join(outcome.warnings[1:]))
        if outcome.partial:
            self._tell_kept(len(outcome.captions))
        self.run_ended.emit("finished")

    def _tell_kept(self, count: int) -> None:
        text = self.tr("Cancelled: {n} captions are kept.").format(n=count)
        self.messenger.info(text if count else self.tr("Cancelled before a caption was written."))

    def _captions_ended(self) -> None:
        self._describing = None
        self._dock.set_running(False)
        self._dock.refresh()

    def _show_captions(self, run: Run) -> int:
        """Show captions; a problem with them is told, but the run's results stand."""
        try:
            places = self._places.get(run.run_id)
            if places is None:
                places = self._places[run.run_id] = run_captions.stored(run)
            shown = annotations.show_captions(run, self._iface.mapCanvas(), places)
        except Exception as error:  # noqa: BLE001 - the one error path: shown, not lost
            self.messenger.error(as_change_scribe_error(error))
            shown = 0
        self._dock.results.set_captions_shown(run.captions_shown())
        return shown

    def _failed(self, error: ChangeScribeError) -> None:
        if self._describing is not None:
            # The run stands, with the captions that it had.
            self._captions_ended()
            self.messenger.error(error)
            self.last_error = error
            self.run_ended.emit("finished")
            return
        self._end()
        self._fail(error)

    def _fail(self, error: ChangeScribeError) -> None:
        self.last_error = error
        self.messenger.error(error)
        self.run_ended.emit("failed")

    def _cancelled(self) -> None:
        if self._describing is not None:
            self._captions_ended()
            self._tell_kept(0)
            self.run_ended.emit("finished")
            return
        self._end()
        self.messenger.info(self.tr("Cancelled before any result was finished."))
        self.run_ended.emit("cancelled")

    def _end(self) -> None:
        self._request = None
        self._dock.set_running(False)
        self._dock.refresh()

    def _learn(self, request: ChangeRequest, result: ChangeResult) -> None:
        """Remember speed and device of a finished run for the next estimate."""
        self._settings.remember_device(request.system, request.device, result.device)
        seconds = result.timings_s.get("total", 0.0)
        if self._estimate and not result.partial and seconds >= _WORTH_MEASURING_S:
            self._settings.remember_speed(request.system, self._estimate.working_pixels / seconds)
        self._dock.system.refresh()

    def _announce(self, run: Run, result: ChangeResult) -> None:
        export = QPushButton(self.tr("Export\N{HORIZONTAL ELLIPSIS}"))
        export.clicked.connect(lambda: self.open_export(run))
        folder = QPushButton(self.tr("Open folder"))
        folder.clicked.connect(lambda: open_folder(run.gpkg))
        # First the warning, so that the result is on top of it.
        if result.warnings:
            self.messenger.warning(result.warnings[0], "\n".join(result.warnings[1:]))
        if run.count:
            # The whole of it is the tool tip of the line in the list of results.
            caption = textwrap.shorten(
                result.caption, _MESSAGE_LENGTH, placeholder=" \N{HORIZONTAL ELLIPSIS}"
            )
            self.messenger.info(caption, LEVEL_SUCCESS, _SHOWN_S, (export, folder))
        else:
            hint = self.tr('Lower "Score at least" under Advanced, or ask for something else.')
            self.messenger.info(f"{result.caption} {hint}", LEVEL_INFO, _SHOWN_S, (folder,))
        log(f"{run.title}: {run.gpkg}; {result.device}; {result.timings_s}")

    def restore_runs(self) -> None:
        """List the runs that the project holds."""
        self._dock.results.clear()
        for run in layers.runs_in_project():
            self._dock.results.add(run)

    def open_export(self, run: Run) -> ExportDialog:
        """Open the export dialog for a run; QGIS stays usable."""
        dialog = ExportDialog(run, self._settings, self._iface.mainWindow())
        dialog.failed.connect(self.messenger.error)
        self._exports.append(dialog)
        dialog.destroyed.connect(lambda: self._exports.remove(dialog))
        dialog.show()
        return dialog

    def zoom_to(self, run: Run) -> None:
        """Zoom the map to the changes of a run, or to its mask where none is shown."""
        layer = run.layer("changes")
        if layer is None or not layer.featureCount():
            layer = run.layer("mask")
        if layer is None:
            self.messenger.info(self.tr("The layers of this run are no longer in the project."))
            return
        canvas = self._iface.mapCanvas()
        bounds = canvas.mapSettings().layerExtentToOutputExtent(layer, layer.extent())
        bounds.scale(1.1)
        canvas.setExtent(bounds)
        canvas.refresh()
        self.refresh_captions(run)

    def refresh_captions(self, run: Run) -> None:
        """Place the captions of a run anew where they are shown."""
        if run.captions_shown():
            self._show_captions(run)

    def set_captions(self, run: Run, shown: bool) -> None:
        """Show the captions of a run, placed for the map as it is, or hide them."""
        self._settings.captions_shown = shown
        if not shown:
            annotations.hide_captions(run)
        elif not self._show_captions(run):
            self.messenger.info(
                self.tr("No caption could be placed here: zoom to the changes and try again.")
            )
        self._dock.results.set_captions_shown(run.captions_shown())

    def show_details(self, run: Run) -> None:
        """Open what the metadata of a run say."""
        layer = run.layer("changes")
        details = layer.metadata().abstract() if layer is not None else run.gpkg
        self.messenger.show_details(run.caption or run.title, details)

    def shut_down(self, timeout_ms: int = 20_000) -> bool:
        """Cancel the run, wait for the thread, close windows, drop signals.

        Returns:
            True where the thread has ended.
        """
        for signal, slot in (
            (self.thread_.progressed, self._dock.run.show_progress),
            (self.thread_.finished_run, self._finished),
            (self.thread_.failed, self._failed),
            (self.thread_.cancelled, self._cancelled),
            (self.thread_.captioned, self._captioned),
            (self.thread_.finished_captions, self._captions_finished),
            (QgsProject.instance().readProject, self.restore_runs),
            (QgsProject.instance().cleared, self._dock.results.clear),
        ):
            signal.disconnect(slot)
        for dialog in list(self._exports):
            dialog.close()
        self.messenger.close()
        return self.thread_.shutdown(timeout_ms)
