# SPDX-License-Identifier: GPL-3.0-or-later
"""Title of the map: the run that it shows, with what changes how to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from qgis.PyQt.QtCore import QEvent, QObject, Qt
from qgis.PyQt.QtWidgets import QLabel

if TYPE_CHECKING:
    from qgis.gui import QgsMapCanvas

    from .runs import Run

_MARGIN_PX = 10
_STYLE = (
    "QLabel { background: rgba(255, 255, 255, 235); color: #16202a; border-radius: 4px; "
    "border: 1px solid rgba(22, 32, 42, 120); padding: 3px 7px; }"
)


class MapTitle(QObject):
    """A line at the lower left of the map, clear of QGIS's messages, for runs with warnings."""

    def __init__(self, canvas: QgsMapCanvas) -> None:
        super().__init__()
        self._canvas = canvas
        self.label = QLabel(canvas)
        self.label.setObjectName("changeScribeMapTitle")
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setStyleSheet(_STYLE)
        self.label.setWordWrap(True)
        self.label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.label.hide()
        canvas.installEventFilter(self)

    def show_run(self, run: Optional[Run]) -> None:
        """Show the title of a run if the map shows it and it has warnings."""
        shown = run is not None and bool(run.warnings) and run.is_shown()
        if shown and run is not None:
            self.label.setText(f"{run.title} \N{EM DASH} \N{WARNING SIGN} {run.headline}")
            self._place()
        self.label.setVisible(shown)

    def _place(self) -> None:
        room = self._canvas.width() - 2 * _MARGIN_PX
        metrics = self.label.fontMetrics()
        width = min(metrics.horizontalAdvance(self.label.text()) + 20, max(room, 50))
        height = self.label.heightForWidth(width)
        self.label.setGeometry(
            _MARGIN_PX, self._canvas.height() - height - _MARGIN_PX, width, height
        )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay at the lower edge; called by Qt."""
        if event.type() == QEvent.Type.Resize:
            self._place()
        return super().eventFilter(watched, event)

    def shut_down(self) -> None:
        """Leave the canvas."""
        self._canvas.removeEventFilter(self)
        self.label.hide()
        self.label.setParent(None)
        self.label.deleteLater()
