# SPDX-License-Identifier: GPL-3.0-or-later
"""``changescribe:exportchanges``: the changes of a run as shapefile, GeoJSON or GeoPackage."""

from __future__ import annotations

import os
from typing import Optional

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
    QgsProviderRegistry,
)

from ...engine.errors import InputError
from ..translation import tr
from .algorithm import ChangeScribeAlgorithm, explained, is_geopackage


class ExportChanges(ChangeScribeAlgorithm):
    """Writes the polygons of a run in another format."""

    INPUT = "INPUT"

    def __init__(self) -> None:
        super().__init__()
        self._gpkg = ""

    def name(self) -> str:
        """Return the id within the provider."""
        return "exportchanges"

    def displayName(self) -> str:
        """Return the name in the toolbox."""
        return tr("Export changes")

    def tags(self) -> list[str]:
        """Return further words that find the algorithm."""
        return tr("shapefile,geojson,save,convert,captions").split(",")

    def shortDescription(self) -> str:
        """Return the tool tip."""
        return tr("Writes the changes of a run as shapefile, GeoJSON or GeoPackage.")

    def shortHelpString(self) -> str:
        """Return the help beside the parameters."""
        return tr(
            "Writes the changes of a run as shapefile, GeoJSON or GeoPackage.\n\n"
            "<b>Changes</b>: the layer <i>changes</i> of a GeoPackage that ChangeScribe wrote. "
            "All its polygons are exported, whatever filter or selection the layer has.\n\n"
            "In a shapefile the field names have 10 characters at most and texts 254 bytes: "
            "captions that are longer are also written in full to a CSV file of the same name, "
            "with a warning. GeoJSON is in WGS 84 (EPSG:4326)."
        )

    def initAlgorithm(self, config: Optional[dict[str, object]] = None) -> None:
        """Add parameters; called by QGIS."""
        polygons = QgsProcessing.SourceType.TypeVectorPolygon
        self.addParameter(QgsProcessingParameterVectorLayer(self.INPUT, tr("Changes"), [polygons]))
        self.addParameter(
            QgsProcessingParameterVectorDestination(self.OUTPUT, tr("Exported changes"), polygons)
        )

    def take(self, parameters: dict[str, object], context: QgsProcessingContext) -> None:
        """Find the file behind the layer; see :meth:`ChangeScribeAlgorithm.take`."""
        layer = self.parameterAsVectorLayer(parameters, self.INPUT, context)
        if layer is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, self.INPUT))
        parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
        path = str(parts.get("path") or "")
        if not is_geopackage(path) or not os.path.isfile(path):
            raise InputError(
                tr('The layer "{name}" is not in a GeoPackage of ChangeScribe\'s.').format(
                    name=layer.name()
                ),
                tr("Choose the layer that a detection wrote."),
            )
        self._gpkg = path

    def processAlgorithm(
        self,
        parameters: dict[str, object],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, object]:
        """Export; in a thread of Processing's."""
        from ...engine.results.export import export

        output = self.parameterAsOutputLayer(parameters, self.OUTPUT, context)
        with explained(feedback):
            for warning in export(self._gpkg, output, overwrite=True):
                feedback.pushWarning(warning)
        return {self.OUTPUT: output}
