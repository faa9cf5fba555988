# SPDX-License-Identifier: GPL-3.0-or-later
"""Connects the dock to the engine: starts runs and adds their results to the project."""

from __future__ import annotations

import contextlib
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QObject, pyqtSignal
from qgis.PyQt.QtWidgets import QPushButton

from ..engine.errors import ChangeScribeError
from ..engine.results.journal import recover
from .compare_dates import CompareDates
from .compat import LEVEL_INFO, LEVEL_SUCCESS, LEVEL_WARNING
from .dock.export_dialog import ExportDialog, open_folder
from .engine_thread import EngineThread
from .errors import Messenger, as_change_scribe_error, log
from .map import layers, run_captions
from .map.runs import runs_in_project
from .project_guard import ProjectGuard
from .run_actions import RunActions
from .translation import tr

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

    from ..engine.describe.request import MapCaption, MapCaptions
    from ..engine.request import ChangeRequest, ChangeResult
    from .dock.dock import ChangeScribeDock
    from .dock.estimates import Estimate
    from .map.runs import Run
    from .settings import Settings

#: Shorter runs do not predict the speed of long ones.
_MIN_MEASURED_S = 0.5
_SHOWN_S = 30
#: Characters of a caption that fit the message bar.
_MESSAGE_LENGTH = 62


