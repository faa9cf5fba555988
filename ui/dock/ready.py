# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a pair is remembered, found out in the background: files may be on slow disks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Optional

from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..job import JobThread

if TYPE_CHECKING:
    from ...engine.request import ChangeRequest


class ReadyCheck(QObject):
    """Tells whether another question about a pair needs no pixel of it.

    Signals:
        answered(): :attr:`ready` is known for the last request.
    """

    answered = pyqtSignal()

    def __init__(self, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._asked: Optional[ChangeRequest] = None
        self._next: Optional[ChangeRequest] = None
        self._thread: Optional[JobThread] = None
        self._found = False
        #: Whether the pair of the last request is remembered; False until it is known.
        self.ready = False

    def ask(self, request: Optional[ChangeRequest]) -> None:
        """Ask about a request, whose prompt does not matter; None is not remembered."""
        if request is not None:
            request = replace(request, prompt="", output="", threshold=0.5, min_area=None)
        if request == self._asked:
            return
        self._asked = self._next = request
        self.ready = False
        self._start()

    def _start(self) -> None:
        if self._thread is None and self._next is not None:
            request, self._next = self._next, None

            def look(_report: object, _cancelled: object) -> None:
                from ...engine.detect.remembering import is_remembered

                self._found = is_remembered(request)

            self._found = False
            self._thread = JobThread(look)
            self._thread.ended.connect(self._ended)
            self._thread.start()

    def _ended(self, _error: object) -> None:
        self._forget_thread()
        if self._next is not None:
            self._start()
        elif self._asked is not None and self.ready != self._found:
            self.ready = self._found
            self.answered.emit()

    def _forget_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.wait()
            thread.deleteLater()

    def shut_down(self) -> None:
        """Wait for the thread; call it before the object is deleted."""
        self._asked = self._next = None
        if self._thread is not None:
            self._thread.ended.disconnect(self._ended)
            self._forget_thread()
