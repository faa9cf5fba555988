# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs systems in a worker process."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional

from .. import systems
from ..request import NO_HINTS
from ..systems.base import OpenedSystem, TilePrediction
from .base import Host
from .texts import HostsTexts
from .worker_link import Shape, queries_to_message
from .worker_process import WorkerEnded
from .worker_service import Limits, WorkerService

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from ..request import CancelledCallback, Hints, Query
    from ..systems.base import SystemInfo
    from .worker_service import Session


class WorkerHost(Host):
    """Runs systems in one worker process, which is started when it is first needed.

    A process that dies is started again, and the batch that killed it is repeated once.
    """

    def __init__(self, python: str, limits: Optional[Limits] = None) -> None:
        self.python = python
        self.service = WorkerService(python, limits or Limits())

    @contextlib.contextmanager
    def open(
        self, system: str, device: str = "auto", cancelled: Optional[CancelledCallback] = None
    ) -> Iterator[OpenedSystem]:
        """Open a system; see the base class."""
        yield _WorkerSystem(self.service, systems.create(system).info, device, cancelled)

    def close(self) -> None:
        """End the process, also while it works for another thread. The host cannot be reused."""
        self.service.close()


class _WorkerSystem(OpenedSystem):
    """A system in the worker process.

    Raises:
        CancelledError: a call was cancelled and did not end soon.
        ChangeScribeError: the process died twice, or did not answer.
    """

    def __init__(
        self,
        service: WorkerService,
        info: SystemInfo,
        device: str,
        cancelled: Optional[CancelledCallback],
    ) -> None:
        self._service, self._info, self._cancelled = service, info, cancelled
        self._requested_device = device
        with service.turn(cancelled), service.explained(HostsTexts.while_loading()):
            self._device = self._load(service.session(cancelled))

    @property
    def info(self) -> SystemInfo:
        return self._info

    @property
    def device(self) -> str:
        return self._device

    def notes(self, queries: Sequence[Query], hints: Hints = NO_HINTS) -> tuple[str, ...]:
        service = self._service
        with service.turn(self._cancelled), service.explained(HostsTexts.while_reading()):
            session = self._session()
            answer = self._call(
                session, "notes", service.limits.load, message=queries_to_message(queries, hints)
            )
            return tuple(answer["notes"])

    def predict(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        return self._twice((before, after), queries, hints)

    def describe(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        regions: np.ndarray,
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        return self._twice((before, after, regions), queries, hints)

    def _twice(
        self, tiles: tuple[np.ndarray, ...], queries: Sequence[Query], hints: Hints
    ) -> TilePrediction:
        """Send a batch; if the process dies of it, send it to another process."""
        service = self._service
        with service.turn(self._cancelled):
            try:
                return self._send(tiles, queries, hints)
            except WorkerEnded as death:
                how = death.how
            with service.explained(HostsTexts.twice()):
                prediction = self._send(tiles, queries, hints)
        one = len(tiles[0]) == 1
        repeated = HostsTexts.tile_repeated() if one else HostsTexts.tiles_repeated()
        note = HostsTexts.worker_restarted(how=how, repeated=repeated)
        return replace(prediction, notes=(*prediction.notes, note))

    def _send(
        self, tiles: tuple[np.ndarray, ...], queries: Sequence[Query], hints: Hints
    ) -> TilePrediction:
        """Send a batch through the shared memory, and copy the answer out of it.

        ``tiles`` are before, after and, for sentences, the regions.
        """
        session = self._session(replace_dead=False)
        batch, height, width = tiles[0].shape[:3]
        shape = Shape(batch, height, width, len(queries))
        scores, *targets, classes = session.block(shape.size).views(shape)
        for target, source in zip(targets, tiles):
            target[:] = source
        answer = self._call(
            session,
            "predict",
            self._service.limits.predict,
            describe=len(tiles) == 3,
            message=queries_to_message(queries, hints),
            shape=[batch, height, width, len(queries)],
        )
        dates = [part.copy() if known else None for part, known in zip(classes, answer["known"])]
        return TilePrediction(
            scores.copy(), dates[0], dates[1], tuple(answer["notes"]), tuple(answer["captions"])
        )

    def _session(self, *, replace_dead: bool = True) -> Session:
        """Return the process with the system loaded: a new process has none."""
        session = self._service.session(self._cancelled, replace_dead=replace_dead)
        if session.loaded.get(self._info.name) != self._requested_device:
            self._load(session)
        return session

    def _load(self, session: Session) -> str:
        """Load the system, or what is new in its weights; return the device in use."""
        answer = self._call(
            session,
            "load",
            self._service.limits.load,
            device=self._requested_device,
            entry=systems.entry(self._info.name),
        )
        session.loaded[self._info.name] = self._requested_device
        return answer["device"]

    def _call(
        self, session: Session, name: str, seconds: float, **arguments: Any
    ) -> dict[str, Any]:
        return session.process.call(
            name,
            seconds,
            self._cancelled,
            self._service.limits.cancel,
            system=self._info.name,
            **arguments,
        )
