# SPDX-License-Identifier: GPL-3.0-or-later
"""Expression function that draws small pictures of both dates for the map tip of a region."""

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
from .runs import AFTER_PROPERTY, BEFORE_PROPERTY, source_file, source_layer

if TYPE_CHECKING:
    from qgis.core import QgsVectorLayer

#: Name of the function, called by the map tips in saved projects and styles.
FUNCTION = "changescribe_pictures"
#: Width and height of a picture in pixels.
SIDE = 124
#: Size of a picture as a multiple of the larger side of the region, and minimum in raster pixels.
_AROUND = 2.2
_MIN_PIXELS = 40
#: Rasters without pyramids are read in full, so larger pictures would freeze QGIS.
_MAX_PIXELS = 4000


class PicturesFunction(QgsExpressionFunction):
    """``changescribe_pictures()``: an HTML image per date, empty without a raster.

    The function only exists while the plugin is loaded.
    """

    def __init__(self) -> None:
        super().__init__(
            FUNCTION,
            0,
            "ChangeScribe",
            tr("Returns HTML with small pictures of a region on both dates, for map tips."),
        )
        self._drawing = False

    def func(
        self, _values: Any, context: Optional[QgsExpressionContext], _parent: Any, _node: Any
    ) -> str:
        """Return the pictures of the current feature; called by QGIS."""
        project = QgsProject.instance()
        # Layers of the project can only be drawn on the main thread; labels use others.
        if context is None or QThread.currentThread() is not project.thread():
            return ""
        layer = project.mapLayer(str(context.variable("layer_id") or ""))
        geometry = context.feature().geometry()
        # A symbol that calls the function would draw itself forever.
        if layer is None or geometry.isEmpty() or self._drawing:
            return ""
        self._drawing = True
        try:
            images = pictures_of(layer, geometry.boundingBox(), SIDE)
            return "&nbsp;".join(map(_html, images.values()))
        finally:
            self._drawing = False

    def unregister(self) -> None:
        """Remove the function from QGIS's expressions."""
        QgsExpression.unregisterFunction(FUNCTION)


def register() -> PicturesFunction:
    """Add the function to QGIS's expressions."""
    function = PicturesFunction()
    QgsExpression.registerFunction(function)
    return function


def pictures_of(
    changes: QgsVectorLayer, region: QgsRectangle, side: int, around: float = _AROUND
) -> dict[str, QImage]:
    """Draw a region on both dates at the same extent.

    Args:
        changes: layer of changes, which is drawn too.
        region: in the CRS of the layer.
        side: width and height of a picture in pixels.
        around: size of a picture as a multiple of the larger side of the region.

    Returns:
        The pictures by "before" and "after", as far as there are rasters that can be drawn fast.
    """
    found = []
    for key, name in (("before", BEFORE_PROPERTY), ("after", AFTER_PROPERTY)):
        raster = _raster(changes, name)
        pixel = 0.0 if raster is None else _pixel_size(raster, changes.crs(), region.center())
        if raster is not None and pixel > 0:
            found.append((key, raster, pixel))
    least = _MIN_PIXELS * max((pixel for *_, pixel in found), default=0.0)
    half = max(around * max(region.width(), region.height()), least) / 2
    extent = QgsRectangle.fromCenterAndSize(region.center(), 2 * half, 2 * half)
    return {
        key: _picture(changes, raster, extent, side)
        for key, raster, pixel in found
        if 2 * half <= _MAX_PIXELS * pixel or raster.dataProvider().hasPyramids()
    }


def _pixel_size(
    raster: QgsRasterLayer, crs: QgsCoordinateReferenceSystem, place: QgsPointXY
) -> float:
    """Return the larger side of a pixel at a place in units of a CRS; 0 if it has none."""
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


def _picture(
    changes: QgsVectorLayer, raster: QgsRasterLayer, extent: QgsRectangle, side: int
) -> QImage:
    settings = QgsMapSettings()
    settings.setLayers([changes, raster])
    settings.setDestinationCrs(changes.crs())
    settings.setTransformContext(QgsProject.instance().transformContext())
    settings.setOutputSize(QSize(side, side))
    settings.setFlag(Qgis.MapSettingsFlag.DrawLabeling, False)
    settings.setExtent(extent)
    image = QImage(side, side, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.white)
    painter = QPainter(image)
    job = QgsMapRendererCustomPainterJob(settings, painter)
    job.renderSynchronously()
    painter.end()
    return image


def _html(image: QImage) -> str:
    return f'<img width="{SIDE}" height="{SIDE}" src="data:image/png;base64,{_base64(image)}"/>'


def _raster(changes: QgsVectorLayer, name: str) -> Optional[QgsRasterLayer]:
    """Return the project's layer of a compared raster, or a new layer of its file."""
    layer = source_layer(changes, name)
    path = source_file(changes, name)
    if layer is not None or not os.path.isfile(path):
        return layer
    # Keeps QGIS from writing statistics beside the raster.
    with thread_options(GDAL_PAM_ENABLED="NO"):
        layer = QgsRasterLayer(path)
    return layer if layer.isValid() else None


def _base64(image: QImage) -> str:
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return data.toBase64().data().decode("ascii")
