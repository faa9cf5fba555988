# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts in the user's language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qgis.PyQt.QtCore import QCoreApplication

from ..engine.request import APPEARED, REMOVED

if TYPE_CHECKING:
    from ..engine.request import Progress


def tr(text: str) -> str:
    """Translate a text of the plugin, passed as a literal so that translation tools find it."""
    return QCoreApplication.translate("ChangeScribe", text)


def change_text(name: str, direction: str) -> str:
    """Return what happened to an object, such as "roads appeared"."""
    if direction == APPEARED:
        return tr("{object} appeared").format(object=name)
    if direction == REMOVED:
        return tr("{object} removed").format(object=name)
    return tr("{object} changed").format(object=name)


def stage_text(progress: Progress) -> str:
    """Return the stage of a run, such as "Detecting changes"."""
    texts = {
        "reading": tr("Reading the layers"),
        "loading": tr("Loading the model"),
        "detecting": tr("Detecting changes"),
        "resampling": tr("Resampling the scores"),
        "outlining": tr("Outlining the changes"),
        "writing": tr("Writing the results"),
        "captioning": tr("Writing captions"),
        "done": tr("Done"),
    }
    return texts.get(progress.stage, progress.stage.capitalize())
