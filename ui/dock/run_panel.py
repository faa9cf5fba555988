# SPDX-License-Identifier: GPL-3.0-or-later
"""The button that starts a run, why it is disabled, and the progress of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ...engine.request import Stage
from ..translation import stage_text, tr
from ..widgets import hint_label, plain_tip
from .estimates import duration_text

if TYPE_CHECKING:
    from ...engine.request import Progress

_STEPS = 1000
#: Stages in which a cancelled run writes what is finished.
_WRITING = (Stage.RESAMPLING, Stage.OUTLINING, Stage.WRITING)


class RunPanel(QWidget):
    """Detect and Cancel buttons with the progress.

    Signals:
        detect(): the user starts a run.
        cancel(): the user cancels the run.
        drop(): the user does not want what is finished of the cancelled run either.
    """

    detect = pyqtSignal()
    cancel = pyqtSignal()
    drop = pyqtSignal()

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.detect_button = QPushButton(tr("&Detect changes"))
        self.detect_button.setObjectName("detectButton")
        self.detect_button.setMinimumHeight(34)
        font = self.detect_button.font()
        font.setBold(True)
        self.detect_button.setFont(font)
        self.detect_button.clicked.connect(self.detect)
        self.reason_label = hint_label(name="reasonLabel")
        self.progress_bar = QProgressBar()
        self.progress_bar.setObjectName("progressBar")
        self.progress_bar.setRange(0, _STEPS)
        self.progress_bar.setTextVisible(False)
        self.progress_bar.setMaximumHeight(10)
        self.progress_label = hint_label(name="progressLabel")
        self.cancel_button = QPushButton(tr("Canc&el"))
        self.cancel_button.setObjectName("cancelButton")
        self.cancel_button.clicked.connect(self._cancel_pressed)
        self._stopping = self._captioning = self._writing = False
        row = QHBoxLayout()
        row.addWidget(self.progress_label, 1)
        row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.detect_button)
        layout.addWidget(self.reason_label)
        layout.addWidget(self.progress_bar)
        layout.addLayout(row)
        self.show_idle()

    def set_reason(self, reason: str) -> None:
        """Enable the button, or disable it and show why below it."""
        self.detect_button.setEnabled(not reason)
        self.detect_button.setToolTip(plain_tip(reason))
        self.reason_label.setText(reason)
        self.reason_label.setVisible(bool(reason))

    def show_idle(self) -> None:
        """Hide the progress."""
        self._stopping = self._captioning = self._writing = False
        for widget in (self.progress_bar, self.progress_label, self.cancel_button):
            widget.hide()

    def show_running(self) -> None:
        """Show the progress of a new run."""
        self._stopping = self._captioning = self._writing = False
        self.cancel_button.setText(tr("Canc&el"))
        self.cancel_button.setToolTip("")
        self.progress_bar.setValue(0)
        self.progress_label.setText(tr("Starting\N{HORIZONTAL ELLIPSIS}"))
        self.cancel_button.setEnabled(True)
        for widget in (self.progress_bar, self.progress_label, self.cancel_button):
            widget.show()

    def show_progress(self, progress: Progress) -> None:
        """Show the stage, the tile and the time left."""
        self.progress_bar.setValue(round(progress.fraction * _STEPS))
        self._captioning = progress.stage is Stage.CAPTIONING
        if not self._stopping:
            self.progress_label.setText(self.progress_text(progress))
        elif progress.stage in _WRITING and not self._writing:
            self._writing = True
            self.progress_label.setText(tr("Writing what is finished\N{HORIZONTAL ELLIPSIS}"))
            self.cancel_button.setText(tr("&Drop it"))
            self.cancel_button.setToolTip(tr("End at once, without a result"))
            self.cancel_button.setEnabled(True)

    def progress_text(self, progress: Progress) -> str:
        """Return a progress as a line, such as "Detecting changes: tile 31 of 120 - 9 s left"."""
        text = stage_text(progress.stage)
        if progress.stage is Stage.CAPTIONING:
            text = tr("Writing caption {number} of {total}").format(
                number=progress.tile, total=progress.tiles
            )
        elif progress.tiles:
            text = tr("{stage}: tile {number} of {total}").format(
                stage=text, number=progress.tile, total=progress.tiles
            )
        if progress.seconds_left is None:
            return text
        left = tr("{time} left").format(time=duration_text(progress.seconds_left))
        return f"{text} \N{MIDDLE DOT} {left}"

    def _cancel_pressed(self) -> None:
        self.cancel_button.setEnabled(False)
        if self._writing:
            self.progress_label.setText(tr("Stopping\N{HORIZONTAL ELLIPSIS}"))
            self.drop.emit()
            return
        self._stopping = True
        self.progress_label.setText(
            tr("Stopping after this caption\N{HORIZONTAL ELLIPSIS}")
            if self._captioning
            else tr("Stopping after this tile\N{HORIZONTAL ELLIPSIS}")
        )
        self.cancel.emit()
