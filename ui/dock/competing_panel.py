# SPDX-License-Identifier: GPL-3.0-or-later
"""The competing classes of a system; hidden for systems without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import (
    QHBoxLayout,
    QPlainTextEdit,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ...engine.classes import listed_names
from ..settings import Settings
from ..translation import tr
from ..widgets import section_title

if TYPE_CHECKING:
    from ...engine.systems.base import SystemInfo

_ROWS = 3


class CompetingPanel(QWidget):
    """Shows the competing classes of a system and lets the user edit them.

    Signals:
        changed(): the list changed.
    """

    changed = pyqtSignal()

    def __init__(self, settings: Settings, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.setObjectName("competingPanel")
        self._settings = settings
        self._info: Optional[SystemInfo] = None
        self.edit = QPlainTextEdit()
        self.edit.setObjectName("competingEdit")
        self.edit.setTabChangesFocus(True)
        self.edit.setToolTip(
            tr(
                "Other classes that the ground may belong to, separated by commas. A place counts "
                "as the object only where none of them fits better. List what the object is "
                "mistaken for."
            )
        )
        margins = self.edit.contentsMargins()
        frame = 2 * (self.edit.frameWidth() + int(self.edit.document().documentMargin()))
        height = _ROWS * self.edit.fontMetrics().lineSpacing() + frame
        self.edit.setFixedHeight(height + margins.top() + margins.bottom())
        self.edit.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.reset_button = QToolButton()
        self.reset_button.setObjectName("competingReset")
        self.reset_button.setText(tr("Reset"))
        self.reset_button.setToolTip(tr("Restore the default list of the system"))
        self.reset_button.setAutoRaise(True)
        row = QHBoxLayout()
        row.addWidget(section_title(tr("Competing classes"), self.edit), 1)
        row.addWidget(self.reset_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.edit)
        self.edit.textChanged.connect(self._text_changed)
        self.reset_button.clicked.connect(self.reset)
        self.hide()

    def show_for(self, info: Optional[SystemInfo]) -> None:
        """Show the list for a system: the user's if set, otherwise the system's own."""
        if info is not None and info == self._info:
            return
        self._info = info
        has_list = info is not None and bool(info.competing)
        self.setVisible(has_list)
        if info is not None and has_list:
            self._show(self._settings.competing or ", ".join(info.competing))

    @property
    def names(self) -> Optional[tuple[str, ...]]:
        """The user's list; None for the system's own, or a system without one."""
        if self._info is None or not self._info.competing:
            return None
        names = listed_names(self.edit.toPlainText())
        return None if names == self._info.competing else names

    @property
    def reason(self) -> str:
        """Why a run cannot start, or an empty text."""
        return tr("Enter at least one competing class") if self.names == () else ""

    def reset(self) -> None:
        """Restore the system's own list."""
        if self._info is not None:
            self._show(", ".join(self._info.competing))
            self._text_changed()

    def _show(self, text: str) -> None:
        self.edit.blockSignals(True)
        self.edit.setPlainText(text)
        self.edit.blockSignals(False)
        self.reset_button.setEnabled(self.names is not None)

    def _text_changed(self) -> None:
        self._settings.competing = ", ".join(self.names or ())
        self.reset_button.setEnabled(self.names is not None)
        self.changed.emit()
