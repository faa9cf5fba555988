# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts in the user's language."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication

from ..engine.request import (
    APPEARED,
    NODATA_ALPHA,
    NODATA_AUTO,
    NODATA_MASK,
    NODATA_NONE,
    REMOVED,
    Stage,
)


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


def nodata_texts() -> dict[str, str]:
    """Return the label of each way to find invalid pixels."""
    return {
        NODATA_AUTO: tr("Automatic"),
        NODATA_ALPHA: tr("Always use alpha"),
        NODATA_MASK: tr("Ignore alpha"),
        NODATA_NONE: tr("All are valid"),
    }


def stage_text(stage: Stage) -> str:
    """Return the stage of a run, such as "Detecting changes"."""
    texts = {
        Stage.READING: tr("Reading the layers"),
        Stage.LOADING: tr("Loading the model"),
        Stage.DETECTING: tr("Detecting changes"),
        Stage.RESAMPLING: tr("Resampling the scores"),
        Stage.OUTLINING: tr("Outlining the changes"),
        Stage.WRITING: tr("Writing the results"),
        Stage.CAPTIONING: tr("Writing captions"),
        Stage.DONE: tr("Done"),
    }
    return texts[stage]
