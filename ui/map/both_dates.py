# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of both dates over the map, for the part of the map in view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from qgis.core import (
    Qgis,
    QgsMapLayer,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.gui import QgsMapCanvasItem
from qgis.PyQt.QtCore import QObject, QPointF, QRectF, Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter, QPen

if TYPE_CHECKING:
    from qgis.gui import QgsMapCanvas

#: Over the map, under rubber bands.
_Z = 5.0
_DARK, _LIGHT = QColor("#16202a"), QColor("#ffffff")
_LABEL_FILL = QColor(22, 32, 42, 215)
_GRIP_PX = 11
_PADDING_PX = 6
#: Above the title of the map.
_BOTTOM_PX = 48


@dataclass(frozen=True)
class DatePair:
    """Two rasters to look at, with the texts that name them on the map."""

    before: QgsRasterLayer
    after: QgsRasterLayer
    before_text: str
    after_text: str


def layers_over(canvas: QgsMapCanvas, raster: QgsRasterLayer) -> list[QgsMapLayer]:
    """Return the layers that show a raster with what the map draws over its rasters."""
    over = [layer for layer in canvas.layers() if not isinstance(layer, QgsRasterLayer)]
    return [*over, raster]


class DatesItem(QgsMapCanvasItem):
    """Draws one date, or both with a line between them.

    Attributes:
        share: place of the line as a share of the width; 1 shows only the first date, 0 only the
            second.
        with_line: whether line and names are drawn.
    """

    def __init__(self, canvas: QgsMapCanvas) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self.share = 0.5
        self.with_line = False
        self.pair: Optional[DatePair] = None
        self.images: dict[str, QImage] = {}
        self.extent = QgsRectangle()
        self.setZValue(_Z)
        self.hide()

    def boundingRect(self) -> QRectF:
        """Return the whole canvas; called by Qt."""
        return QRectF(self._canvas.rect())

    def place(self, share: float) -> None:
        """Move the line."""
        self.share = min(max(share, 0.0), 1.0)
        self.update()

    def paint(self, painter: QPainter, _option: Any = None, _widget: Any = None) -> None:
        """Draw the pictures if they are those of the present view; called by Qt."""
        if self.pair is None or len(self.images) < 2 or self.extent != self._canvas.extent():
            return
        area = self.boundingRect()
        middle = round(area.width() * self.share)
        parts = (
            ("before", QRectF(0, 0, middle, area.height())),
            ("after", QRectF(middle, 0, area.width() - middle, area.height())),
        )
        for name, part in parts:
            if part.width() > 0:
                painter.save()
                painter.setClipRect(part)
                painter.drawImage(area, self.images[name])
                painter.restore()
        if self.with_line:
            self._draw_line(painter, area, middle)
        else:
            text = self.pair.before_text if self.share == 1.0 else self.pair.after_text
            self._draw_name(painter, area, text, area.width() / 2, at_left=None)

    def _draw_line(self, painter: QPainter, area: QRectF, middle: int) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, width in ((_DARK, 4), (_LIGHT, 2)):
            painter.setPen(QPen(colour, width))
            painter.drawLine(middle, 0, middle, round(area.height()))
        painter.setPen(QPen(_DARK, 1.5))
        painter.setBrush(_LIGHT)
        centre = QPointF(middle, area.height() / 2)
        painter.drawEllipse(centre, _GRIP_PX, _GRIP_PX)
        for side in (-1, 1):
            tip = QPointF(centre.x() + side * 7, centre.y())
            for up in (-3, 3):
                painter.drawLine(tip, QPointF(centre.x() + side * 3, centre.y() + up))
        if self.pair is not None:
            self._draw_name(painter, area, self.pair.before_text, middle - 8, at_left=True)
            self._draw_name(painter, area, self.pair.after_text, middle + 8, at_left=False)

    def _draw_name(
        self, painter: QPainter, area: QRectF, text: str, x: float, *, at_left: Optional[bool]
    ) -> None:
        """Write a name at the lower edge, left or right of a place (None: centred)."""
        font = QFont(self._canvas.font())
        font.setBold(True)
        metrics = QFontMetrics(font)
        room = {True: x, False: area.width() - x, None: area.width()}[at_left] - 3 * _PADDING_PX
        text = metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, max(int(room), 0))
        if not text:
            return
        width = metrics.horizontalAdvance(text) + 2 * _PADDING_PX
        height = metrics.height() + _PADDING_PX
        left = {True: x - width, False: x, None: x - width / 2}[at_left]
        box = QRectF(left, area.height() - height - _BOTTOM_PX, width, height)
        painter.setFont(font)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_LABEL_FILL)
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(_LIGHT)
        painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), text)


class DatePictures(QObject):
    """Keeps the pictures of a :class:`DatesItem` in step with the map while they are shown.

    Signals:
        drawn(): both pictures are there.
    """

    drawn = pyqtSignal()

    def __init__(self, canvas: QgsMapCanvas) -> None:
        super().__init__()
        self._canvas = canvas
        self.item = DatesItem(canvas)
        self._jobs: list[QgsMapRendererParallelJob] = []

    @property
    def shown(self) -> bool:
        """Whether the pictures are on the map."""
        return self.item.isVisible()

    def show(self, pair: DatePair, share: float, *, with_line: bool) -> None:
        """Show a pair, drawn anew for the present view if needed."""
        item = self.item
        known = item.pair == pair and item.extent == self._canvas.extent()
        item.pair, item.with_line = pair, with_line
        item.place(share)
        if not self.shown:
            self._canvas.extentsChanged.connect(self._draw)
            item.show()
        if not known or not item.images:
            self._draw()

    def hide(self) -> None:
        """Take the pictures off the map."""
        if self.shown:
            self._canvas.extentsChanged.disconnect(self._draw)
            self.item.hide()
        self._stop()
        self.item.images = {}

    def _draw(self) -> None:
        self._stop()
        pair = self.item.pair
        if pair is None:
            return
        self.item.images = {}
        self.item.extent = self._canvas.extent()
        for name, raster in (("before", pair.before), ("after", pair.after)):
            settings = QgsMapSettings(self._canvas.mapSettings())
            settings.setLayers(layers_over(self._canvas, raster))
            # Captions would hide the ground.
            settings.setFlag(Qgis.MapSettingsFlag.DrawLabeling, False)
            job = QgsMapRendererParallelJob(settings)
            job.finished.connect(lambda job=job, name=name: self._finished(job, name))
            self._jobs.append(job)
            job.start()

    def _finished(self, job: QgsMapRendererParallelJob, name: str) -> None:
        if job not in self._jobs:
            return
        self.item.images[name] = job.renderedImage()
        self.item.update()
        if len(self.item.images) == len(self._jobs):
            self._jobs = []
            self.drawn.emit()

    def _stop(self) -> None:
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            if job.isActive():
                job.cancel()

    def shut_down(self) -> None:
        """Remove the pictures from the canvas."""
        self.hide()
        scene = self._canvas.scene()
        if scene is not None:
            scene.removeItem(self.item)
