# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way in which the plugin tells the user that something went wrong."""

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
#: A message that the user must see stays until it is closed.
_STAYS = 0


def log(text: str, level: int = LEVEL_INFO) -> None:
    """Write to the tab "ChangeScribe" of QGIS's log messages panel."""
    QgsMessageLog.logMessage(text, LOG_TAG, level)


def as_change_scribe_error(error: BaseException) -> ChangeScribeError:
    """Return the error itself, or an unknown one wrapped in words for the user.

    To be called while the error is being handled, so that its traceback is known.
    """
    if isinstance(error, ChangeScribeError):
        if not error.details:
            error.details = traceback.format_exc()
        return error
    details = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if isinstance(error, MemoryError):
        return ChangeScribeError(
            tr("There is not enough memory for this run."),
            tr("Close other programs, or analyse a smaller area."),
            details,
        )
    return ChangeScribeError(
        tr("ChangeScribe met an unexpected problem ({kind}).").format(kind=type(error).__name__),
        tr("Press Details for what to put into a report."),
        details,
    )


class DetailsDialog(QDialog):
    """Shows the technical details of an error or a run; not modal."""

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
    """Puts errors, warnings and results into QGIS's message bar.

    Args:
        bar: the message bar of the QGIS window.
        parent: window that the details dialog belongs to.
    """

    def __init__(self, bar: QgsMessageBar, parent: Optional[QWidget] = None) -> None:
        self._bar = bar
        self._parent = parent
        self._dialogs: list[DetailsDialog] = []
        self._items: list[QgsMessageBarItem] = []

    def error(self, error: ChangeScribeError) -> None:
        """Show an error with its hint and a button for the details, and log it."""
        log(f"{error}\n{error.details}".strip(), LEVEL_CRITICAL)
        self._push(str(error), LEVEL_CRITICAL, _STAYS, error.details)

    def warning(self, text: str, details: str = "") -> None:
        """Show a warning until it is closed."""
        log(f"{text}\n{details}".strip(), LEVEL_WARNING)
        self._push(text, LEVEL_WARNING, _STAYS, details)

    def info(
        self,
        text: str,
        level: int = LEVEL_INFO,
        seconds: int = 12,
        buttons: tuple[QPushButton, ...] = (),
    ) -> None:
        """Show one line, with buttons at its end."""
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
        # The bar shows HTML; prompts, names of layers and paths are to stay what they are.
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
        """Open the details of a message in a window that does not block QGIS."""
        dialog = DetailsDialog(tr("ChangeScribe: details"), summary, details, self._parent)
        self._dialogs.append(dialog)
        dialog.destroyed.connect(lambda: self._forget(dialog))
        dialog.show()
        return dialog

    def _forget(self, dialog: DetailsDialog) -> None:
        if dialog in self._dialogs:
            self._dialogs.remove(dialog)

    def close(self) -> None:
        """Close windows and messages that are still open: their buttons call the plugin."""
        for item in self._items:
            if not sip.isdeleted(item):
                self._bar.popWidget(item)
        self._items.clear()
        for dialog in list(self._dialogs):
            dialog.close()
        self._dialogs.clear()
