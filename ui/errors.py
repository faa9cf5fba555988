# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors and messages of the plugin, shown in QGIS's message bar and log."""

from __future__ import annotations

import html
import traceback
from typing import TYPE_CHECKING, Optional

from qgis.core import QgsApplication, QgsMessageLog
from qgis.PyQt import sip
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QFontDatabase
from qgis.PyQt.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..engine.errors import ChangeScribeError
from .compat import LEVEL_CRITICAL, LEVEL_INFO, LEVEL_WARNING
from .translation import tr

if TYPE_CHECKING:
    from qgis.gui import QgsMessageBar, QgsMessageBarItem

LOG_TAG = "ChangeScribe"
#: Seconds: the message stays until the user closes it.
_UNTIL_CLOSED = 0


def log(text: str, level: int = LEVEL_INFO) -> None:
    """Write to the ChangeScribe tab of QGIS's Log Messages panel."""
    QgsMessageLog.logMessage(text, LOG_TAG, level)


def as_change_scribe_error(error: BaseException) -> ChangeScribeError:
    """Return the error itself, or wrap an unexpected one with a text for the user.

    Call it while the error is being handled, so that its traceback is known.
    """
    if isinstance(error, ChangeScribeError):
        if not error.details:
            error.details = traceback.format_exc()
        return error
    details = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if isinstance(error, MemoryError):
        return ChangeScribeError(
            tr("There is not enough memory for this run."),
            tr("Close other programs, or choose a smaller area."),
            details,
        )
    return ChangeScribeError(
        tr("An unexpected error occurred ({kind}).").format(kind=type(error).__name__),
        tr("Click Details for the text to include in a bug report."),
        details,
    )


class DetailsDialog(QDialog):
    """Non-modal window with the technical details of an error or a run."""

    def __init__(self, title: str, summary: str, details: str, parent: Optional[QWidget]) -> None:
        super().__init__(parent)
        self.setObjectName("changeScribeDetails")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.resize(640, 360)
        label = QLabel(summary)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setWordWrap(True)
        self._text = QPlainTextEdit(details)
        self._text.setObjectName("detailsText")
        self._text.setReadOnly(True)
        self._text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = buttons.addButton(tr("&Copy"), QDialogButtonBox.ButtonRole.ActionRole)
        copy.clicked.connect(self._copy)
        buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addWidget(label)
        layout.addWidget(self._text)
        layout.addWidget(buttons)

    def _copy(self) -> None:
        QgsApplication.clipboard().setText(self._text.toPlainText())


class Messenger:
    """Shows errors, warnings and results in QGIS's message bar."""

    def __init__(self, bar: QgsMessageBar, parent: Optional[QWidget] = None) -> None:
        self._bar = bar
        self._parent = parent
        self._dialogs: list[DetailsDialog] = []
        self._items: list[QgsMessageBarItem] = []

    def error(self, error: ChangeScribeError) -> None:
        """Show and log an error, with its hint and a Details button."""
        log(f"{error}\n{error.details}".strip(), LEVEL_CRITICAL)
        self._push(str(error), LEVEL_CRITICAL, _UNTIL_CLOSED, error.details)

    def warning(self, text: str, details: str = "") -> None:
        """Show a warning until the user closes it."""
        log(f"{text}\n{details}".strip(), LEVEL_WARNING)
        self._push(text, LEVEL_WARNING, _UNTIL_CLOSED, details)

    def info(
        self,
        text: str,
        level: int = LEVEL_INFO,
        seconds: int = 12,
        buttons: tuple[QPushButton, ...] = (),
    ) -> None:
        """Show a line of text followed by buttons."""
        log(text, level)
        self._push(text, level, seconds, "", buttons)

    def _push(
        self,
        text: str,
        level: int,
        seconds: int,
        details: str,
        buttons: tuple[QPushButton, ...] = (),
    ) -> None:
        # The bar renders HTML, so prompts, layer names and paths are escaped.
        item = self._bar.createMessage("ChangeScribe", html.escape(text, quote=False))
        for button in buttons:
            item.layout().addWidget(button)
        if details:
            button = QPushButton(tr("Details"))
            button.setObjectName("changeScribeDetailsButton")
            button.clicked.connect(lambda: self.show_details(text, details))
            item.layout().addWidget(button)
        self._items = [shown for shown in self._items if not sip.isdeleted(shown)] + [item]
        self._bar.pushWidget(item, level, seconds)

    def show_details(self, summary: str, details: str) -> DetailsDialog:
        """Open the details of a message in a non-modal window."""
        dialog = DetailsDialog(tr("ChangeScribe: details"), summary, details, self._parent)
        self._dialogs.append(dialog)
        dialog.destroyed.connect(lambda: self._forget(dialog))
        dialog.show()
        return dialog

    def _forget(self, dialog: DetailsDialog) -> None:
        if dialog in self._dialogs:
            self._dialogs.remove(dialog)

    def close(self) -> None:
        """Close open windows and messages, whose buttons call the plugin."""
        for item in self._items:
            if not sip.isdeleted(item):
                self._bar.popWidget(item)
        self._items.clear()
        for dialog in list(self._dialogs):
            dialog.close()
        self._dialogs.clear()
