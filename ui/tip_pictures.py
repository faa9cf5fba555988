# SPDX-License-Identifier: GPL-3.0-or-later
"""The small pictures of both dates in the map tip of a region: a function of QGIS's expressions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Optional

from qgis.core import (
    Qgis,
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionFunction,
    QgsMapRendererCustomPainterJob,
    QgsMapSettings,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QBuffer, QByteArray, QIODevice, QSize, Qt, QThread
from qgis.PyQt.QtGui import QImage, QPainter

from .translation import tr

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
_LEAST_PIXELS = 40


class PicturesFunction(QgsExpressionFunction):
    """``changescribe_pictures()``: an HTML image for each date, empty where there is no raster.

    The function is there while the plugin is; without it the map tip has no pictures.
    """

    def __init__(self) -> None:
        super().__init__(
            FUNCTION, 0, "ChangeScribe",
            tr("HTML with small pictures of a region on both dates, for map tips."),
        )

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
        if layer is None or geometry.isEmpty():
            return ""
        return "&nbsp;".join(filter(None, (
            _picture(layer, str(layer.customProperty(name) or ""), geometry.boundingBox())
            for name in (BEFORE_PROPERTY, AFTER_PROPERTY)
        )))

    def take_back(self) -> None:
        """Make QGIS forget the function."""
        QgsExpression.unregisterFunction(FUNCTION)


def register() -> PicturesFunction:
    """Make the function known to QGIS's expressions, until it is taken back."""
    function = PicturesFunction()
    QgsExpression.registerFunction(function)
    return function


def _picture(changes: QgsVectorLayer, path: str, region: QgsRectangle) -> str:
    raster = _raster(path)
    if raster is None:
        return ""
    settings = QgsMapSettings()
    settings.setLayers([changes, raster])
    settings.setDestinationCrs(changes.crs())
    settings.setTransformContext(QgsProject.instance().transformContext())
    settings.setOutputSize(QSize(SIDE, SIDE))
    settings.setFlag(Qgis.MapSettingsFlag.DrawLabeling, False)
    least = _LEAST_PIXELS * raster.rasterUnitsPerPixelX() if raster.crs() == changes.crs() else 0.0
    half = max(region.width(), region.height(), least / _AROUND) * _AROUND / 2
    centre = region.center()
    settings.setExtent(QgsRectangle(
        centre.x() - half, centre.y() - half, centre.x() + half, centre.y() + half
    ))
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
    layer = QgsRasterLayer(path)
    return layer if layer.isValid() else None


def _base64(image: QImage) -> str:
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(data.toBase64()).decode("ascii")
