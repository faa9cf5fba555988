# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread that owns the engine: requests in through a queue, signals out.

The thread never touches a layer, a widget or the project: a request holds paths
and numbers only, and the answer is a :class:`ChangeResult` that the main thread
turns into layers.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable, Optional

from qgis.PyQt.QtCore import QThread, pyqtSignal

from ..engine.errors import CancelledError
from .errors import as_change_scribe_error
from .packages import tiers
from .settings import Settings

if TYPE_CHECKING:
    from ..engine.describe.request import MapCaption, MapCaptionRequest, MapCaptions
    from ..engine.hosts.base import Host
    from ..engine.request import ChangeRequest, ChangeResult

    Detect = Callable[..., ChangeResult]
    Work = Callable[["_Job"], tuple[object, tuple[object, ...]]]

#: Threads that did not end in time. Deleting a running QThread aborts QGIS, so they are kept.
_RUNAWAYS: list[EngineThread] = []
_STACK_BYTES = 16 * 1024 * 1024
#: Captions are handed over this many seconds apart at least: each time the map is drawn anew.
_BATCH_S = 1.0


@dataclass
class _Job:
    """A request, and the method that carries it out."""

    request: object
    work: Work
    cancelled: threading.Event = field(default_factory=threading.Event)


def _detect(request: ChangeRequest, host: Host, **callbacks: object) -> ChangeResult:
    # Imported in the thread: numpy and GDAL are not loaded until the first run.
    from ..engine.detect import pipeline

    return pipeline.detect(request, host, **callbacks)


def _describe(request: MapCaptionRequest, host: Host, **callbacks: object) -> MapCaptions:
    from ..engine.describe.map_captions import caption_map

    return caption_map(request, host, **callbacks)


def configured_host() -> Host:
    """Return the host that the dock and Processing share, set up as in the settings.

    May be called from any thread, before each run.
    """
    from ..engine.hosts import routing
    from ..engine.weights.store import use_folder

    settings = Settings()
    use_folder(settings.weights_folder)
    routing.configure(
        routing.HostOptions(settings.host, settings.worker_python, tiers.worker_python())
    )
    return routing.shared_host()


class EngineThread(QThread):
    """Runs one request at a time and keeps the models loaded between them.

    Args:
        detect: stands in for :func:`changescribe.engine.detect.pipeline.detect` in tests.
        host: returns the host that runs the systems; default is the process's shared one.
        parent: owner on the main thread.

    Signals:
        started_run(ChangeRequest): work on a request begins.
        progressed(Progress): several times a second at most.
        finished_run(ChangeResult): files are written; ``partial`` where it was cancelled.
        failed(ChangeScribeError): the run ended without a result.
        cancelled(): cancelled before anything was finished that could be kept.
        captioned(list[MapCaption]): captions that have come since the last ones.
        finished_captions(MapCaptions): all are written, or those before it was cancelled.
    """

    started_run = pyqtSignal(object)
    progressed = pyqtSignal(object)
    finished_run = pyqtSignal(object)
    failed = pyqtSignal(object)
    cancelled = pyqtSignal()
    captioned = pyqtSignal(object)
    finished_captions = pyqtSignal(object)

    def __init__(
        self,
        detect: Optional[Detect] = None,
        host: Optional[Callable[[], Host]] = None,
        parent: Optional[object] = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("ChangeScribe engine")
        # macOS gives secondary threads 512 KB, too little for some operators.
        self.setStackSize(_STACK_BYTES)
        self._detect = detect or _detect
        self._host = host or configured_host
        self._queue: queue.Queue[Optional[_Job]] = queue.Queue()
        self._lock = threading.Lock()
        self._jobs: list[_Job] = []
        self._closing = False

    @property
    def busy(self) -> bool:
        """A request is running or waiting."""
        with self._lock:
            return bool(self._jobs)

    def submit(self, request: ChangeRequest) -> None:
        """Queue a request; the thread is started where it does not run.

        Raises:
            RuntimeError: the thread has been shut down.
        """
        self._enter(_Job(request, self._detected))

    def submit_captions(self, request: MapCaptionRequest) -> None:
        """Queue captions of a finished run.

        Raises:
            RuntimeError: the thread has been shut down.
        """
        self._enter(_Job(request, self._described))

    def _enter(self, job: _Job) -> None:
        if self._closing:
            raise RuntimeError("The engine thread has been shut down.")
        with self._lock:
            self._jobs.append(job)
        self._queue.put(job)
        if not self.isRunning():
            self.start()

    def cancel(self) -> None:
        """Ask the running and the waiting requests to stop after the tile in work."""
        with self._lock:
            for job in self._jobs:
                job.cancelled.set()

    def shutdown(self, timeout_ms: int = 20_000) -> bool:
        """Cancel everything and wait for the thread.

        Returns:
            True where the thread has ended; otherwise it is kept alive, silent, until it ends.
        """
        if self in _RUNAWAYS:
            return self.isFinished()
        self._closing = True
        self.cancel()
        self._queue.put(None)
        if not self.isRunning() or self.wait(timeout_ms):
            return True
        self.setParent(None)
        _RUNAWAYS.append(self)
        return False

    def run(self) -> None:
        """Work on requests until :meth:`shutdown`. Runs in the thread."""
        while True:
            job = self._queue.get()
            if job is None:
                return
            signal, payload = self._outcome(job)
            # Before the signal, so that its receiver finds the thread idle.
            with self._lock:
                self._jobs.remove(job)
            self._emit(signal, *payload)

    def _outcome(self, job: _Job) -> tuple[object, tuple[object, ...]]:
        """Carry out a job; return the signal that tells of its end, and what it carries."""
        if job.cancelled.is_set():
            return self.cancelled, ()
        try:
            return job.work(job)
        except CancelledError:
            return self.cancelled, ()
        except BaseException as error:  # noqa: BLE001 - nothing may escape a thread's run()
            return self.failed, (as_change_scribe_error(error),)

    def _detected(self, job: _Job) -> tuple[object, tuple[object, ...]]:
        self._emit(self.started_run, job.request)
        result = self._detect(
            job.request,
            self._host(),
            progress=lambda progress: self._emit(self.progressed, progress),
            cancelled=job.cancelled.is_set,
        )
        return self.finished_run, (result,)

    def _described(self, job: _Job) -> tuple[object, tuple[object, ...]]:
        """Hand captions over in batches while they are being written."""
        waiting: list[MapCaption] = []
        last = 0.0

        def captioned(caption: MapCaption) -> None:
            nonlocal last
            waiting.append(caption)
            if time.monotonic() - last >= _BATCH_S:
                self._emit(self.captioned, list(waiting))
                waiting.clear()
                last = time.monotonic()

        try:
            captions = _describe(
                job.request,
                self._host(),
                progress=lambda progress: self._emit(self.progressed, progress),
                cancelled=job.cancelled.is_set,
                captioned=captioned,
            )
        finally:
            if waiting:
                self._emit(self.captioned, waiting)
        return self.finished_captions, (captions,)

    def _emit(self, signal: object, *payload: object) -> None:
        # After shutdown() the receivers may be gone.
        if not self._closing:
            signal.emit(*payload)
