# SPDX-License-Identifier: GPL-3.0-or-later
"""The ChangeScribe provider in the Processing toolbox and ``qgis_process``."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from ..widgets import icon_path
from .caption_changes import CaptionChanges
from .detect_changes import DetectChanges
from .export_changes import ExportChanges


class ChangeScribeProvider(QgsProcessingProvider):
    """Provider of the algorithms; has no state, so it can be added and removed at any time."""

    def id(self) -> str:
        """Return the prefix of the algorithm ids."""
        return "changescribe"

    def name(self) -> str:
        """Return the name shown in the toolbox."""
        return "ChangeScribe"

    def icon(self) -> QIcon:
        """Return the plugin's icon."""
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:
        """Return the path of the icon."""
        return icon_path("changescribe.svg")

    def loadAlgorithms(self) -> None:
        """Register the algorithms; called by QGIS."""
        for algorithm in (DetectChanges(), CaptionChanges(), ExportChanges()):
            self.addAlgorithm(algorithm)

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        """Return the default vector format."""
        return "gpkg"

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """Return the vector formats that the engine writes."""
        return ["gpkg", "shp", "geojson"]

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """Return the raster format that the engine writes."""
        return ["tif"]
