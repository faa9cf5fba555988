# SPDX-License-Identifier: GPL-3.0-or-later
"""The small pictures of both dates in the map tip of a region: a function of QGIS's expressions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Optional

from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionFunction,
    QgsMapRendererCustomPainterJob,
    QgsMapSettings,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QBuffer, QByteArray, QIODevice, QSize, Qt, QThread
from qgis.PyQt.QtGui import QImage, QPainter

from ...engine.raster.support import thread_options
from ..compat import REVERSE_TRANSFORM
from ..translation import tr

if TYPE_CHECKING:
    from qgis.core import QgsMapLayer, QgsVectorLayer

#: Name of the function; the map tips of saved projects and styles call it.
FUNCTION = "changescribe_pictures"
#: Custom properties of a layer of changes: paths of the rasters that were compared.
BEFORE_PROPERTY = "changescribe/before"
AFTER_PROPERTY = "changescribe/after"
#: Side of a picture in pixels.
SIDE = 124
#: A picture shows this many times the larger side of a region, and at least so many pixels.
_AROUND = 2.2
_MIN_PIXELS = 40
#: A raster without pyramids is read in full: the window would stand still over more pixels a side.
_MAX_PIXELS = 4000


class PicturesFunction(QgsExpressionFunction):
    """``changescribe_pictures()``: an HTML image for each date, empty where there is no raster.

    The function is there while the plugin is; without it the map tip has no pictures.
    """

    def __init__(self) -> None:
        super().__init__(
            FUNCTION,
            0,
            "ChangeScribe",
            tr("HTML with small pictures of a region on both dates, for map tips."),
        )
        self._drawing = False

    def func(
        self, _values: Any, context: Optional[QgsExpressionContext], _parent: Any, _node: Any
    ) -> str:
        """Return the pictures of the feature of an expression; called by QGIS."""
        project = QgsProject.instance()
        # Drawing layers of the project is for the main thread alone; labels are made in others.
        if context is None or QThread.currentThread() is not project.thread():
            return ""
        layer = project.mapLayer(str(context.variable("layer_id") or ""))
        geometry = context.feature().geometry()
        # A symbol that calls the function would draw itself without end.
        if layer is None or geometry.isEmpty() or self._drawing:
            return ""
        self._drawing = True
        try:
            return _pictures(layer, geometry.boundingBox())
        finally:
            self._drawing = False

    def take_back(self) -> None:
        """Make QGIS forget the function."""
        QgsExpression.unregisterFunction(FUNCTION)


def register() -> PicturesFunction:
    """Make the function known to QGIS's expressions, until it is taken back."""
    function = PicturesFunction()
    QgsExpression.registerFunction(function)
    return function


def _pictures(changes: QgsVectorLayer, region: QgsRectangle) -> str:
    """Draw the same ground on both dates."""
    found = []
    for name in (BEFORE_PROPERTY, AFTER_PROPERTY):
        raster = _raster(str(changes.customProperty(name) or ""))
        pixel = 0.0 if raster is None else _pixel_size(raster, changes.crs(), region.center())
        if raster is not None and pixel > 0:
            found.append((raster, pixel))
    least = _MIN_PIXELS * max((pixel for _, pixel in found), default=0.0)
    half = max(_AROUND * max(region.width(), region.height()), least) / 2
    extent = QgsRectangle.fromCenterAndSize(region.center(), 2 * half, 2 * half)
    return "&nbsp;".join(
        _picture(changes, raster, extent)
        for raster, pixel in found
        if 2 * half <= _MAX_PIXELS * pixel or raster.dataProvider().hasPyramids()
    )


def _pixel_size(
    raster: QgsRasterLayer, crs: QgsCoordinateReferenceSystem, place: QgsPointXY
) -> float:
    """Return the larger side of a raster's pixel at a place, in units of a CRS; 0 outside of it."""
    to_raster = QgsCoordinateTransform(crs, raster.crs(), QgsProject.instance())
    sides = [
        _MIN_PIXELS * raster.rasterUnitsPerPixelX(),
        _MIN_PIXELS * raster.rasterUnitsPerPixelY(),
    ]
    try:
        there = QgsRectangle.fromCenterAndSize(to_raster.transform(place), *sides)
        box = to_raster.transformBoundingBox(there, REVERSE_TRANSFORM)
    except QgsCsException:
        return 0.0
    return max(box.width(), box.height()) / _MIN_PIXELS


def _picture(changes: QgsVectorLayer, raster: QgsRasterLayer, extent: QgsRectangle) -> str:
    settings = QgsMapSettings()
    settings.setLayers([changes, raster])
    settings.setDestinationCrs(changes.crs())
    settings.setTransformContext(QgsProject.instance().transformContext())
    settings.setOutputSize(QSize(SIDE, SIDE))
    settings.setFlag(Qgis.MapSettingsFlag.DrawLabeling, False)
    settings.setExtent(extent)
    image = QImage(SIDE, SIDE, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.white)
    painter = QPainter(image)
    job = QgsMapRendererCustomPainterJob(settings, painter)
    job.renderSynchronously()
    painter.end()
    return f'<img width="{SIDE}" height="{SIDE}" src="data:image/png;base64,{_base64(image)}"/>'


def _raster(path: str) -> Optional[QgsRasterLayer]:
    """Return the layer of a raster file as the project shows it, else the file as it is."""
    if not os.path.isfile(path):
        return None
    layers: list[QgsMapLayer] = list(QgsProject.instance().mapLayers().values())
    for layer in layers:
        if isinstance(layer, QgsRasterLayer) and layer.source() == path and layer.isValid():
            return layer
    # QGIS writes the statistics of what it opens beside it, unless GDAL may not.
    with thread_options(GDAL_PAM_ENABLED="NO"):
        layer = QgsRasterLayer(path)
    return layer if layer.isValid() else None


def _base64(image: QImage) -> str:
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(data.toBase64()).decode("ascii")
