# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons that compare both dates on the map."""

from __future__ import annotations

from typing import Optional

from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QWidget

from ..translation import tr


class CompareBar(QWidget):
    """Flicker, swipe, second map and pictures.

    Signals:
        flicker(bool): the button is held, or no longer.
        swipe(bool), second_map(bool), pictures(bool): switched on or off.
    """

    flicker = pyqtSignal(bool)
    swipe = pyqtSignal(bool)
    second_map = pyqtSignal(bool)
    pictures = pyqtSignal(bool)

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self.flicker_button = self._button(
            "flickerButton", tr("Flicker"), tr("Hold to see the other date (F on the map)")
        )
        self.swipe_button = self._button(
            "swipeButton", tr("Swipe"), tr("Move a line between both dates (W on the map)")
        )
        self.second_button = self._button(
            "secondMapButton", tr("Two maps"), tr("Show one date in a second map that moves along")
        )
        self.pictures_button = self._button(
            "picturesButton", tr("Pictures"), tr("Click a change to see it on both dates")
        )
        self.flicker_button.pressed.connect(lambda: self.flicker.emit(True))
        self.flicker_button.released.connect(lambda: self.flicker.emit(False))
        for button, signal in (
            (self.swipe_button, self.swipe),
            (self.second_button, self.second_map),
            (self.pictures_button, self.pictures),
        ):
            button.setCheckable(True)
            button.clicked.connect(signal)
        for button in self.buttons:
            row.addWidget(button, 1)

    @property
    def buttons(self) -> tuple[QToolButton, ...]:
        """All buttons, from left to right."""
        return self.flicker_button, self.swipe_button, self.second_button, self.pictures_button

    def _button(self, name: str, text: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setObjectName(name)
        button.setText(text)
        button.setToolTip(tip)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        return button

    def offer(self, *, pair: bool, run: bool) -> None:
        """Enable what is possible with two dates, and with a run."""
        for button in (self.flicker_button, self.swipe_button, self.second_button):
            button.setEnabled(pair or button.isChecked())
        self.pictures_button.setEnabled(run or self.pictures_button.isChecked())
