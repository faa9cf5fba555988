# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs systems in a worker process, and starts it again where it dies."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

from .. import systems
from ..errors import CancelledError, ChangeScribeError
from ..systems.base import TilePrediction
from .base import Host
from .worker_link import MEMORY_HINT, PROTOCOL, Block, Shape
from .worker_process import WorkerEnded, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from ..request import CancelledCallback, Query
    from ..systems.base import SystemInfo

_POLL_S = 0.1


@dataclass(frozen=True)
class Limits:
    """Seconds that the worker process is given; a run can be cancelled at any time.

    Attributes:
        start: to start and import numpy, from a slow disk and past a virus scanner.
        load: to read a model of some gigabytes from a slow disk.
        predict: for a batch; a large system on a CPU takes minutes.
        cancel: for the batch in work to end by itself after the user has cancelled.
        stop: to end by itself.
    """

    start: float = 120.0
    load: float = 1800.0
    predict: float = 3600.0
    cancel: float = 10.0
    stop: float = 2.0


@dataclass
class _Session:
    """A process, what it has loaded (system -> device, in words), and the shared memory."""

    process: WorkerProcess
    loaded: dict[str, str]
    block: Optional[Block] = None

    def end(self, seconds: float) -> None:
        self.process.end(seconds)
        if self.block is not None:
            self.block.close()


