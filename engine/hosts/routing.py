# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host runs which system, and the host that all callers in a process share.

Compact systems (onnxruntime) run in this process. Full ones (PyTorch) run in a
worker process unless the user chooses otherwise: inside QGIS their imports freeze
the window for a second, and one of them can crash it, see :func:`block_triton`.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, cast

from ..errors import DependencyError, WeightsError
from ..weights.store import WeightsStore
from .base import Host, InProcessHost
from .texts import HostsTexts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from ..request import CancelledCallback
    from ..systems.base import OpenedSystem, SystemInfo
    from .worker_host import WorkerHost

AUTO = "auto"
WORKER = "worker"
IN_PROCESS = "in-process"
#: Values of ``HostOptions.mode``.
MODES = (AUTO, WORKER, IN_PROCESS)


@dataclass(frozen=True)
class HostOptions:
    """Where systems run.

    Attributes:
        mode: ``"auto"``: PyTorch systems in a worker process, the others in this one;
            ``"worker"`` and ``"in-process"``: all systems there.
        python: the worker's Python program; empty: see :func:`.worker_process.find_python`.
        installed: Python of the environment that the plugin has installed; may be empty.
    """

    mode: str = AUTO
    python: str = ""
    installed: str = ""


def block_triton() -> None:
    """Keep triton, a compiler that torchvision imports, out of this process.

    Its LLVM library collides with the one that Mesa's OpenGL has loaded into QGIS on Linux: the
    import is a segmentation fault that kills QGIS with the unsaved project. A module that is None
    in ``sys.modules`` cannot be imported, and torchvision works without it here. The block also
    holds for other plugins, which is better than a crash.

    Raises:
        DependencyError: triton is loaded already.
    """
    if sys.modules.get("triton") is not None:
        raise DependencyError(HostsTexts.triton_loaded())
    cast("dict[str, Optional[ModuleType]]", sys.modules)["triton"] = None


class RoutingHost(Host):
    """Opens each system in the host that suits it.

    When another Python is chosen for the worker, open systems stay in the former worker, which is
    closed with the last of them.
    """

    def __init__(self, options: Optional[HostOptions] = None) -> None:
        self._options = options or HostOptions()
        self._in_process = InProcessHost()
        self._worker: Optional[WorkerHost] = None
        self._former: list[WorkerHost] = []
        #: The host of every open system.
        self._busy: list[Host] = []
        self._lock = threading.Lock()

    def configure(self, options: HostOptions) -> None:
        """Set other options for systems that are opened from now on."""
        with self._lock:
            self._options = options

    def remembers(self, system: str) -> bool:
        """Tell whether a system runs in this process and its features can be kept."""
        info = self.info(system)
        mode = self._options.mode
        here = mode == IN_PROCESS or (mode == AUTO and info.tier != "full")
        return here and info.remembers

    @contextlib.contextmanager
    def open(
        self, system: str, device: str = "auto", cancelled: Optional[CancelledCallback] = None
    ) -> Iterator[OpenedSystem]:
        """Open a system; see the base class."""
        info = self.info(system)
        with self._lock:
            try:
                host = self._host_for(full=info.tier == "full")
            except DependencyError as error:
                raise _with_missing_weights(error, info) from error
            self._busy.append(host)
        try:
            self._close_former()
            with host.open(system, device, cancelled) as opened:
                yield opened
        finally:
            with self._lock:
                self._busy.remove(host)
            self._close_former()

    def _host_for(self, *, full: bool) -> Host:
        """Return the host for a system, whether of the full tier or not."""
        options = self._options
        if options.mode == IN_PROCESS or (options.mode == AUTO and not full):
            if full:
                block_triton()
            return self._in_process
        from .worker_host import WorkerHost
        from .worker_process import find_python

        python = find_python(options.python, options.installed, torch=full)
        if self._worker is not None and self._worker.python != python:
            self._former.append(self._worker)
            self._worker = None
        if self._worker is None:
            self._worker = WorkerHost(python)
        return self._worker

    def _close_former(self) -> None:
        """Close the former workers that have no open system."""
        with self._lock:
            idle = [worker for worker in self._former if worker not in self._busy]
            self._former = [worker for worker in self._former if worker in self._busy]
        for worker in idle:
            worker.close()

    def close(self) -> None:
        """Free all weights and end the workers."""
        with self._lock:
            workers = [*self._former, *([] if self._worker is None else [self._worker])]
            self._worker, self._former = None, []
        for worker in workers:
            worker.close()
        self._in_process.close()


def _with_missing_weights(error: DependencyError, info: SystemInfo) -> DependencyError:
    """Return the error, with the weights that the system lacks as well."""
    try:
        WeightsStore().require(info.name, info.weights)
    except WeightsError as weights:
        return DependencyError(
            HostsTexts.no_python_nor_weights(
                no_python=error.message,
                no_weights=weights.message,
                get_python=error.hint,
                get_weights=weights.hint,
            )
        )
    return error


_options = HostOptions()
_shared: Optional[RoutingHost] = None
_shared_lock = threading.Lock()


def configure(options: HostOptions) -> None:
    """Choose where systems of this process run, from the next run on."""
    global _options  # noqa: PLW0603 - one host per process
    with _shared_lock:
        _options = options
        if _shared is not None:
            _shared.configure(options)


def shared_host() -> Host:
    """Return the host that the dock and the Processing algorithms share."""
    global _shared  # noqa: PLW0603
    with _shared_lock:
        if _shared is None:
            _shared = RoutingHost(_options)
        return _shared


def close_shared_host() -> None:
    """Close the shared host; the next :func:`shared_host` is a new one."""
    global _shared
    with _shared_lock:
        host, _shared = _shared, None
    if host is not None:
        host.close()
