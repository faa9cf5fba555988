# SPDX-License-Identifier: GPL-3.0-or-later
"""``changescribe:detectchanges``: captioned polygons from two rasters and a prompt."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import replace
from typing import Optional

from qgis.core import (
    QgsMapLayer,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterBand,
    QgsProcessingParameterExtent,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProcessingUtils,
)

from ...engine import prompt, systems
from ...engine.classes import listed_names
from ...engine.errors import CancelledError, InputError
from ...engine.raster.files import check_distinct
from ...engine.request import (
    ALIGN_MODES,
    CLOUD_MODES,
    DEVICES,
    NODATA_AUTO,
    OUTLINE_MODES,
    ChangeRequest,
    ChangeResult,
    Extent,
    Hints,
)
from ..engine_thread import configured_host
from ..map import styles
from ..map.layer_source import assigned_crs, date_of, source_path, user_nodata
from ..translation import tr
from .algorithm import (
    EngineAlgorithm,
    FeedbackProgress,
    choice,
    explained,
    is_geopackage,
    load_with,
)


class DetectChanges(EngineAlgorithm):
    """Finds the changes that match a prompt."""

    PROMPT = "PROMPT"
    EXTENT = "EXTENT"
    THRESHOLD = "THRESHOLD"
    MIN_AREA = "MIN_AREA"
    ALIGN = "ALIGN"
    CLOUDS = "CLOUDS"
    OUTLINES = "OUTLINES"
    MASK_BEFORE = "MASK_BEFORE"
    MASK_AFTER = "MASK_AFTER"
    MASK_VALUES = "MASK_VALUES"
    BANDS_BEFORE = "BANDS_BEFORE"
    BANDS_AFTER = "BANDS_AFTER"
    COMPETING = "COMPETING"
    MASK = "MASK"
    SCORE = "SCORE"
    COUNT = "COUNT"

    def __init__(self) -> None:
        super().__init__()
        self._request: ChangeRequest  # set by take()

    def displayName(self) -> str:
        """Return the name in the toolbox."""
        return tr("Detect changes")

    def tags(self) -> list[str]:
        """Return keywords for the search."""
        return tr(
            "change detection,before,after,difference,prompt,text,caption,building,road,tree"
        ).split(",")

    def shortDescription(self) -> str:
        """Return the tool tip."""
        return tr("Finds the changes between two rasters that a text describes.")

    def shortHelpString(self) -> str:
        """Return the help beside the parameters."""
        return tr(
            "Finds the changes between two rasters of the same place that a text describes, and "
            "writes a polygon with direction, score, area and caption for each change.\n\n"
            "<b>Prompt</b>: what changed, such as <i>roads built</i>, <i>buildings "
            "demolished</i>, <i>trees replaced by buildings</i> or <i>anything changed</i>. "
            'Separate several changes with commas or "and".\n'
            "<b>Extent</b>: area to analyse. Default: the overlap of both rasters. Without a CRS, "
            "the CRS of the before layer is used.\n"
            "<b>Score threshold</b>: minimum score that counts as change.\n"
            "<b>Minimum area</b>: smaller changes are dropped. Default: 20 m\N{SUPERSCRIPT TWO} or "
            "4 pixels, whichever is larger.\n"
            "<b>Pixel size</b>: size of a pixel on the ground, for rasters without a CRS. Areas "
            "are still reported in pixels.\n"
            "<b>Invalid pixels</b>: <i>auto</i>: by nodata values, mask and alpha band, unless the "
            "alpha band is an image; without any of these, black or white edges and gaps are left "
            "out too; <i>alpha</i>: by the alpha band in any case; <i>mask</i>: not "
            "by it; <i>none</i>: all pixels are valid.\n"
            "<b>Competing classes</b>: other classes that the ground may belong to, such as "
            "<i>grass, bare ground, water</i>, for zero-shot systems. A place counts as the "
            "object only where none of them fits better.\n\n"
            "<b>Changes</b>: a GeoPackage also contains the table <i>runs</i> with the parsed "
            "prompt, the sources and the scene caption. Shapefiles and GeoJSON files only contain "
            "the polygons.\n"
            "<b>Change mask</b>: 0 unchanged, 1 appeared, 2 removed, 3 changed without "
            "direction, 255 nodata.\n"
            "<b>Scores</b>: one band per change in the prompt."
        )

    def initAlgorithm(self, config: Optional[dict[str, object]] = None) -> None:
        """Add parameters and outputs; called by QGIS."""
        self.add_pair()
        self.addParameter(QgsProcessingParameterString(self.PROMPT, tr("Prompt (what changed?)")))
        self.addParameter(choice(self.SYSTEM, tr("System"), list(systems.names())))
        self.addParameter(
            QgsProcessingParameterExtent(self.EXTENT, tr("Extent to analyse"), optional=True)
        )
        number = QgsProcessingParameterNumber
        for parameter in (
            number(
                self.THRESHOLD, tr("Score threshold"), number.Type.Double, 0.5, False, 0.01, 0.99
            ),
            number(
                self.MIN_AREA,
                tr("Minimum area (square metres)"),
                number.Type.Double,
                None,
                True,
                0.0,
            ),
        ):
            parameter.setMetadata({"widget_wrapper": {"decimals": 2}})
            self.addParameter(parameter)
        self.add_pixel_size()
        self.add_nodata()
        self.add_advanced(choice(self.DEVICE, tr("Device"), list(DEVICES)))
        for name, label in (
            (self.MASK_BEFORE, tr("Quality mask of the before layer (SCL, QA_PIXEL, ...)")),
            (self.MASK_AFTER, tr("Quality mask of the after layer")),
        ):
            self.add_advanced(QgsProcessingParameterRasterLayer(name, label, optional=True))
        self.add_advanced(
            QgsProcessingParameterString(
                self.MASK_VALUES, tr("Hidden values of the masks, such as 3,8-10"), optional=True
            )
        )
        self.add_advanced(choice(self.OUTLINES, tr("Outlines of buildings"), list(OUTLINE_MODES)))
        self.add_advanced(choice(self.CLOUDS, tr("Clouds in 16-bit layers"), list(CLOUD_MODES)))
        self.add_advanced(choice(self.ALIGN, tr("Shift between the layers"), list(ALIGN_MODES)))
        for name, parent, label in (
            (self.BANDS_BEFORE, self.BEFORE, tr("Bands of the before layer (red, green, blue)")),
            (self.BANDS_AFTER, self.AFTER, tr("Bands of the after layer (red, green, blue)")),
        ):
            self.add_advanced(
                QgsProcessingParameterBand(
                    name, label, parentLayerParameterName=parent, optional=True, allowMultiple=True
                )
            )
        self.add_advanced(
            QgsProcessingParameterString(
                self.COMPETING, tr("Competing classes (zero-shot systems)"), optional=True
            )
        )
        polygons = QgsProcessing.SourceType.TypeVectorPolygon
        self.addParameter(
            QgsProcessingParameterVectorDestination(self.OUTPUT, tr("Changes"), polygons)
        )
        for name, label in ((self.MASK, tr("Change mask")), (self.SCORE, tr("Scores"))):
            self.addParameter(
                QgsProcessingParameterRasterDestination(
                    name, label, optional=True, createByDefault=False
                )
            )
        self.addOutput(QgsProcessingOutputString(self.CAPTION, tr("Scene caption")))
        self.addOutput(QgsProcessingOutputNumber(self.COUNT, tr("Number of changes")))

    def take(self, parameters: dict[str, object], context: QgsProcessingContext) -> None:
        """Create the request without its outputs; see :meth:`ChangeScribeAlgorithm.take`."""
        text = self.parameterAsString(parameters, self.PROMPT, context)
        prompt.parse(text)
        before = self.raster(parameters, self.BEFORE, context)
        after = self.raster(parameters, self.AFTER, context)
        competing = self.parameterAsString(parameters, self.COMPETING, context)
        self._request = ChangeRequest(
            before=source_path(before) or "",
            after=source_path(after) or "",
            prompt=text,
            output="",
            system=self.system(parameters, context),
            extent=self._extent(parameters, context, before),
            bands_before=self._bands(parameters, self.BANDS_BEFORE, context),
            bands_after=self._bands(parameters, self.BANDS_AFTER, context),
            crs_before=assigned_crs(before),
            crs_after=assigned_crs(after),
            threshold=self.parameterAsDouble(parameters, self.THRESHOLD, context),
            min_area=self.number(parameters, self.MIN_AREA, context),
            pixel_size=self.number(parameters, self.PIXEL_SIZE, context),
            nodata=self.parameterAsString(parameters, self.NODATA, context) or NODATA_AUTO,
            nodata_before=user_nodata(before),
            nodata_after=user_nodata(after),
            device=self.parameterAsString(parameters, self.DEVICE, context) or DEVICES[0],
            mask_before=self._mask(parameters, self.MASK_BEFORE, context),
            mask_after=self._mask(parameters, self.MASK_AFTER, context),
            outlines=self.parameterAsString(parameters, self.OUTLINES, context) or OUTLINE_MODES[0],
            clouds=self.parameterAsString(parameters, self.CLOUDS, context) or CLOUD_MODES[0],
            align=self.parameterAsString(parameters, self.ALIGN, context) or ALIGN_MODES[0],
            overwrite=True,
            date_before=date_of(before) or None,
            date_after=date_of(after) or None,
            hints=Hints(competing=listed_names(competing) or None),
        )
        request = self._request
        check_distinct(request.before, request.after, request.bands_before, request.bands_after)

    def _extent(
        self, parameters: dict[str, object], context: QgsProcessingContext, before: QgsMapLayer
    ) -> Optional[Extent]:
        if parameters.get(self.EXTENT) in (None, ""):
            return None
        rectangle = self.parameterAsExtent(parameters, self.EXTENT, context, before.crs())
        if rectangle.isEmpty():
            raise InputError(
                tr("The extent is empty or invalid."),
                tr("Enter xmin,xmax,ymin,ymax and the CRS in brackets: 0,100,0,100 [EPSG:32633]"),
            )
        return Extent(
            rectangle.xMinimum(), rectangle.yMinimum(), rectangle.xMaximum(), rectangle.yMaximum()
        )

    def _mask(
        self, parameters: dict[str, object], name: str, context: QgsProcessingContext
    ) -> Optional[str]:
        if parameters.get(name) in (None, ""):
            return None
        path = source_path(self.raster(parameters, name, context)) or ""
        values = self.parameterAsString(parameters, self.MASK_VALUES, context).strip()
        return f"{path}:{values}" if values else path

    def _bands(
        self, parameters: dict[str, object], name: str, context: QgsProcessingContext
    ) -> Optional[tuple[int, ...]]:
        return tuple(self.parameterAsInts(parameters, name, context)) or None

    def processAlgorithm(
        self,
        parameters: dict[str, object],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, object]:
        """Run the engine; called by QGIS in a background thread."""
        with explained(feedback), contextlib.ExitStack() as stack:
            output = self.parameterAsOutputLayer(parameters, self.OUTPUT, context)
            mask = self.parameterAsOutputLayer(parameters, self.MASK, context)
            score = self.parameterAsOutputLayer(parameters, self.SCORE, context)
            work = stack.enter_context(
                tempfile.TemporaryDirectory(dir=QgsProcessingUtils.tempFolder())
            )
            gpkg = output if is_geopackage(output) else os.path.join(work, "changes.gpkg")
            request = replace(
                self._request,
                output=gpkg,
                mask=mask or os.path.join(work, "mask.tif"),
                score=score or os.path.join(work, "score.tif"),
            )
            try:
                result = _detect(request, feedback)
            except CancelledError as cancelled:
                feedback.pushWarning(str(cancelled))
                return {}
            _report(result, feedback)
            if gpkg != output:
                _export(gpkg, output, feedback)
            _load(context, result, output, mask, is_gpkg=gpkg == output)
        results: dict[str, object] = {
            self.OUTPUT: output,
            self.CAPTION: str(result.caption),
            self.COUNT: result.count,
        }
        results.update(
            {name: path for name, path in ((self.MASK, mask), (self.SCORE, score)) if path}
        )
        return results


def _detect(request: ChangeRequest, feedback: QgsProcessingFeedback) -> ChangeResult:
    from ...engine.detect import pipeline

    return pipeline.detect(
        request,
        configured_host(),
        progress=FeedbackProgress(feedback),
        cancelled=feedback.isCanceled,
    )


def _report(result: ChangeResult, feedback: QgsProcessingFeedback) -> None:
    feedback.pushInfo(result.parse.explanation)
    feedback.pushInfo(tr("Device: {device}").format(device=result.device))
    for warning in result.warnings:
        feedback.pushWarning(warning)
    if result.alignment and result.alignment.text not in result.warnings:
        feedback.pushInfo(result.alignment.text)
    if result.partial:
        feedback.pushWarning(tr("Cancelled. The finished part is kept and marked as partial."))
    feedback.pushInfo(result.caption)


def _export(gpkg: str, output: str, feedback: QgsProcessingFeedback) -> None:
    from ...engine.results.export import export

    for warning in export(gpkg, output, overwrite=True):
        feedback.pushWarning(warning)


def _load(
    context: QgsProcessingContext, result: ChangeResult, output: str, mask: str, *, is_gpkg: bool
) -> None:
    """Style the layers when they are loaded."""
    kinds = [(query.object, query.direction) for query in result.counts]
    kinds += [(query.object, query.direction) for query in result.parse.queries]

    def style_changes(layer: QgsMapLayer) -> None:
        layer.setRenderer(styles.region_renderer(list(dict.fromkeys(kinds))))
        if is_gpkg:  # shapefiles shorten the field names
            layer.setMapTipTemplate(styles.map_tip())
        layer.setDisplayExpression('"caption"')

    def style_mask(layer: QgsMapLayer) -> None:
        layer.setRenderer(styles.mask_renderer(layer))

    load_with(context, output, style_changes, f"{output}|layername=changes" if is_gpkg else None)
    load_with(context, mask, style_mask)