class WorkerHost(Host):
    """Runs systems in one worker process, which is started when it is first needed.

    A process that dies is started again, and the batch that it had in work is repeated once.

    Args:
        python: the worker's Python program.
        limits: on what may take how long.
    """

    def __init__(self, python: str, limits: Optional[Limits] = None) -> None:
        self.python = python
        self._limits = limits or Limits()
        #: What was asked for, system -> device, so that a new process can load the same.
        self._wanted: dict[str, str] = {}
        self._session: Optional[_Session] = None
        self._turns = threading.Lock()
        self._state = threading.Lock()
        self._closed = False

    def info(self, system: str) -> SystemInfo:
        """Describe a system without loading it, and without the worker."""
        return systems.create(system).info

    def load(
        self, system: str, device: str = "auto", cancelled: Optional[CancelledCallback] = None
    ) -> str:
        """Load a system's weights in the worker; return the device used, and why."""
        with self._turn(cancelled), self._explained("while it loaded the model"):
            self._wanted[system] = device
            return self._load(self._running(cancelled), system, cancelled)

    def notes(
        self,
        system: str,
        queries: Sequence[Query],
        cancelled: Optional[CancelledCallback] = None,
    ) -> tuple[str, ...]:
        """Return a loaded system's warnings about the queries."""
        with self._turn(cancelled), self._explained("while it read the prompt"):
            session = self._with_system(system, cancelled)
            answer = session.process.call(
                "notes",
                self._limits.load,
                cancelled,
                self._limits.cancel,
                system=system,
                queries=_rows(queries),
            )
            return tuple(answer["notes"])

    def predict(
        self,
        system: str,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        cancelled: Optional[CancelledCallback] = None,
    ) -> TilePrediction:
        """Score a batch of tile pairs; once more where the process dies over it.

        Raises:
            CancelledError: the batch did not end soon after the run was cancelled.
            ChangeScribeError: the process died twice, or did not answer.
        """
        return self._answer(system, before, after, queries, None, cancelled)

    def describe(
        self,
        system: str,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        regions: np.ndarray,
        cancelled: Optional[CancelledCallback] = None,
    ) -> TilePrediction:
        """Score a batch and write sentences about it, as :meth:`predict` does."""
        return self._answer(system, before, after, queries, regions, cancelled)

    def _answer(
        self,
        system: str,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        regions: Optional[np.ndarray],
        cancelled: Optional[CancelledCallback],
    ) -> TilePrediction:
        """Ask the process, and another one where it dies; without regions for scores alone."""
        with self._turn(cancelled):
            try:
                return self._ask(system, before, after, queries, regions, cancelled)
            except WorkerEnded as death:
                how = death.how
            with self._explained("twice over the same tile"):
                prediction = self._ask(system, before, after, queries, regions, cancelled)
            tiles = "tile was" if len(before) == 1 else "tiles in work were"
            note = (
                f"The worker process ended unexpectedly ({how}) and was started again; the {tiles} "
                "repeated."
            )
            return replace(prediction, notes=(*prediction.notes, note))

    def close(self) -> None:
        """End the process, also while it works for another thread. The host cannot be used again.

        Takes a few seconds at most.
        """
        with self._state:
            self._closed = True
            session, self._session = self._session, None
        if session is not None:
            session.end(self._limits.stop)

    @contextlib.contextmanager
    def _turn(self, cancelled: Optional[CancelledCallback]) -> Iterator[None]:
        """Wait until no other thread uses the process."""
        while not self._turns.acquire(timeout=_POLL_S):
            if cancelled is not None and cancelled():
                raise CancelledError
        try:
            yield
        finally:
            self._turns.release()

    @contextlib.contextmanager
    def _explained(self, when: str) -> Iterator[None]:
        """Turn the end of the process into an error for the user."""
        try:
            yield
        except WorkerEnded as death:
            if self._closed:
                raise CancelledError from death
            raise ChangeScribeError(
                f"The worker process ended unexpectedly {when} ({death.how}).",
                f"There may be too little memory. {MEMORY_HINT}",
                death.log,
            ) from death

    def _running(self, cancelled: Optional[CancelledCallback], in_run: bool = False) -> _Session:
        """Return the process, started where there is none.

        Args:
            cancelled: asked while it starts.
            in_run: one that died since the last call is told, not replaced without a word.

        Raises:
            WorkerEnded: it died in mid-run; the next call starts another one.
        """
        with self._state:
            if self._closed:
                raise CancelledError
            session = self._session
            if session is not None and session.process.alive:
                return session
            if session is not None and in_run:
                session.process.check()
            dead, session = session, _Session(WorkerProcess(self.python), {})
            self._session = session
        if dead is not None:
            dead.end(0)
        try:
            self._greet(session, cancelled)
        except ChangeScribeError:
            session.end(0)
            raise
        return session

    def _greet(self, session: _Session, cancelled: Optional[CancelledCallback]) -> None:
        """Wait for a new process to say who it is."""
        try:
            hello = session.process.answer(self._limits.start, cancelled)
        except WorkerEnded as death:
            raise ChangeScribeError(
                f"The worker process ended as soon as it was started ({death.how}).",
                f"Is {self.python} a Python program with PyTorch?",
                death.log,
            ) from death
        if hello.get("protocol") != PROTOCOL:
            raise ChangeScribeError(
                "The worker process belongs to another version of ChangeScribe.",
                "Restart QGIS, or install the plugin again.",
                str(hello),
            )

    def _with_system(
        self, system: str, cancelled: Optional[CancelledCallback], in_run: bool = False
    ) -> _Session:
        """Return the process with a system loaded: a new process has none."""
        session = self._running(cancelled, in_run)
        if system not in session.loaded:
            self._load(session, system, cancelled)
        return session

    def _load(self, session: _Session, system: str, cancelled: Optional[CancelledCallback]) -> str:
        answer = session.process.call(
            "load",
            self._limits.load,
            cancelled,
            self._limits.cancel,
            system=system,
            device=self._wanted.get(system, "auto"),
            entry=systems.entry(system),
        )
        session.loaded[system] = answer["device"]
        return answer["device"]

    def _ask(
        self,
        system: str,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        regions: Optional[np.ndarray],
        cancelled: Optional[CancelledCallback],
    ) -> TilePrediction:
        """Send a batch through the shared memory, and take the answer out of it."""
        session = self._with_system(system, cancelled, in_run=True)
        shape = Shape(*before.shape[:3], len(queries))
        block = self._block(session, shape.size)
        scores, *tiles, classes = block.views(shape)
        for target, source in zip(tiles, (before, after, regions)):
            if source is not None:
                target[:] = source
        answer = session.process.call(
            "predict" if regions is None else "describe",
            self._limits.predict,
            cancelled,
            self._limits.cancel,
            system=system,
            shape=[shape.batch, shape.height, shape.width, shape.queries],
            queries=_rows(queries),
        )
        dates = [part.copy() if known else None for part, known in zip(classes, answer["known"])]
        return TilePrediction(
            scores.copy(), dates[0], dates[1], tuple(answer["notes"]), tuple(answer["captions"])
        )

    def _block(self, session: _Session, size: int) -> Block:
        """Return shared memory of that size at least, known to the process."""
        if session.block is None or session.block.size < size:
            old, session.block = session.block, None
            if old is not None:
                old.close()
            block = Block.create(size)
            try:
                session.process.call("attach", self._limits.start, path=block.path, size=size)
            finally:
                block.hide()
            session.block = block
        return session.block


def _rows(queries: Sequence[Query]) -> list[tuple[str, str, tuple[str, ...], bool]]:
    return [(query.object, query.direction, query.competing, query.coarse) for query in queries]
