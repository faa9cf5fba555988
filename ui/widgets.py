# SPDX-License-Identifier: GPL-3.0-or-later
"""Widgets shared by the parts of the dock."""

from __future__ import annotations

import html
from typing import Optional

from qgis.PyQt.QtCore import QSize, Qt
from qgis.PyQt.QtGui import QColor, QPalette
from qgis.PyQt.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget

from ..engine.paths import PACKAGE

_WARNING_COLOUR = "#9a5b00"
_WARNING_COLOUR_DARK = "#f0b35a"
_DARK_LIGHTNESS = 128
#: Weight of the text colour in the colour of secondary text.
_NOTE_WEIGHT = 0.65


def icon_path(name: str) -> str:
    """Return the path of one of the plugin's icons."""
    return str(PACKAGE / "resources" / "icons" / name)


def plain_tip(text: str) -> str:
    """Return a tool tip that shows text as it is, even if it looks like HTML."""
    lines = html.escape(text, quote=False).replace("\n", "<br>")
    return f"<qt>{lines}</qt>" if text else ""


class WrappedLabel(QLabel):
    """A label that wraps at any width and only asks for the height its text then needs.

    Qt's size hints for wrapped text assume a narrow column, so a scroll area would overestimate
    the height of its content.
    """

    def minimumSizeHint(self) -> QSize:
        """Return the height of one line; layouts ask for the height at the real width."""
        return QSize(0, self.fontMetrics().lineSpacing())

    def sizeHint(self) -> QSize:
        """Return the minimum size hint."""
        return self.minimumSizeHint()


def note_label(text: str = "", name: str = "") -> QLabel:
    """Return a plain text label."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setObjectName(name)
    return label


def hint_label(text: str = "", name: str = "") -> QLabel:
    """Return a wrapping, selectable label for secondary text."""
    label = _wrapped(text, name)
    palette = label.palette()
    role = QPalette.ColorRole.WindowText
    palette.setColor(role, _mix(palette.color(role), palette.color(QPalette.ColorRole.Window)))
    label.setPalette(palette)
    return label


def warning_label(name: str) -> QLabel:
    """Return a hidden warning label, readable in light and dark themes."""
    label = _wrapped("", name)
    palette = label.palette()
    dark = palette.color(QPalette.ColorRole.Window).lightness() < _DARK_LIGHTNESS
    colour = QColor(_WARNING_COLOUR_DARK if dark else _WARNING_COLOUR)
    palette.setColor(QPalette.ColorRole.WindowText, colour)
    label.setPalette(palette)
    label.hide()
    return label


def section_title(text: str, buddy: Optional[QWidget] = None) -> QLabel:
    """Return the bold title of a section of the dock."""
    label = QLabel(text)
    label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    if buddy is not None:
        label.setBuddy(buddy)
    return label


def separator() -> QFrame:
    """Return a thin horizontal line."""
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFrameShadow(QFrame.Shadow.Sunken)
    return line


def _wrapped(text: str, name: str) -> QLabel:
    label = WrappedLabel(text)
    # Prompts, layer names and paths are never rendered as HTML.
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    # Text must not make the dock wider.
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    policy.setHeightForWidth(True)
    label.setSizePolicy(policy)
    return label


def _mix(text: QColor, background: QColor) -> QColor:
    rest = 1.0 - _NOTE_WEIGHT
    return QColor(
        round(text.red() * _NOTE_WEIGHT + background.red() * rest),
        round(text.green() * _NOTE_WEIGHT + background.green() * rest),
        round(text.blue() * _NOTE_WEIGHT + background.blue() * rest),
    )
