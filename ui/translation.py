# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts in the user's language, where there is no QObject whose ``tr`` could be called."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication


def tr(text: str) -> str:
    """Translate a text of the plugin."""
    return QCoreApplication.translate("ChangeScribe", text)
