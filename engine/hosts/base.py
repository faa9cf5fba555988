# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts: where a system's ``predict`` runs.

The pipeline, GDAL and all files stay in the calling process; only batches of
tiles go through a host. :class:`InProcessHost` runs the system in this process,
which is right for onnxruntime: it loads in 0.1 s and does not disturb QGIS.
:class:`~.worker_host.WorkerHost` runs it in a process of its own, and
:mod:`.routing` chooses between them.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Optional

from .. import systems

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ..request import CancelledCallback, Query
    from ..systems.base import ChangeSystem, SystemInfo, TilePrediction


class Host(ABC):
    """Runs systems, and keeps their weights loaded between requests.

    All methods may be called from several threads. ``cancelled`` is asked while
    a host waits for something that it can leave: True ends the wait with a
    :class:`CancelledError`.
    """

    @abstractmethod
    def info(self, system: str) -> SystemInfo:
        """Describe a system without loading it."""

    @abstractmethod
    def load(
        self, system: str, device: str = "auto", cancelled: Optional[CancelledCallback] = None
    ) -> str:
        """Load a system's weights where they are not; return the device used, and why."""

    @abstractmethod
    def notes(
        self,
        system: str,
        queries: Sequence[Query],
        cancelled: Optional[CancelledCallback] = None,
    ) -> tuple[str, ...]:
        """Return a loaded system's warnings about the queries."""

    @abstractmethod
    def predict(
        self,
        system: str,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        cancelled: Optional[CancelledCallback] = None,
    ) -> TilePrediction:
        """Score a batch of tile pairs; see :meth:`ChangeSystem.predict`."""

    @abstractmethod
    def describe(
        self,
        system: str,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        regions: np.ndarray,
        cancelled: Optional[CancelledCallback] = None,
    ) -> TilePrediction:
        """Score a batch and write sentences about it; see :meth:`ChangeSystem.describe`."""

    @abstractmethod
    def close(self) -> None:
        """Free all weights."""


class InProcessHost(Host):
    """Runs systems in this process. Nothing here can be left before it is done."""

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

    def load(
        self, system: str, device: str = "auto", cancelled: Optional[CancelledCallback] = None
    ) -> str:
        """Load a system's weights where they are not; return the device used, and why."""
        with self._lock:
            loaded = self._system(system)
            loaded.load(device)
            return loaded.device

    def notes(
        self,
        system: str,
        queries: Sequence[Query],
        cancelled: Optional[CancelledCallback] = None,
    ) -> tuple[str, ...]:
        """Return a loaded system's warnings about the queries."""
        with self._lock:
            return self._system(system).notes(queries)

    def predict(
        self,
        system: str,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        cancelled: Optional[CancelledCallback] = None,
    ) -> TilePrediction:
        """Score a batch of tile pairs."""
        with self._lock:
            return self._system(system).predict(before, after, queries)

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
        with self._lock:
            return self._system(system).describe(before, after, queries, regions)

    def close(self) -> None:
        """Free all weights."""
        with self._lock:
            for system in self._systems.values():
                system.unload()
            self._systems.clear()
