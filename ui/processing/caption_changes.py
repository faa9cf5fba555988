# SPDX-License-Identifier: GPL-3.0-or-later
"""``changescribe:captionchanges``: captions of the changes in a pair, or in boxes of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureRequest,
    QgsFeatureSink,
    QgsField,
    QgsFields,
    QgsGeometry,
    QgsPointXY,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFeatureSource,
    QgsRectangle,
    QgsWkbTypes,
)

from ...engine import systems
from ...engine.errors import CancelledError, InputError
from ...engine.raster.files import check_distinct
from ...engine.request import DEVICES, NODATA_AUTO, Area, Progress
from ..compat import FIELD_INTEGER, FIELD_TEXT
from ..engine_thread import configured_host
from ..map.layer_source import assigned_crs, source_path, user_nodata
from ..map.polygons import plain, valid
from ..translation import tr
from .algorithm import EngineAlgorithm, FeedbackProgress, explained

if TYPE_CHECKING:
    from ...engine.describe.request import BoxCaption
    from ...engine.raster.grid import Grid

Box = tuple[int, int, int, int]
#: Values of LEVEL.
BOXES, TILES, REGIONS = LEVELS = ("boxes", "tiles", "regions")


class CaptionChanges(EngineAlgorithm):
    """Captions the changes between two rasters."""

    BOXES = "BOXES"
    LEVEL = "LEVEL"

    def __init__(self) -> None:
        super().__init__()
        self._before = ""
        self._after = ""
        self._crs = QgsCoordinateReferenceSystem()
        self._assigned: tuple[Optional[str], Optional[str]] = (None, None)

    def displayName(self) -> str:
        """Return the name in the toolbox."""
        return tr("Caption changes")

    def tags(self) -> list[str]:
        """Return keywords for the search."""
        return tr("change,describe,description,text,sentence,before,after").split(",")

    def shortDescription(self) -> str:
        """Return the tool tip."""
        return tr("Describes the changes between two rasters in words.")

    def shortHelpString(self) -> str:
        """Return the help beside the parameters."""
        return tr(
            "Describes the changes between two rasters of the same place, with one or two "
            "sentences for each box, or for the whole pair.\n\n"
            "<b>Boxes</b>: polygons to describe by their bounding boxes, in whole pixels of the "
            "before layer. Default: the whole pair.\n"
            "<b>Level</b>: <i>boxes</i>; <i>tiles</i> for the whole pair, tile by tile; "
            "<i>regions</i> for the polygons themselves, such as those of a layer of changes, "
            "instead of their bounding boxes.\n"
            "<b>Pixel size</b>: size of a pixel on the ground, for rasters without a CRS.\n\n"
            "Captions are based on the changes that were detected and measured, and say if there "
            "are none. A system that writes captions adds a sentence in front if it agrees with "
            "the detected changes; the log shows how many did not. The field <i>source</i> "
            "contains the name of the system, or <i>facts</i>."
        )

    def initAlgorithm(self, config: Optional[dict[str, object]] = None) -> None:
        """Add parameters and outputs; called by QGIS."""
        self.add_pair()
        polygons = QgsProcessing.SourceType.TypeVectorPolygon
        self.addParameter(
            QgsProcessingParameterFeatureSource(self.BOXES, tr("Boxes"), [polygons], optional=True)
        )
        names = list(systems.names())
        self.addParameter(
            QgsProcessingParameterEnum(
                self.SYSTEM, tr("System"), names, defaultValue=names[0], usesStaticStrings=True
            )
        )
        self.addParameter(
            QgsProcessingParameterEnum(
                self.LEVEL, tr("Level"), list(LEVELS), defaultValue=BOXES, usesStaticStrings=True
            )
        )
        self.add_pixel_size()
        self.add_nodata()
        self.add_advanced(
            QgsProcessingParameterEnum(
                self.DEVICE,
                tr("Device"),
                list(DEVICES),
                defaultValue=DEVICES[0],
                usesStaticStrings=True,
            )
        )
        self.addParameter(QgsProcessingParameterFeatureSink(self.OUTPUT, tr("Captions"), polygons))
        self.addOutput(QgsProcessingOutputString(self.CAPTION, tr("Captions (one per line)")))

    def take(self, parameters: dict[str, object], context: QgsProcessingContext) -> None:
        """Read the sources; see :meth:`ChangeScribeAlgorithm.take`."""
        before = self.raster(parameters, self.BEFORE, context)
        self._before = source_path(before) or ""
        after = self.raster(parameters, self.AFTER, context)
        self._after = source_path(after) or ""
        check_distinct(self._before, self._after)
        self._crs = before.crs()
        self._assigned = assigned_crs(before), assigned_crs(after)
        self._nodata = user_nodata(before), user_nodata(after)

    def processAlgorithm(
        self,
        parameters: dict[str, object],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, object]:
        """Caption the changes; called by QGIS in a background thread."""
        with explained(feedback):
            from ...engine.raster.reader import RasterSource

            with RasterSource.open(self._before, crs=self._assigned[0]) as source:
                grid = source.grid
            try:
                captions = self._captions(parameters, context, feedback, grid)
            except CancelledError as cancelled:
                feedback.pushWarning(str(cancelled))
                return {}
            destination = self._write(parameters, context, grid, captions)
        text = "\n".join(item.caption for item in captions)
        return {self.OUTPUT: destination, self.CAPTION: text}

    def _captions(
        self,
        parameters: dict[str, object],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
        grid: Grid,
    ) -> list[BoxCaption]:
        """Return the captions, in the order of the boxes."""
        from ...engine.describe import pair
        from ...engine.describe.request import CaptionRequest

        level = self.parameterAsString(parameters, self.LEVEL, context) or BOXES
        system = self.system(parameters, context)
        host = configured_host()
        size = self.number(parameters, self.PIXEL_SIZE, context)
        boxes = outlines = None
        if level == TILES:
            boxes = pair.tile_boxes(grid, host.info(system), size)
        else:
            found = self._boxes(parameters, context, feedback, grid)
            if found is not None:
                boxes = [box for box, _ in found]
                outlines = [area for _, area in found] if level == REGIONS else None
        request = CaptionRequest(
            before=self._before,
            after=self._after,
            boxes=None if boxes is None else tuple(boxes),
            outlines=None if outlines is None else tuple(outlines),
            system=system,
            device=self.parameterAsString(parameters, self.DEVICE, context) or DEVICES[0],
            crs_before=self._assigned[0],
            crs_after=self._assigned[1],
            pixel_size=size,
            nodata=self.parameterAsString(parameters, self.NODATA, context) or NODATA_AUTO,
            nodata_before=self._nodata[0],
            nodata_after=self._nodata[1],
        )
        return pair.caption(
            request,
            host,
            progress=_BoxProgress(feedback, 1 if boxes is None else len(boxes)),
            cancelled=feedback.isCanceled,
            captioned=lambda item: feedback.pushInfo(item.caption),
            warned=feedback.pushWarning,
        )

    def _boxes(
        self,
        parameters: dict[str, object],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
        grid: Grid,
    ) -> Optional[list[tuple[Box, Area]]]:
        """Return the bounding boxes of the features, in pixels of BEFORE, and the features.

        None stands for the whole pair.
        """
        source = self.parameterAsSource(parameters, self.BOXES, context)
        if source is None:
            return None
        request = QgsFeatureRequest().setSubsetOfAttributes([])
        if self._crs.isValid() and source.sourceCrs().isValid():
            request.setDestinationCrs(self._crs, context.transformContext())
        boxes = []
        outside = 0
        for feature in source.getFeatures(request):
            box = None
            if feature.hasGeometry():
                box = pixel_box(grid, feature.geometry().boundingBox())
            if box is None:
                outside += 1
            else:
                boxes.append((box, Area(valid(plain(feature.geometry())).asWkt(9))))
        if outside:
            text = tr("1 box lies outside the before layer and was skipped.")
            if outside > 1:
                text = tr("{count} boxes lie outside the before layer and were skipped.").format(
                    count=outside
                )
            feedback.pushWarning(text)
        if not boxes:
            raise InputError(
                tr("All boxes lie outside the before layer."),
                tr("Check the CRS of the boxes, or omit them to describe the whole pair."),
            )
        return boxes

    def _write(
        self,
        parameters: dict[str, object],
        context: QgsProcessingContext,
        grid: Grid,
        captions: list[BoxCaption],
    ) -> str:
        fields = QgsFields()
        fields.append(QgsField("box_id", FIELD_INTEGER))
        fields.append(QgsField("caption", FIELD_TEXT))
        for name in ("x0", "y0", "x1", "y1"):
            fields.append(QgsField(name, FIELD_INTEGER))
        fields.append(QgsField("source", FIELD_TEXT))
        sink, destination = self.parameterAsSink(
            parameters, self.OUTPUT, context, fields, QgsWkbTypes.Type.Polygon, self._crs
        )
        if sink is None:
            raise QgsProcessingException(self.invalidSinkError(parameters, self.OUTPUT))
        for number, item in enumerate(captions, 1):
            feature = QgsFeature(fields)
            feature.setGeometry(box_geometry(grid, item.box))
            feature.setAttributes([number, str(item.caption), *item.box, item.source])
            if not sink.addFeature(feature, QgsFeatureSink.Flag.FastInsert):
                raise QgsProcessingException(self.writeFeatureError(sink, parameters, self.OUTPUT))
        return destination


class _BoxProgress:
    """Combines the progress of all boxes, each from 0 to 1."""

    def __init__(self, feedback: QgsProcessingFeedback, count: int) -> None:
        self._report = FeedbackProgress(feedback)
        self._count = count
        self._done = 0
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        """Report the progress; a fraction that decreases starts the next box."""
        if progress.fraction < self._last:
            self._done = min(self._done + 1, self._count - 1)
        self._last = progress.fraction
        fraction = (self._done + progress.fraction) / self._count
        self._report(replace(progress, fraction=fraction))


def pixel_box(grid: Grid, rectangle: QgsRectangle) -> Optional[Box]:
    """Return the box of pixels of a grid that a rectangle in its CRS intersects; None outside."""
    corners = [
        grid.map_to_pixel(x, y)
        for x in (rectangle.xMinimum(), rectangle.xMaximum())
        for y in (rectangle.yMinimum(), rectangle.yMaximum())
    ]
    columns, rows = zip(*corners)
    # A corner on the edge of a pixel does not include the pixel.
    x0 = max(0, math.floor(min(columns) + 1e-6))
    y0 = max(0, math.floor(min(rows) + 1e-6))
    x1 = min(grid.width, math.ceil(max(columns) - 1e-6))
    y1 = min(grid.height, math.ceil(max(rows) - 1e-6))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def box_geometry(grid: Grid, box: Box) -> QgsGeometry:
    """Return the outline of a box of pixels in the CRS of the grid."""
    x0, y0, x1, y1 = box
    ring = [
        QgsPointXY(*grid.pixel_to_map(x, y))
        for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))
    ]
    return QgsGeometry.fromPolygonXY([ring])
