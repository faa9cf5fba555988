# SPDX-License-Identifier: GPL-3.0-or-later
"""Large pictures of one polygon on both dates, opened with a click on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional

from qgis.core import QgsFeature, QgsFeatureRequest, QgsGeometry, QgsRectangle, QgsVectorLayer
from qgis.gui import QgsMapTool
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtGui import QPixmap
from qgis.PyQt.QtWidgets import QDialog, QGridLayout, QLabel, QWidget

from ..translation import tr
from ..widgets import WrappedLabel, note_label
from .tip_pictures import pictures_of

if TYPE_CHECKING:
    from qgis.core import QgsPointXY
    from qgis.gui import QgsMapCanvas, QgsMapMouseEvent

#: Width and height of a picture in pixels.
SIDE = 360
_AROUND = 1.5
_REACH_PX = 4


class PictureTool(QgsMapTool):
    """Reports the polygon that is clicked; the smallest one where several lie on each other.

    Signals:
        clicked(QgsVectorLayer, QgsFeature): a polygon.
    """

    clicked = pyqtSignal(object, object)

    def __init__(self, canvas: QgsMapCanvas, layer: Callable[[], Optional[QgsVectorLayer]]) -> None:
        super().__init__(canvas)
        self._layer = layer
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def canvasReleaseEvent(self, event: QgsMapMouseEvent) -> None:
        """Find the polygon; called by QGIS."""
        layer = self._layer()
        if layer is None or event.button() != Qt.MouseButton.LeftButton:
            return
        feature = self._feature_at(layer, event.mapPoint())
        if feature is not None:
            self.clicked.emit(layer, feature)

    def _feature_at(self, layer: QgsVectorLayer, place: QgsPointXY) -> Optional[QgsFeature]:
        reach = _REACH_PX * self.canvas().mapUnitsPerPixel()
        around = QgsRectangle.fromCenterAndSize(place, 2 * reach, 2 * reach)
        box = self.toLayerCoordinates(layer, around)
        area = QgsGeometry.fromRect(box)
        request = QgsFeatureRequest().setFilterRect(box)
        hit = [f for f in layer.getFeatures(request) if f.geometry().intersects(area)]
        return min(hit, key=lambda feature: feature.geometry().area(), default=None)


class PictureWindow(QDialog):
    """Non-modal window with both pictures; it follows the selection of its layer."""

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.setObjectName("changeScribePictures")
        self.setWindowTitle(tr("ChangeScribe: both dates"))
        self._layer: Optional[QgsVectorLayer] = None
        self.caption = WrappedLabel()
        self.caption.setObjectName("pictureCaption")
        self.caption.setTextFormat(Qt.TextFormat.PlainText)
        self.caption.setWordWrap(True)
        self.names = [note_label(name=f"pictureName{side}") for side in (0, 1)]
        self.pictures = [QLabel() for _side in (0, 1)]
        grid = QGridLayout(self)
        grid.addWidget(self.caption, 0, 0, 1, 2)
        for side, (name, picture) in enumerate(zip(self.names, self.pictures)):
            picture.setObjectName(f"picture{side}")
            picture.setFixedSize(SIDE, SIDE)
            grid.addWidget(name, 1, side)
            grid.addWidget(picture, 2, side)

    def show_feature(self, layer: QgsVectorLayer, feature: QgsFeature) -> None:
        """Show a polygon of a layer of changes on both dates."""
        self._follow(layer)
        images = pictures_of(layer, feature.geometry().boundingBox(), SIDE, _AROUND)
        self.caption.setText(str(feature["caption"] or ""))
        for side, key in enumerate(("before", "after")):
            date = feature[f"date_{key}"]
            title = tr("Before") if key == "before" else tr("After")
            self.names[side].setText(f"{title}, {date}" if date else title)
            image = images.get(key)
            if image is not None:
                self.pictures[side].setPixmap(QPixmap.fromImage(image))
            else:
                self.pictures[side].setText(tr("No picture: the layer is missing or too large."))
        self.show()
        self.raise_()

    def _follow(self, layer: Optional[QgsVectorLayer]) -> None:
        if self._layer is layer:
            return
        self.release()
        self._layer = layer
        if layer is not None:
            layer.selectionChanged.connect(self._selected)
            layer.willBeDeleted.connect(self.close)

    def release(self) -> None:
        """Let the layer go."""
        layer, self._layer = self._layer, None
        if layer is not None:
            layer.selectionChanged.disconnect(self._selected)
            layer.willBeDeleted.disconnect(self.close)

    def _selected(self) -> None:
        layer = self._layer
        if layer is not None and layer.selectedFeatureCount() == 1:
            self.show_feature(layer, next(layer.getSelectedFeatures()))

    def done(self, result: int) -> None:
        """Let the layer go; called by Qt when the window closes."""
        self.release()
        super().done(result)
