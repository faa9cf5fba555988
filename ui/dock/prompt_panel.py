# SPDX-License-Identifier: GPL-3.0-or-later
"""The prompt: a field with history and presets, and its interpretation."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Optional

from qgis.PyQt.QtCore import QEvent, QObject, Qt, pyqtSignal
from qgis.PyQt.QtGui import QKeyEvent
from qgis.PyQt.QtWidgets import QComboBox, QCompleter, QLabel, QSizePolicy, QVBoxLayout, QWidget

from ...engine.classes import index_among
from ...engine.errors import ChangeScribeError
from ..settings import PROMPT_PRESETS, Settings
from ..translation import change_text, tr
from ..widgets import hint_label, section_title, warning_label

if TYPE_CHECKING:
    from ...engine.request import ParsedPrompt
    from ...engine.systems.base import SystemInfo

#: Colours of the chips, readable in light and dark themes.
_CHIP, _INK, _CROSS = "#d5dae0", "#16202a", "#0b4f8a"
_EXAMPLES = ("buildings demolished", "trees cleared", "anything changed")


class PromptPanel(QWidget):
    """The field "What changed?" and its live parse.

    Signals:
        changed(): the text changed.
        accepted(): Enter was pressed.
    """

    changed = pyqtSignal()
    accepted = pyqtSignal()

    def __init__(self, settings: Settings, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self._parse: Optional[ParsedPrompt] = None
        self._problem = ""
        self.combo = self._build_combo()
        self.parse_label: QLabel = hint_label(name="parseLabel")
        self.chips: QLabel = self._build_chips()
        self.unknown_label = warning_label("promptUnknown")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(section_title(tr("&What changed?"), self.combo))
        layout.addWidget(self.combo)
        layout.addWidget(self.parse_label)
        layout.addWidget(self.chips)
        layout.addWidget(self.unknown_label)
        self.refresh_history()
        self.combo.setEditText("")
        self.combo.editTextChanged.connect(self._text_changed)
        self._text_changed()

    def _build_combo(self) -> QComboBox:
        combo = QComboBox()
        combo.setObjectName("prompt")
        combo.setEditable(True)
        combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        combo.setMaxVisibleItems(20)
        combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        combo.lineEdit().setPlaceholderText(tr("For example: roads built"))
        combo.lineEdit().setClearButtonEnabled(True)
        combo.setToolTip(
            tr(
                "Objects and what happened to them. The list has earlier prompts and examples. "
                "Press Enter to start."
            )
        )
        combo.completer().setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        combo.installEventFilter(self)
        return combo

    def _build_chips(self) -> QLabel:
        """Return the label with one chip per query and a cross to remove it."""
        chips = hint_label(name="promptChips")
        chips.setTextFormat(Qt.TextFormat.RichText)
        chips.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse
            | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        chips.setToolTip(tr("Click the cross to remove it from the prompt"))
        chips.linkActivated.connect(self._remove_query)
        return chips

    @property
    def text(self) -> str:
        """The prompt with normalised white space."""
        return " ".join(self.combo.currentText().split())

    @property
    def parse(self) -> Optional[ParsedPrompt]:
        """The parsed prompt; None if it is empty or not understood."""
        return self._parse

    @property
    def problem(self) -> str:
        """Why the prompt cannot be used, or an empty text."""
        return self._problem

    def set_text(self, text: str) -> None:
        """Replace the prompt."""
        self.combo.setEditText(text)

    def check_words(self, info: Optional[SystemInfo]) -> None:
        """Tell which words of the prompt a system was not trained on, and what to do."""
        queries = self._parse.queries if self._parse is not None else ()
        unknown = [query.object for query in queries if not knows(info, query.object)]
        text = ""
        if unknown and info is not None:
            text = tr(
                "This system was not trained to find {words}: what it finds is a guess. "
                "It knows {classes}. A zero-shot system takes any noun."
            ).format(
                words=", ".join(f'"{word}"' for word in dict.fromkeys(unknown)),
                classes=", ".join(info.classes),
            )
        self.unknown_label.setText(text)
        self.unknown_label.setVisible(bool(text))

    def refresh_history(self) -> None:
        """Fill the drop-down list: past prompts, a separator, presets."""
        text = self.combo.currentText()
        self.combo.blockSignals(True)
        self.combo.clear()
        history = self._settings.prompt_history
        self.combo.addItems(history)
        if history:
            self.combo.insertSeparator(self.combo.count())
        known = {prompt.lower() for prompt in history}
        self.combo.addItems([preset for preset in PROMPT_PRESETS if preset not in known])
        self.combo.setCurrentIndex(-1)
        self.combo.setEditText(text)
        self.combo.blockSignals(False)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Emit ``accepted`` on Enter, and ignore the mouse wheel."""
        enter = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and (event.key() in enter)
        ):
            self.accepted.emit()
            return True
        # Scrolling the dock must not replace the prompt.
        if event.type() == QEvent.Type.Wheel and not self.combo.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def _text_changed(self) -> None:
        self._parse, self._problem = None, ""
        if not self.text:
            self._problem = tr("Type what changed")
            self.parse_label.setText(tr("Try: {examples}").format(examples=", ".join(_EXAMPLES)))
        else:
            self._understand()
        self._show_chips()
        self.changed.emit()

    def _show_chips(self) -> None:
        """Show the chips of two or more queries; a single one is the prompt itself."""
        queries = self._parse.queries if self._parse is not None else ()
        if len(queries) < 2:
            queries = ()
        self.chips.setText(
            "\N{NO-BREAK SPACE} ".join(
                f'<span style="background-color: {_CHIP}; color: {_INK}">{_unbroken(text)}'
                f'<a href="{index}" style="text-decoration: none; color: {_CROSS}">'
                "\N{MULTIPLICATION X}</a>\N{NO-BREAK SPACE}</span>"
                for index, text in enumerate(
                    f" {change_text(query.object, query.direction)} " for query in queries
                )
            )
        )
        self.chips.setVisible(bool(queries))

    def _remove_query(self, index: str) -> None:
        from ...engine.prompt import compose

        if self._parse is not None:
            self.set_text(compose(self._parse, {int(index)}))

    def _understand(self) -> None:
        # Imported here so that the dock opens even if the engine is damaged.
        from ...engine.prompt import parse

        try:
            self._parse = parse(self.text)
        except ChangeScribeError as error:
            self._problem = error.message
            self.parse_label.setText(str(error))
        else:
            self.parse_label.setText(self._parse.explanation)


def knows(info: Optional[SystemInfo], phrase: str) -> bool:
    """Return whether a system was trained on an object, or takes any noun."""
    # Systems with competing classes compare any noun with these.
    if info is None or not info.classes or info.competing:
        return True
    return index_among(phrase, info.classes) is not None


def _unbroken(text: str) -> str:
    """Return a text as HTML without line breaks."""
    return html.escape(text).replace(" ", "\N{NO-BREAK SPACE}")