class RunController(QObject):
    """Owns the engine thread and handles the dock's signals.

    Signals:
        run_ended(str): "finished", "failed" or "cancelled", once layers and messages are shown.
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
        #: The run being captioned.
        self._describing: Optional[Run] = None
        self.last_error: Optional[ChangeScribeError] = None
        self.last_run: Optional[Run] = None
        self.runs = RunActions(dock.results, iface.mapCanvas(), self.messenger, self.submit)
        self.guard = ProjectGuard(self, iface)
        self.dates = CompareDates(iface, dock, self.messenger)
        #: What to do with the result of the run in progress, unless it goes to the project.
        self._instead: Optional[Callable[[ChangeResult], None]] = None
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
        self._dock.run.drop.connect(self.thread_.drop)
        self._dock.results.export.connect(self.open_export)
        self._dock.results.zoom.connect(self.zoom_to)
        self._dock.results.captions.connect(self.set_captions)
        self._dock.results.details.connect(self.show_details)
        QgsProject.instance().readProject.connect(self.restore_runs)
        QgsProject.instance().cleared.connect(self._dock.results.clear)

    @property
    def busy(self) -> bool:
        """Whether a run is in progress."""
        return self._request is not None or self._describing is not None

    @property
    def detecting(self) -> bool:
        """Whether a detection is in progress."""
        return self._request is not None

    def discard(self) -> None:
        """Cancel the run in progress and delete what it has written."""
        self._instead = delete_files
        self.thread_.cancel()

    def detach(self) -> None:
        """Cancel the run in progress and keep its files out of the project."""
        self._instead = self._offer_files
        self.thread_.cancel()

    def _offer_files(self, result: ChangeResult) -> None:
        folder = QPushButton(tr("Open folder"))
        folder.clicked.connect(lambda: open_folder(result.gpkg))
        delete = QPushButton(tr("Delete it"))
        delete.clicked.connect(lambda: delete_files(result))
        delete.clicked.connect(lambda: delete.setEnabled(False))
        text = tr("The run of the closed project was stopped. What was finished is in {file}.")
        self.messenger.info(text.format(file=result.gpkg), seconds=0, buttons=(folder, delete))

    def start(self) -> None:
        """Start a run with the current form."""
        if self.busy:
            return
        try:
            request = self._dock.build_request()
        except ChangeScribeError as error:
            self._fail(error)
            return
        self.submit(request, self._dock.estimate)

    def submit(self, request: ChangeRequest, estimate: Optional[Estimate] = None) -> None:
        """Start a run, unless one is in progress."""
        if self.busy:
            return
        self._request, self._estimate = request, estimate
        self.last_error = self.last_run = None
        self._settings.remember_prompt(request.prompt)
        self._dock.prompt.refresh_history()
        self._dock.set_running(True)
        self.thread_.submit(request)

    def _finished(self, result: ChangeResult) -> None:
        request, instead = self._request, self._instead
        self._end()
        if request is None:
            return
        if instead is not None:
            instead(result)
            self.run_ended.emit("cancelled")
            return
        self._learn(request, result)
        try:
            run = layers.add_run(request, result)
        except Exception as error:  # noqa: BLE001 - the one error path: shown, not lost
            self._fail(as_change_scribe_error(error))
            return
        self.last_run = run
        self._dock.results.add(run)
        self.runs.show(run)
        self._announce(run, result)
        run_captions.show(run, shown=self._settings.captions_shown)
        choice = self._dock.advanced.captions.choice
        if choice is not None and run.count and not result.partial:
            self._describe(run, request, *choice)
        else:
            self.run_ended.emit("finished")

    def _describe(
        self, run: Run, request: ChangeRequest, system: str, levels: tuple[str, ...]
    ) -> None:
        """Caption the run, which ends with that."""
        from ..engine.describe.request import MapCaptionRequest

        self._describing = run
        self._dock.set_running(True)
        self.thread_.submit_captions(MapCaptionRequest(request, run.run_id, system, levels))

    def _captioned(self, captions: list[MapCaption]) -> None:
        """Add new captions to those on the map."""
        run = self._describing
        if run is None:
            return
        try:
            run_captions.take(run, captions)
        except Exception as error:  # noqa: BLE001 - the one error path: shown, not lost
            self.messenger.error(as_change_scribe_error(error))

    def _captions_finished(self, outcome: MapCaptions) -> None:
        if self._describing is not None:
            run_captions.add_places(self._describing)
        self._captions_ended()
        if outcome.warnings:
            self.messenger.warning(outcome.warnings[0], "\n".join(outcome.warnings[1:]))
        if outcome.partial:
            self._report_kept(len(outcome.captions))
        self.run_ended.emit("finished")

    def _report_kept(self, count: int) -> None:
        if not count:
            text = tr("Cancelled before any caption was written.")
        elif count == 1:
            text = tr("Cancelled. 1 caption was kept.")
        else:
            text = tr("Cancelled. {count} captions were kept.").format(count=count)
        self.messenger.info(text)

    def _captions_ended(self) -> None:
        self._describing = None
        self._dock.set_running(False)
        self._dock.refresh()

    def _failed(self, error: ChangeScribeError) -> None:
        if self._describing is not None:
            # The run itself is finished.
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
            self._report_kept(0)
            self.run_ended.emit("finished")
            return
        self._end()
        self.messenger.info(tr("Cancelled before any result was complete."))
        self.run_ended.emit("cancelled")

    def _end(self) -> None:
        self._request = self._instead = None
        self._dock.set_running(False)
        self._dock.refresh()

    def _learn(self, request: ChangeRequest, result: ChangeResult) -> None:
        """Store the speed and device of a finished run for the next estimate."""
        self._settings.remember_device(request.system, request.device, result.device)
        seconds = result.timings_s.get("total", 0.0)
        if (
            self._estimate
            and not result.partial
            and (seconds >= _MIN_MEASURED_S or result.remembered)
        ):
            speed = self._estimate.working_pixels / seconds
            self._settings.remember_speed(request.system, speed, remembered=result.remembered)
        self._dock.system.refresh()

    def _announce(self, run: Run, result: ChangeResult) -> None:
        export = QPushButton(tr("Export\N{HORIZONTAL ELLIPSIS}"))
        export.clicked.connect(lambda: self.open_export(run))
        folder = QPushButton(tr("Open folder"))
        folder.clicked.connect(lambda: open_folder(run.gpkg))
        # Warnings are in the line of the run and in the title of the map, where they are read.
        for warning in result.warnings:
            log(str(warning), LEVEL_WARNING)
        if run.count:
            # The list of results has the whole caption as a tool tip.
            caption = textwrap.shorten(
                result.caption, _MESSAGE_LENGTH, placeholder=" \N{HORIZONTAL ELLIPSIS}"
            )
            self.messenger.info(caption, LEVEL_SUCCESS, _SHOWN_S, (export, folder))
        else:
            hint = tr("Lower the score threshold under Advanced, or change the prompt.")
            self.messenger.info(f"{result.caption} {hint}", LEVEL_INFO, _SHOWN_S, (folder,))
        log(f"{run.title}: {run.gpkg}; {result.device}; {result.timings_s}")

    def restore_runs(self) -> None:
        """List the runs of the project."""
        self._dock.results.clear()
        for run in runs_in_project():
            if recover(Path(run.gpkg)):
                for layer in filter(None, (run.layer("changes"), run.layer("mask"))):
                    layer.reload()
            self._dock.results.add(run)

    def open_export(self, run: Run) -> ExportDialog:
        """Open the non-modal export dialog for a run."""
        dialog = ExportDialog(run, self._settings, self._iface.mainWindow())
        dialog.failed.connect(self.messenger.error)
        self._exports.append(dialog)
        dialog.destroyed.connect(lambda: self._exports.remove(dialog))
        dialog.show()
        return dialog

    def zoom_to(self, run: Run) -> None:
        """Zoom the map to the changes of a run, or to its mask if no changes are shown."""
        layer = run.layer("changes")
        if layer is None or not layer.featureCount():
            layer = run.layer("mask")
        if layer is None:
            self.messenger.info(tr("The layers of this run are no longer in the project."))
            return
        canvas = self._iface.mapCanvas()
        bounds = canvas.mapSettings().layerExtentToOutputExtent(layer, layer.extent())
        bounds.scale(1.1)
        canvas.setExtent(bounds)
        canvas.refresh()

    def set_captions(self, run: Run, shown: bool) -> None:
        """Show or hide the captions of a run; QGIS places them for each view."""
        self._settings.captions_shown = shown
        run_captions.show(run, shown=shown)
        self._dock.results.refresh()

    def show_details(self, run: Run) -> None:
        """Show the metadata of a run."""
        layer = run.layer("changes")
        details = layer.metadata().abstract() if layer is not None else run.gpkg
        self.messenger.show_details(run.caption or run.title, details)

    def shut_down(self, timeout_ms: int = 20_000) -> bool:
        """Cancel the run, wait for the thread, close windows and disconnect signals.

        Returns whether the thread has ended.
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
        self.guard.shut_down()
        self.dates.shut_down()
        self.runs.shut_down()
        for dialog in list(self._exports):
            dialog.close()
        self.messenger.close()
        return self.thread_.shutdown(timeout_ms)


def delete_files(result: ChangeResult) -> None:
    """Delete the files of a run that is in no project."""
    for path in result.paths.values():
        with contextlib.suppress(OSError):
            path.unlink()
