# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host runs which system, and the one service that the callers of a process share.

Compact systems (onnxruntime) run in this process. Full ones (PyTorch) run in a
worker process unless the user chooses otherwise: in QGIS's process their
imports freeze the window for a second, and one of them can end it, see
:func:`block_triton`.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from .. import systems
from ..errors import DependencyError
from .base import Host, InProcessHost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from ..request import CancelledCallback, Query
    from ..systems.base import SystemInfo, TilePrediction
    from .worker_host import WorkerHost

AUTO = "auto"
WORKER = "worker"
IN_PROCESS = "in-process"
#: What ``HostOptions.mode`` may be.
MODES = (AUTO, WORKER, IN_PROCESS)


@dataclass(frozen=True)
class HostOptions:
    """Where systems run.

    Attributes:
        mode: ``"auto"``: PyTorch systems in a worker process, the others in this one;
            ``"worker"`` and ``"in-process"``: all of them there.
        python: the worker's Python program; empty looks for one, see
            :func:`.worker_process.find_python`.
        installed: Python of the environment that the plugin has installed, tried where nothing
            else was named; may be empty.
    """

    mode: str = AUTO
    python: str = ""
    installed: str = ""


def block_triton() -> None:
    """Keep triton, a compiler that torchvision imports, out of this process.

    Its LLVM library collides with the one that Mesa's OpenGL has loaded into QGIS on Linux: the
    import is a segmentation fault that takes QGIS and the unsaved project along. A module that
    is None in ``sys.modules`` cannot be imported, and what would use it here does without.
    The block stays, also for other plugins: it is better than a crash.

    Raises:
        DependencyError: triton is loaded already, so that nothing can be said of what follows.
    """
    if sys.modules.get("triton") is not None:
        raise DependencyError(
            "PyTorch cannot be used in this process: something else has loaded triton into it.",
            "Run the system in a worker process, or restart QGIS without the other plugin.",
        )
    sys.modules["triton"] = None


class RoutingHost(Host):
    """Gives each system to the host that suits it. The choice is made when a run loads it.

    There is a worker for each Python that was named. That of a former one goes on with what was
    loaded there, and ends when all of that has been loaded elsewhere and no call is in it.
    """

    def __init__(self, options: Optional[HostOptions] = None) -> None:
        self._options = options or HostOptions()
        self._in_process = InProcessHost()
        self._worker: Optional[WorkerHost] = None
        self._former: list[WorkerHost] = []
        self._routes: dict[str, Host] = {}
        #: The host of every call that is under way.
        self._busy: list[Host] = []
        self._lock = threading.Lock()

    def configure(self, options: HostOptions) -> None:
        """Take other options; they hold from the next load on."""
        with self._lock:
            self._options = options

    def info(self, system: str) -> SystemInfo:
        """Describe a system without loading it; never imports torch."""
        return systems.create(system).info

    def load(
        self, system: str, device: str = "auto", cancelled: Optional[CancelledCallback] = None
    ) -> str:
        """Load a system's weights where it is to run; return the device used, and why."""
        full = self.info(system).tier == "full"
        with self._lock:
            mode = self._options.mode
            if mode == WORKER or (mode == AUTO and full):
                self._routes[system] = self._worker_host()
            else:
                if full:
                    block_triton()
                self._routes[system] = self._in_process
        with self._used(system) as host:
            return host.load(system, device, cancelled)

    def _worker_host(self) -> WorkerHost:
        """Return the worker's host; another one where the options name another Python."""
        from .worker_host import WorkerHost
        from .worker_process import find_python

        options = self._options
        python = find_python(options.python, options.installed)
        if self._worker is not None and self._worker.python != python:
            self._former.append(self._worker)
            self._worker = None
        if self._worker is None:
            self._worker = WorkerHost(python)
        return self._worker

    @contextlib.contextmanager
    def _used(self, system: str) -> Iterator[Host]:
        """Yield the host of a system; it is not closed meanwhile. Close those of no use after."""
        with self._lock:
            host = self._routes.get(system, self._in_process)
            self._busy.append(host)
        try:
            yield host
        finally:
            with self._lock:
                self._busy.remove(host)
                needed = {*self._routes.values(), *self._busy}
                idle = [worker for worker in self._former if worker not in needed]
                self._former = [worker for worker in self._former if worker in needed]
            for worker in idle:
                worker.close()

    def notes(
        self,
        system: str,
        queries: Sequence[Query],
        cancelled: Optional[CancelledCallback] = None,
    ) -> tuple[str, ...]:
        """Return a loaded system's warnings about the queries."""
        with self._used(system) as host:
            return host.notes(system, queries, cancelled)

    def predict(
        self,
        system: str,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        cancelled: Optional[CancelledCallback] = None,
    ) -> TilePrediction:
        """Score a batch of tile pairs."""
        with self._used(system) as host:
            return host.predict(system, before, after, queries, cancelled)

    def describe(
        self,
        system: str,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        regions: np.ndarray,
        cancelled: Optional[CancelledCallback] = None,
    ) -> TilePrediction:
        """Score a batch and write sentences about it."""
        with self._used(system) as host:
            return host.describe(system, before, after, queries, regions, cancelled)

    def close(self) -> None:
        """Free all weights and end the workers."""
        with self._lock:
            workers = [*self._former, *([] if self._worker is None else [self._worker])]
            self._worker, self._former = None, []
            self._routes.clear()
        for worker in workers:
            worker.close()
        self._in_process.close()


_options = HostOptions()
_shared: Optional[RoutingHost] = None
_shared_lock = threading.Lock()


def configure(options: HostOptions) -> None:
    """Say where systems run in this process; holds from the next run on."""
    global _options  # noqa: PLW0603 - one service per process is the point
    with _shared_lock:
        _options = options
        if _shared is not None:
            _shared.configure(options)


def shared_host() -> Host:
    """Return the host that the dock and the Processing algorithms of a process share."""
    global _shared  # noqa: PLW0603
    with _shared_lock:
        if _shared is None:
            _shared = RoutingHost(_options)
        return _shared


def close_shared_host() -> None:
    """Free the weights of the shared host; the next :func:`shared_host` starts anew."""
    global _shared
    with _shared_lock:
        host, _shared = _shared, None
    if host is not None:
        host.close()
