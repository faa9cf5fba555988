# SPDX-License-Identifier: GPL-3.0-or-later
"""``changescribe:captionchanges``: what changed, in words, for a pair or for boxes of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

from qgis.core import (
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
from ...engine.request import DEVICES, Area, Progress
from ..compat import FIELD_INTEGER, FIELD_TEXT
from ..engine_thread import configured_host
from ..map.layer_source import assigned_crs, source_path
from ..map.polygons import plain, valid
from ..translation import tr
from .algorithm import EngineAlgorithm, FeedbackProgress, explained

if TYPE_CHECKING:
    from ...engine.describe.request import BoxCaption

Box = tuple[int, int, int, int]
#: What LEVEL may be.
BOXES, TILES, REGIONS = LEVELS = ("boxes", "tiles", "regions")


class CaptionChanges(EngineAlgorithm):
    """Describes the change between two rasters."""

    BOXES = "BOXES"
    LEVEL = "LEVEL"

    def __init__(self) -> None:
        super().__init__()
        self._before = ""
        self._after = ""
        self._crs = None
        self._assigned: tuple[Optional[str], Optional[str]] = (None, None)

    def name(self) -> str:
        """Return the id within the provider."""
        return "captionchanges"

    def displayName(self) -> str:
        """Return the name in the toolbox."""
        return tr("Caption changes")

    def tags(self) -> list[str]:
        """Return further words that find the algorithm."""
        return tr("change,describe,description,text,sentence,before,after").split(",")

    def shortDescription(self) -> str:
        """Return the tool tip."""
        return tr("Describes in words what changed between two rasters.")

    def shortHelpString(self) -> str:
        """Return the help beside the parameters."""
        return tr(
            "Describes in words what changed between two rasters of the same place: one "
            "sentence or two for each box, or for the whole pair.\n\n"
            "<b>Boxes</b>: polygons whose bounding boxes, in whole pixels of the layer Before, "
            "are described; the whole pair if it is left out.\n"
            "<b>Level</b>: <i>boxes</i>; <i>tiles</i>: the whole pair, tile by tile; "
            "<i>regions</i>: the polygons themselves, such as those of a layer of changes, in "
            "place of their bounding boxes.\n"
            "<b>Pixel size</b>: side of a pixel on the ground, where the rasters have no "
            "coordinate reference system to tell it by.\n\n"
            "Every statement comes from the changes that were found and measured; where nothing "
            "was found, the caption says so. A system that writes sentences puts one in front, "
            "where it agrees with what was found; how many did not is told, and the field "
            "<i>source</i> names the system, or <i>facts</i>."
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
        self.addOutput(QgsProcessingOutputString(self.CAPTION, tr("Captions, one a line")))

    def take(self, parameters: dict[str, object], context: QgsProcessingContext) -> None:
        """Take the sources; see :meth:`ChangeScribeAlgorithm.take`."""
        before = self.raster(parameters, self.BEFORE, context)
        self._before = source_path(before) or ""
        after = self.raster(parameters, self.AFTER, context)
        self._after = source_path(after) or ""
        self._crs = before.crs()
        self._assigned = assigned_crs(before), assigned_crs(after)

    def processAlgorithm(
        self,
        parameters: dict[str, object],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, object]:
        """Describe; in a thread of Processing's."""
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
        grid: object,
    ) -> list[BoxCaption]:
        """Ask the engine; the boxes come back in the order in which they were given."""
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
        grid: object,
    ) -> Optional[list[tuple[Box, Area]]]:
        """Return the features' bounding boxes in pixels of BEFORE; None for the whole pair.

        With each box comes the feature itself.
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
            feedback.pushWarning(
                tr("{count} boxes lie outside the layer Before and are left out.").format(
                    count=outside
                )
            )
        if not boxes:
            raise InputError(
                tr("No box lies within the layer Before."),
                tr("Check the CRS of the boxes, or leave them out to describe the whole pair."),
            )
        return boxes

    def _write(
        self,
        parameters: dict[str, object],
        context: QgsProcessingContext,
        grid: object,
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
    """Joins the progress of the boxes, each from 0 to 1, to that of the whole."""

    def __init__(self, feedback: QgsProcessingFeedback, count: int) -> None:
        self._report = FeedbackProgress(feedback)
        self._count = count
        self._done = 0
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        """Report; a fraction that falls begins the next box."""
        if progress.fraction < self._last:
            self._done = min(self._done + 1, self._count - 1)
        self._last = progress.fraction
        fraction = (self._done + progress.fraction) / self._count
        self._report(replace(progress, fraction=fraction))


def pixel_box(grid: object, rectangle: QgsRectangle) -> Optional[Box]:
    """Return the pixels of a grid that a rectangle in its CRS touches; None where it misses.

    Args:
        grid: of BEFORE; may be rotated.
        rectangle: in the CRS of the grid.
    """
    corners = [
        grid.map_to_pixel(x, y)
        for x in (rectangle.xMinimum(), rectangle.xMaximum())
        for y in (rectangle.yMinimum(), rectangle.yMaximum())
    ]
    columns, rows = zip(*corners)
    # A corner on the edge of a pixel does not take that pixel in.
    x0 = max(0, math.floor(min(columns) + 1e-6))
    y0 = max(0, math.floor(min(rows) + 1e-6))
    x1 = min(grid.width, math.ceil(max(columns) - 1e-6))
    y1 = min(grid.height, math.ceil(max(rows) - 1e-6))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def box_geometry(grid: object, box: Box) -> QgsGeometry:
    """Return the outline of a box of pixels in the CRS of the grid."""
    x0, y0, x1, y1 = box
    ring = [
        QgsPointXY(*grid.pixel_to_map(x, y))
        for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))
    ]
    return QgsGeometry.fromPolygonXY([ring])
