# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs in the background, and the buttons that start, show and cancel them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Callable, Optional

from qgis.PyQt.QtCore import QThread, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QWidget,
)

from .errors import as_change_scribe_error
from .translation import tr

#: Takes a line for the user and the share that is done, in [0, 1].
Report = Callable[[str, float], None]
Job = Callable[[Report, Callable[[], bool]], object]

_STEPS = 1000


class JobThread(QThread):
    """Runs a job; the outcome is a signal, also for errors."""

    stepped = pyqtSignal(str, float)
    #: None on success, else the ChangeScribeError.
    ended = pyqtSignal(object)

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._cancelled = False

    def cancel(self) -> None:
        """Cancel within a fraction of a second."""
        self._cancelled = True

    def run(self) -> None:
        """Run the job; called by Qt in the thread."""
        error = None
        try:
            self._job(self.stepped.emit, lambda: self._cancelled)
        except Exception as problem:  # noqa: BLE001 - a thread must not let anything out
            error = as_change_scribe_error(problem)
        self.ended.emit(error)


class JobButtons(QStackedWidget):
    """A row of buttons; while a job runs, a progress bar with a Cancel button.

    Args:
        name: start of the object names of bar and button.
        buttons: in the row.
        cancel: text of the Cancel button.

    Signals:
        text_changed(str): what the job does now, one line.
        ended(object): None on success, else the ChangeScribeError.
    """

    text_changed = pyqtSignal(str)
    ended = pyqtSignal(object)

    def __init__(self, name: str, buttons: Sequence[QPushButton], cancel: str) -> None:
        super().__init__()
        self._thread: Optional[JobThread] = None
        self._folder: Optional[tempfile.TemporaryDirectory[str]] = None
        self._bar = QProgressBar()
        self._bar.setObjectName(f"{name}Progress")
        self._bar.setRange(0, _STEPS)
        self._bar.setTextVisible(False)
        self.cancel_button = QPushButton(cancel)
        self.cancel_button.setObjectName(f"{name}Cancel")
        self.cancel_button.clicked.connect(self.cancel)
        for widgets in (buttons, (self._bar, self.cancel_button)):
            page = QWidget()
            row = QHBoxLayout(page)
            row.setContentsMargins(0, 0, 0, 0)
            for widget in widgets:
                row.addWidget(widget, int(widget is self._bar))
            if widgets is buttons:
                row.addStretch(1)
            self.addWidget(page)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)

    @property
    def is_busy(self) -> bool:
        """Whether a job is running."""
        return self._thread is not None

    def temporary_folder(self) -> str:
        """Return a new folder that is deleted when the next job ends."""
        self._folder = tempfile.TemporaryDirectory(prefix="changescribe-")
        return self._folder.name

    def start(self, job: Job) -> None:
        """Run a job in the background; none may be running."""
        self._thread = JobThread(job)
        self._thread.stepped.connect(self._on_step)
        self._thread.ended.connect(self._on_ended)
        self._bar.setValue(0)
        self.cancel_button.setEnabled(True)
        self.setCurrentIndex(1)
        self.text_changed.emit(tr("Starting\N{HORIZONTAL ELLIPSIS}"))
        self._thread.start()

    def cancel(self) -> None:
        """Cancel the running job, if any."""
        if self._thread is not None:
            self.cancel_button.setEnabled(False)
            self.text_changed.emit(tr("Stopping\N{HORIZONTAL ELLIPSIS}"))
            self._thread.cancel()

    def shut_down(self) -> None:
        """Cancel and wait; call it before the widget is deleted."""
        if self._thread is not None:
            self._thread.ended.disconnect(self._on_ended)
            self._thread.cancel()
            self._forget_thread()

    def _on_step(self, text: str, fraction: float) -> None:
        if self.cancel_button.isEnabled():
            self.text_changed.emit(text)
        self._bar.setValue(round(fraction * _STEPS))

    def _on_ended(self, error: object) -> None:
        self._forget_thread()
        self.setCurrentIndex(0)
        self.ended.emit(error)

    def _forget_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.wait()
            thread.deleteLater()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
