# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread that runs the engine: requests in through a queue, results out as signals.

The thread never touches a layer, a widget or the project. A request holds only paths and numbers,
and the main thread turns the :class:`ChangeResult` into layers.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Optional

from qgis.PyQt.QtCore import QObject, QThread, pyqtSignal

from ..engine.errors import CancelledError
from ..engine.request import Stage
from .errors import as_change_scribe_error
from .packages import tiers
from .settings import Settings

if TYPE_CHECKING:
    from ..engine.describe.request import MapCaption, MapCaptionRequest, MapCaptions
    from ..engine.hosts.base import Host
    from ..engine.request import ChangeRequest, ChangeResult, Progress

    Detect = Callable[..., ChangeResult]
    #: (signal, arguments)
    Outcome = tuple[Any, tuple[Any, ...]]

#: Threads that did not stop in time; deleting a running QThread aborts QGIS.
_RUNAWAYS: list[EngineThread] = []
_STACK_BYTES = 16 * 1024 * 1024
#: Minimum seconds between batches of captions, since each batch redraws the map.
_BATCH_S = 1.0


@dataclass
class _Job:
    """A request and the method that handles it."""

    request: Any
    work: Callable[[_Job], Outcome]
    cancelled: threading.Event = field(default_factory=threading.Event)
    dropped: threading.Event = field(default_factory=threading.Event)


def _detect(request: ChangeRequest, host: Host, **callbacks: Any) -> ChangeResult:
    # Imported here so that numpy and GDAL load with the first run, in the thread.
    from ..engine.detect import pipeline

    return pipeline.detect(request, host, **callbacks)


def _describe(request: MapCaptionRequest, host: Host, **callbacks: Any) -> MapCaptions:
    from ..engine.describe.map_captions import caption_map

    return caption_map(request, host, **callbacks)


def configured_host() -> Host:
    """Return the host shared by the dock and Processing, configured from the settings.

    Call it before each run, from any thread.
    """
    from ..engine.hosts import routing
    from ..engine.memory import use_limit
    from ..engine.weights.store import use_folder

    settings = Settings()
    use_folder(settings.weights_folder)
    use_limit(settings.memory_gb)
    routing.configure(
        routing.HostOptions(settings.host, settings.worker_python, tiers.worker_python())
    )
    return routing.shared_host()


class EngineThread(QThread):
    """Runs one request at a time and keeps models loaded between them.

    Args:
        detect: replaces :func:`changescribe.engine.detect.pipeline.detect` in tests.
        host: returns the host that runs the systems; default is :func:`configured_host`.
        parent: owner on the main thread.

    Signals:
        started_run(ChangeRequest): a detection starts.
        progressed(Progress): at most several times a second.
        finished_run(ChangeResult): files are written; ``partial`` if cancelled.
        failed(ChangeScribeError): the run ended without a result.
        cancelled(): cancelled before any result was complete.
        captioned(list[MapCaption]): new captions.
        finished_captions(MapCaptions): all captions are written, or those before a cancel.
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
        parent: Optional[QObject] = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("ChangeScribe engine")
        # The 512 KB that macOS gives threads are too little for some operators.
        self.setStackSize(_STACK_BYTES)
        self._detect = detect or _detect
        self._host = host or configured_host
        self._queue: queue.Queue[Optional[_Job]] = queue.Queue()
        self._lock = threading.Lock()
        self._jobs: list[_Job] = []
        self._closing = False

    @property
    def busy(self) -> bool:
        """Whether a request is running or queued."""
        with self._lock:
            return bool(self._jobs)

    def submit(self, request: ChangeRequest) -> None:
        """Queue a request and start the thread if needed."""
        self._enter(_Job(request, self._detected))

    def submit_captions(self, request: MapCaptionRequest) -> None:
        """Queue the captions of a finished run."""
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
        """Stop the running and queued requests after the current tile."""
        with self._lock:
            for job in self._jobs:
                job.cancelled.set()

    def drop(self) -> None:
        """Stop the running and queued requests, and write nothing of what they have finished."""
        self.cancel()
        with self._lock:
            for job in self._jobs:
                job.dropped.set()

    def shutdown(self, timeout_ms: int = 20_000) -> bool:
        """Cancel everything and wait for the thread; return whether it has ended.

        If not, it is kept alive without signals until it does.
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
        """Handle requests until :meth:`shutdown`; runs in the thread."""
        while True:
            job = self._queue.get()
            if job is None:
                return
            signal, payload = self._outcome(job)
            # Before the signal, so that receivers find the thread idle.
            with self._lock:
                self._jobs.remove(job)
            self._emit(signal, *payload)

    def _outcome(self, job: _Job) -> Outcome:
        """Handle a job; return the signal that reports its end, with arguments."""
        if job.cancelled.is_set():
            return self.cancelled, ()
        try:
            return job.work(job)
        except CancelledError:
            return self.cancelled, ()
        except BaseException as error:  # noqa: BLE001 - nothing may escape a thread's run()
            return self.failed, (as_change_scribe_error(error),)

    def _detected(self, job: _Job) -> Outcome:
        def report(progress: Progress) -> None:
            if job.dropped.is_set() and progress.stage is not Stage.DONE:
                raise CancelledError
            self._emit(self.progressed, progress)

        self._emit(self.started_run, job.request)
        result = self._detect(
            job.request,
            self._host(),
            progress=report,
            cancelled=job.cancelled.is_set,
        )
        return self.finished_run, (result,)

    def _described(self, job: _Job) -> Outcome:
        """Write captions and emit them in batches."""
        waiting: list[MapCaption] = []
        last = 0.0

        def add(caption: MapCaption) -> None:
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
                captioned=add,
            )
        finally:
            if waiting:
                self._emit(self.captioned, waiting)
        return self.finished_captions, (captions,)

    def _emit(self, signal: Any, *payload: object) -> None:
        # After shutdown() the receivers may be deleted.
        if not self._closing:
            signal.emit(*payload)
