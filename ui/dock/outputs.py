# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of the files of a run: in one folder per project, never overwriting."""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
from typing import TYPE_CHECKING

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QStandardPaths

from ...engine.errors import OutputError
from ...engine.raster.files import file_on_disk
from ..map.layer_source import source_path
from ..translation import tr

if TYPE_CHECKING:
    from qgis.core import QgsRasterLayer

_SLUG_LENGTH = 40
_STEM_LENGTH = 60
_SUFFIXES = (".gpkg", "_mask.tif", "_score.tif")


def slug(text: str, length: int = _SLUG_LENGTH) -> str:
    """Return a text as part of a file name: ASCII letters, digits and underscores."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_").lower()[:length].rstrip("_") or "changes"


def automatic_folder(before: QgsRasterLayer) -> str:
    """Return the folder used if none is chosen: one for all runs of a project.

    It is named after the project and lies beside it. Before the project is saved, it is
    ``changescribe`` beside the before layer. If neither place is writable, it is ``ChangeScribe``
    in the user's documents. The folder need not exist yet.
    """
    project = QgsProject.instance()
    path = file_on_disk(source_path(before) or "")
    candidates = [
        (project.homePath(), f"{project.baseName()}_changescribe") if project.fileName() else None,
        (os.path.dirname(path), "changescribe") if os.path.isfile(path) else None,
    ]
    for candidate in candidates:
        if candidate and candidate[0] and is_writable(candidate[0]):
            return os.path.join(*candidate)
    documents = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation)
    return os.path.join(documents or os.path.expanduser("~"), "ChangeScribe")


def is_writable(folder: str) -> bool:
    """Whether a file can be created in a folder; tried out, since permissions can mislead."""
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        return False
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def new_output(folder: str, before: str, prompt: str) -> str:
    """Return the path of a new GeoPackage whose rasters do not exist either.

    Raises:
        OutputError: the folder cannot be created or written.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, str(error)) from error
    if not is_writable(folder):
        raise _not_writable(folder)
    stem = os.path.splitext(os.path.basename(before))[0]
    stem = re.sub(r'[<>:"/\\|?*\s]+', "_", stem)[:_STEM_LENGTH] or "before"
    number = 1
    while True:
        path = os.path.join(folder, f"{stem}_{slug(prompt)}_{number}")
        if not any(os.path.exists(path + suffix) for suffix in _SUFFIXES):
            return path + ".gpkg"
        number += 1


def _not_writable(folder: str, details: str = "") -> OutputError:
    return OutputError(
        tr('Cannot write to the folder "{folder}".').format(folder=folder),
        tr("Choose another output folder under Advanced."),
        details,
    )
