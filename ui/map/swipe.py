# SPDX-License-Identifier: GPL-3.0-or-later
"""Map tool with a line between both dates, and the keys that switch it and the flicker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qgis.gui import QgsMapTool
from qgis.PyQt.QtCore import QEvent, QObject, Qt, pyqtSignal
from qgis.PyQt.QtGui import QKeyEvent

if TYPE_CHECKING:
    from qgis.gui import QgsMapCanvas, QgsMapMouseEvent

    from .both_dates import DatePair, DatePictures

#: Share of the width by which an arrow key moves the line.
_STEP = 0.04
FLICKER_KEY, SWIPE_KEY = Qt.Key.Key_F, Qt.Key.Key_W


class SwipeTool(QgsMapTool):
    """Moves the line between both dates: dragged, or with the arrow keys; Esc ends it.

    Signals:
        ended(): Esc was pressed.
    """

    ended = pyqtSignal()

    def __init__(self, canvas: QgsMapCanvas, pictures: DatePictures) -> None:
        super().__init__(canvas)
        self._canvas, self._pictures = canvas, pictures
        self._dragged = False
        self._share = 0.5
        self.setCursor(Qt.CursorShape.SplitHCursor)

    def start(self, pair: DatePair) -> None:
        """Show both dates and become the tool of the map."""
        self._pictures.show(pair, self._share, with_line=True)
        self._canvas.setMapTool(self)

    def show_again(self, pair: DatePair) -> None:
        """Show the line again, such as after a flicker."""
        self._pictures.show(pair, self._share, with_line=True)

    def canvasPressEvent(self, event: QgsMapMouseEvent) -> None:
        """Take the line; called by QGIS."""
        self._dragged = event.button() == Qt.MouseButton.LeftButton
        self._follow(event)

    def canvasMoveEvent(self, event: QgsMapMouseEvent) -> None:
        """Move the line; called by QGIS."""
        self._follow(event)

    def canvasReleaseEvent(self, event: QgsMapMouseEvent) -> None:
        """Let the line go; called by QGIS."""
        self._follow(event)
        self._dragged = False

    def _follow(self, event: QgsMapMouseEvent) -> None:
        if self._dragged:
            self._place(event.pos().x() / max(self._canvas.width(), 1))

    def _place(self, share: float) -> None:
        self._share = min(max(share, 0.02), 0.98)
        self._pictures.item.place(self._share)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the line with the arrow keys; called by QGIS."""
        steps = {Qt.Key.Key_Left: -_STEP, Qt.Key.Key_Right: _STEP}
        key = Qt.Key(event.key())
        if key in steps:
            self._place(self._share + steps[key])
            event.ignore()  # tells the canvas not to pan
        elif key == Qt.Key.Key_Escape:
            self.ended.emit()

    def deactivate(self) -> None:
        """Take the pictures off the map; called by QGIS."""
        self._pictures.hide()
        super().deactivate()


class DateKeys(QObject):
    """Watches the keys of the map.

    Signals:
        flicker(bool): the key is held, or no longer.
        swipe(): the key was pressed.
    """

    flicker = pyqtSignal(bool)
    swipe = pyqtSignal()

    def __init__(self, canvas: QgsMapCanvas) -> None:
        super().__init__()
        self._canvas = canvas
        canvas.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Handle the two keys without modifiers; called by Qt."""
        kinds = (QEvent.Type.KeyPress, QEvent.Type.KeyRelease)
        if event.type() in kinds and isinstance(event, QKeyEvent):
            plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
            pressed = event.type() == QEvent.Type.KeyPress
            if event.key() == FLICKER_KEY and (plain or not pressed):
                if not event.isAutoRepeat():
                    self.flicker.emit(pressed)
                return True
            if event.key() == SWIPE_KEY and plain:
                if pressed and not event.isAutoRepeat():
                    self.swipe.emit()
                return True
        return super().eventFilter(watched, event)

    def shut_down(self) -> None:
        """Leave the canvas alone."""
        self._canvas.removeEventFilter(self)
