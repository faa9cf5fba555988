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
    """Exports the polygons of a run to another format."""

    INPUT = "INPUT"

    def __init__(self) -> None:
        super().__init__()
        self._gpkg = ""

    def displayName(self) -> str:
        """Return the name in the toolbox."""
        return tr("Export changes")

    def tags(self) -> list[str]:
        """Return keywords for the search."""
        return tr("shapefile,geojson,save,convert,captions").split(",")

    def shortDescription(self) -> str:
        """Return the tool tip."""
        return tr("Exports the changes of a run to a shapefile, GeoJSON or GeoPackage.")

    def shortHelpString(self) -> str:
        """Return the help beside the parameters."""
        return tr(
            "Exports the changes of a run to a shapefile, GeoJSON or GeoPackage.\n\n"
            "<b>Changes</b>: the layer <i>changes</i> of a GeoPackage written by ChangeScribe. "
            "All polygons are exported, regardless of the filter and the selection of the "
            "layer.\n\n"
            "Shapefiles shorten field names to 10 characters and texts to 254 bytes. Longer "
            "captions are also written in full to a CSV file of the same name, with a warning. "
            "GeoJSON files use WGS 84 (EPSG:4326)."
        )

    def initAlgorithm(self, config: Optional[dict[str, object]] = None) -> None:
        """Add parameters; called by QGIS."""
        polygons = QgsProcessing.SourceType.TypeVectorPolygon
        self.addParameter(QgsProcessingParameterVectorLayer(self.INPUT, tr("Changes"), [polygons]))
        self.addParameter(
            QgsProcessingParameterVectorDestination(self.OUTPUT, tr("Exported changes"), polygons)
        )

    def take(self, parameters: dict[str, object], context: QgsProcessingContext) -> None:
        """Read the file of the layer; see :meth:`ChangeScribeAlgorithm.take`."""
        layer = self.parameterAsVectorLayer(parameters, self.INPUT, context)
        if layer is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, self.INPUT))
        parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
        path = str(parts.get("path") or "")
        if not is_geopackage(path) or not os.path.isfile(path):
            raise InputError(
                tr('"{layer}" is not a layer of a GeoPackage written by ChangeScribe.').format(
                    layer=layer.name()
                ),
                tr("Choose the layer changes of a detection."),
            )
        self._gpkg = path

    def processAlgorithm(
        self,
        parameters: dict[str, object],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, object]:
        """Export; called by QGIS in a background thread."""
        from ...engine.results.export import export

        output = self.parameterAsOutputLayer(parameters, self.OUTPUT, context)
        with explained(feedback):
            for warning in export(self._gpkg, output, overwrite=True):
                feedback.pushWarning(warning)
        return {self.OUTPUT: output}
