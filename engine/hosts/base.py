# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts: where systems run.

The pipeline, GDAL and all files stay in the calling process; only batches of tiles go through a
host. :class:`InProcessHost` suits onnxruntime, which loads in 0.1 s and does not disturb QGIS;
:class:`~.worker_host.WorkerHost` has a process of its own, and :mod:`.routing` chooses.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Optional

from .. import systems
from ..systems.base import OpenedSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..request import CancelledCallback
    from ..systems.base import ChangeSystem, Features, SystemInfo, TilePrediction


class Host(ABC):
    """Runs systems, and keeps their weights loaded. Methods may be called from any thread."""

    def info(self, system: str) -> SystemInfo:
        """Describe a system without loading it."""
        return systems.create(system).info

    def remembers(self, system: str) -> bool:
        """Tell whether a system that is opened here has :meth:`~..OpenedSystem.encode`."""
        return False

    @abstractmethod
    def open(
        self, system: str, device: str = "auto", cancelled: Optional[CancelledCallback] = None
    ) -> contextlib.AbstractContextManager[OpenedSystem]:
        """Open a system, to be used in a ``with`` block; load its weights if necessary.

        The weights stay loaded after the block.

        Args:
            system: its name.
            device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
            cancelled: called while the host waits for the system, in the block as well; True ends
                the wait with a :class:`CancelledError`, where the host can leave it.

        Raises:
            DependencyError: a package is missing.
            WeightsError: weights are missing or damaged.
        """

    @abstractmethod
    def close(self) -> None:
        """Free all weights."""


class InProcessHost(Host):
    """Runs systems in this process, one call at a time. A call cannot be cancelled."""

    def __init__(self) -> None:
        self._systems: dict[str, ChangeSystem] = {}
        self._lock = threading.RLock()

    def _system(self, name: str) -> ChangeSystem:
        with self._lock:
            if name not in self._systems:
                self._systems[name] = systems.create(name)
            return self._systems[name]

    def info(self, system: str) -> SystemInfo:
        """Describe a system without loading it."""
        return self._system(system).info

    def remembers(self, system: str) -> bool:
        """Tell whether the features of a system can be kept."""
        return self.info(system).remembers

    @contextlib.contextmanager
    def open(
        self, system: str, device: str = "auto", cancelled: Optional[CancelledCallback] = None
    ) -> Iterator[OpenedSystem]:
        """Open a system; see the base class."""
        with self._lock:
            opened = self._system(system)
            opened.load(device)
        yield _LockedSystem(opened, self._lock)

    def close(self) -> None:
        """Free all weights."""
        with self._lock:
            for system in self._systems.values():
                system.unload()
            self._systems.clear()


class _LockedSystem(OpenedSystem):
    """A system of this process, used by one thread at a time."""

    def __init__(self, system: ChangeSystem, lock: threading.RLock) -> None:
        self._system, self._lock = system, lock

    @property
    def info(self) -> SystemInfo:
        return self._system.info

    @property
    def device(self) -> str:
        return self._system.device

    def notes(self, *given: Any, **named: Any) -> tuple[str, ...]:
        with self._lock:
            return self._system.notes(*given, **named)

    def predict(self, *given: Any, **named: Any) -> TilePrediction:
        with self._lock:
            return self._system.predict(*given, **named)

    def encode(self, *given: Any, **named: Any) -> Features:
        with self._lock:
            return self._system.encode(*given, **named)

    def answer(self, *given: Any, **named: Any) -> TilePrediction:
        with self._lock:
            return self._system.answer(*given, **named)

    def describe(self, *given: Any, **named: Any) -> TilePrediction:
        with self._lock:
            return self._system.describe(*given, **named)
