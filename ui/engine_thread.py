# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread that owns the engine: requests in through a queue, signals out.

The thread never touches a layer, a widget or the project: a request holds paths
and numbers only, and the answer is a :class:`ChangeResult` that the main thread
turns into layers.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable, Optional

from qgis.PyQt.QtCore import QThread, pyqtSignal

from ..engine.errors import CancelledError
from . import dependencies
from .errors import as_change_scribe_error
from .settings import Settings

if TYPE_CHECKING:
    from ..engine.host import Host
    from ..engine.request import ChangeRequest, ChangeResult

    Detect = Callable[..., ChangeResult]

#: Threads that did not end in time. Deleting a running QThread aborts QGIS, so they are kept.
_RUNAWAYS: list[EngineThread] = []
_STACK_BYTES = 16 * 1024 * 1024


@dataclass
class _Job:
    request: ChangeRequest
    cancelled: threading.Event = field(default_factory=threading.Event)


def _detect(request: ChangeRequest, host: Host, **callbacks: object) -> ChangeResult:
    # Imported in the thread: numpy and GDAL are not loaded until the first run.
    from ..engine import pipeline

    return pipeline.detect(request, host, **callbacks)


def configured_host() -> Host:
    """Return the host that the dock and Processing share, set up as in the settings.

    May be called from any thread, before each run.
    """
    from ..engine import routing
    from ..engine.weights.store import use_folder

    settings = Settings()
    use_folder(settings.weights_folder)
    routing.configure(
        routing.HostOptions(settings.host, settings.worker_python, dependencies.worker_python())
    )
    return routing.shared_host()


class EngineThread(QThread):
    """Runs one request at a time and keeps the models loaded between them.

    Args:
        detect: stands in for :func:`changescribe.engine.pipeline.detect` in tests.
        host: returns the host that runs the systems; default is the process's shared one.
        parent: owner on the main thread.

    Signals:
        started_run(ChangeRequest): work on a request begins.
        progressed(Progress): several times a second at most.
        finished_run(ChangeResult): files are written; ``partial`` where it was cancelled.
        failed(ChangeScribeError): the run ended without a result.
        cancelled(): cancelled before anything was finished that could be kept.
    """

    started_run = pyqtSignal(object)
    progressed = pyqtSignal(object)
    finished_run = pyqtSignal(object)
    failed = pyqtSignal(object)
    cancelled = pyqtSignal()

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
        if self._closing:
            raise RuntimeError("The engine thread has been shut down.")
        job = _Job(request)
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
        self._emit(self.started_run, job.request)
        try:
            result = self._detect(
                job.request,
                self._host(),
                progress=lambda progress: self._emit(self.progressed, progress),
                cancelled=job.cancelled.is_set,
            )
        except CancelledError:
            return self.cancelled, ()
        except BaseException as error:  # noqa: BLE001 - nothing may escape a thread's run()
            return self.failed, (as_change_scribe_error(error),)
        return self.finished_run, (result,)

    def _emit(self, signal: object, *payload: object) -> None:
        # After shutdown() the receivers may be gone.
        if not self._closing:
            signal.emit(*payload)
