# SPDX-License-Identifier: GPL-3.0-or-later
"""A second map that shows one date beside the main map and moves with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from qgis.gui import QgsDockWidget, QgsMapCanvas, QgsMapToolPan
from qgis.PyQt.QtWidgets import QComboBox, QVBoxLayout, QWidget

from ..translation import tr
from .both_dates import DatePair, layers_over

if TYPE_CHECKING:
    from qgis.PyQt.QtGui import QCloseEvent


class LinkedView(QgsDockWidget):
    """Shows the date chosen in its list; both maps show the same place at the same scale."""

    def __init__(self, main: QgsMapCanvas, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.setObjectName("ChangeScribeSecondView")
        self.setWindowTitle(tr("ChangeScribe: second map"))
        self._main = main
        self._pair: Optional[DatePair] = None
        self._following = False
        self.canvas = QgsMapCanvas()
        self.canvas.setObjectName("changeScribeSecondCanvas")
        self.canvas.setCanvasColor(main.canvasColor())
        self._tool = QgsMapToolPan(self.canvas)
        self.canvas.setMapTool(self._tool)
        self.dates = QComboBox()
        self.dates.setObjectName("secondViewDate")
        self.dates.setAccessibleName(tr("Date shown in the second map"))
        self.dates.currentIndexChanged.connect(lambda _row: self.show_layers())
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.dates)
        column.addWidget(self.canvas, 1)
        self.setWidget(content)
        main.extentsChanged.connect(self._follow_main)
        main.layersChanged.connect(self.show_layers)
        main.destinationCrsChanged.connect(self._follow_main)
        self.canvas.extentsChanged.connect(self._follow_view)

    def show_pair(self, pair: DatePair) -> None:
        """Show the earlier date of a pair, or the one chosen before."""
        self._pair = pair
        row = max(self.dates.currentIndex(), 0)
        self.dates.blockSignals(True)
        self.dates.clear()
        self.dates.addItems([pair.before_text, pair.after_text])
        self.dates.setCurrentIndex(row)
        self.dates.blockSignals(False)
        self.show_layers()
        self._follow_main()

    def show_layers(self) -> None:
        """Show the layers of the main map over the chosen date."""
        if self._pair is not None:
            first = self.dates.currentIndex() == 0
            raster = self._pair.before if first else self._pair.after
            self.canvas.setLayers(layers_over(self._main, raster))

    def _follow_main(self) -> None:
        if not self._following:
            self._following = True
            self.canvas.setDestinationCrs(self._main.mapSettings().destinationCrs())
            self.canvas.setRotation(self._main.rotation())
            _show_same(self._main, self.canvas)
            self._following = False

    def _follow_view(self) -> None:
        if not self._following and self._pair is not None:
            self._following = True
            _show_same(self.canvas, self._main)
            self._main.refresh()
            self._following = False

    def forget(self) -> None:
        """Show nothing, since a layer is being removed."""
        self._pair = None
        self.canvas.setLayers([])

    def shut_down(self) -> None:
        """Disconnect from the main map."""
        self.forget()
        self._main.extentsChanged.disconnect(self._follow_main)
        self._main.layersChanged.disconnect(self.show_layers)
        self._main.destinationCrsChanged.disconnect(self._follow_main)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Free the layers; called by Qt."""
        self.forget()
        super().closeEvent(event)


def _show_same(source: QgsMapCanvas, target: QgsMapCanvas) -> None:
    """Show the centre of a map at its scale in another, whatever their sizes."""
    target.setExtent(source.extent())
    target.zoomScale(source.scale())
    target.refresh()
