# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps one worker process: starts it on demand, and again after it died."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

from ..errors import CancelledError, ChangeScribeError
from .texts import HostsTexts
from .worker_link import PROTOCOL, Block
from .worker_process import WorkerEnded, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..request import CancelledCallback

_POLL_S = 0.1


@dataclass(frozen=True)
class Limits:
    """Seconds that the worker process is given; a run can be cancelled at any time.

    Attributes:
        start: to start and import numpy, from a slow disk and past a virus scanner.
        load: to read a model of some gigabytes from a slow disk.
        predict: for a batch; a large system on a CPU takes minutes.
        cancel: for the current batch to finish after the user has cancelled.
        stop: to exit by itself.
    """

    start: float = 120.0
    load: float = 1800.0
    predict: float = 3600.0
    cancel: float = 10.0
    stop: float = 2.0


@dataclass
class Session:
    """The life of one process; ``loaded`` has the device requested for each system loaded there."""

    process: WorkerProcess
    limits: Limits
    loaded: dict[str, str] = field(default_factory=dict)
    _block: Optional[Block] = None

    def block(self, size: int) -> Block:
        """Return shared memory of at least ``size`` bytes that the process has attached."""
        if self._block is None or self._block.size < size:
            old, self._block = self._block, None
            if old is not None:
                old.close()
            block = Block.create(size)
            try:
                self.process.call("attach", self.limits.start, path=block.path, size=size)
            finally:
                block.hide()
            self._block = block
        return self._block

    def end(self, seconds: float) -> None:
        """End the process, see :meth:`WorkerProcess.end`, and free the memory."""
        self.process.end(seconds)
        if self._block is not None:
            self._block.close()


class WorkerService:
    """Hands out the worker process to one thread at a time."""

    def __init__(self, python: str, limits: Limits) -> None:
        self.python = python
        self.limits = limits
        self._session: Optional[Session] = None
        self._turns = threading.Lock()
        self._state = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def turn(self, cancelled: Optional[CancelledCallback]) -> Iterator[None]:
        """Wait until no other thread uses the process, and keep others out.

        Raises:
            CancelledError: ``cancelled`` returned True in the meantime.
        """
        while not self._turns.acquire(timeout=_POLL_S):
            if cancelled is not None and cancelled():
                raise CancelledError
        try:
            yield
        finally:
            self._turns.release()

    @contextlib.contextmanager
    def explained(self, when: str) -> Iterator[None]:
        """Turn :class:`WorkerEnded` into an error for the user."""
        try:
            yield
        except WorkerEnded as death:
            if self._closed:
                raise CancelledError from death
            raise ChangeScribeError(
                HostsTexts.worker_ended(when=when, how=death.how), details=death.log
            ) from death

    def session(
        self, cancelled: Optional[CancelledCallback], *, replace_dead: bool = True
    ) -> Session:
        """Return the running process, after starting one if necessary.

        With ``replace_dead``, a process that died since its last call is replaced silently; else
        that is an error once, and the next call starts another one.

        Raises:
            WorkerEnded: it died, unless ``replace_dead``.
            CancelledError: cancelled, or the service is closed.
            ChangeScribeError: the process does not start.
        """
        with self._state:
            if self._closed:
                raise CancelledError
            dead = self._session
            if dead is not None and dead.process.alive:
                return dead
            if dead is not None and not replace_dead:
                dead.process.check()
            session = Session(WorkerProcess(self.python), self.limits)
            self._session = session
        if dead is not None:
            dead.end(0)
        try:
            self._greet(session.process, cancelled)
        except ChangeScribeError:
            session.end(0)
            raise
        return session

    def _greet(self, process: WorkerProcess, cancelled: Optional[CancelledCallback]) -> None:
        """Wait for the first message of a new process and check its protocol."""
        try:
            hello = process.answer(self.limits.start, cancelled)
        except WorkerEnded as death:
            raise ChangeScribeError(
                HostsTexts.ended_at_start(how=death.how, python=self.python), details=death.log
            ) from death
        if hello.get("protocol") != PROTOCOL:
            raise ChangeScribeError(HostsTexts.other_version(), details=str(hello))

    def close(self) -> None:
        """End the process, also while another thread uses it; final. Takes a few seconds."""
        with self._state:
            self._closed = True
            session, self._session = self._session, None
        if session is not None:
            session.end(self.limits.stop)
