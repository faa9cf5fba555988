# SPDX-License-Identifier: GPL-3.0-or-later
"""Area to analyse: the overlap, the map canvas, a drawn rectangle or polygons of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from qgis.core import (
    QgsFeatureRequest,
    QgsGeometry,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.gui import QgsMapLayerComboBox, QgsMapToolExtent, QgsRubberBand
from qgis.PyQt.QtCore import QLocale, pyqtSignal
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QGridLayout,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ...engine.errors import InputError
from ...engine.raster.area import AreaMask
from ...engine.raster.grid import Grid
from ...engine.request import Area, Extent
from ..compat import FILTER_POLYGON, GEOMETRY_POLYGON
from ..map.layer_source import overlap_of, to_crs
from ..map.polygons import plain
from ..translation import tr
from ..widgets import hint_label, section_title

if TYPE_CHECKING:
    from qgis.core import QgsCoordinateReferenceSystem, QgsRasterLayer
    from qgis.gui import QgsMapCanvas

OVERLAP, CANVAS, DRAW, LAYER = range(4)
#: More would freeze QGIS for seconds.
_MAX_VERTICES = 500_000
_NAMES = ("whereOverlap", "whereCanvas", "whereDraw", "whereLayer")


@dataclass(frozen=True)
class Where:
    """The part of the overlap to analyse.

    Attributes:
        rectangle: in the CRS of the before layer; may be empty.
        extent: for the request; None for the whole overlap.
        reason: why nothing can be analysed, or an empty text.
    """

    rectangle: QgsRectangle
    extent: Optional[Extent] = None
    reason: str = ""


class ExtentPanel(QWidget):
    """Chooses the area to analyse.

    Signals:
        changed(): the area changed.
    """

    changed = pyqtSignal()

    def __init__(self, canvas: QgsMapCanvas, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.setObjectName("extentGroup")
        self._canvas = canvas
        self._drawn: Optional[QgsRectangle] = None
        self._drawn_crs: Optional[QgsCoordinateReferenceSystem] = None
        self._tool: Optional[QgsMapToolExtent] = None
        self._band: Optional[QgsRubberBand] = None
        self._buttons = QButtonGroup(self)
        self.layer_combo = QgsMapLayerComboBox()
        self.draw_button = QPushButton(tr("D&raw on canvas"))
        self.estimate_label = hint_label(name="estimateLabel")
        self._watched: Optional[QgsVectorLayer] = None
        self._lay_out()
        self._buttons.buttonToggled.connect(self._choice_toggled)
        self.layer_combo.layerChanged.connect(self._layer_changed)
        self.draw_button.clicked.connect(self.start_drawing)
        canvas.extentsChanged.connect(self._canvas_moved)
        canvas.destinationCrsChanged.connect(self._canvas_moved)
        self._layer_changed(self.layer_combo.currentLayer())

    def _lay_out(self) -> None:
        texts = (
            (tr("&Overlap"), tr("The whole area covered by both layers")),
            (tr("Map &canvas"), tr("The part of the overlap shown on the map canvas")),
            (tr("Rectan&gle"), tr("A rectangle drawn on the map")),
            (tr("Polygo&ns"), tr("The selected polygons of a layer, or all of them")),
        )
        row = QGridLayout()
        row.setHorizontalSpacing(10)
        row.addWidget(section_title(tr("Where")), 0, 0)
        for index, (text, tip) in enumerate(texts):
            button = QRadioButton(text)
            button.setObjectName(_NAMES[index])
            button.setToolTip(tip)
            self._buttons.addButton(button, index)
            row.addWidget(button, index // 2, 1 + index % 2)
        row.setColumnStretch(3, 1)
        self._buttons.button(OVERLAP).setChecked(True)
        self.layer_combo.setObjectName("aoiLayer")
        self.layer_combo.setFilters(FILTER_POLYGON)
        self.layer_combo.setMinimumContentsLength(12)
        self.layer_combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.draw_button.setObjectName("drawButton")
        self.draw_button.setCheckable(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.layer_combo)
        layout.addWidget(self.draw_button)
        layout.addWidget(self.estimate_label)
        self._show_parts()

    @property
    def radio_buttons(self) -> tuple[QAbstractButton, ...]:
        """The four choices, in visual order."""
        return tuple(self._buttons.buttons())

    @property
    def choice(self) -> int:
        """One of OVERLAP, CANVAS, DRAW, LAYER."""
        return self._buttons.checkedId()

    def set_choice(self, choice: int) -> None:
        """Choose one of OVERLAP, CANVAS, DRAW, LAYER."""
        self._buttons.button(choice).setChecked(True)

    def set_drawn(self, rectangle: QgsRectangle, crs: QgsCoordinateReferenceSystem) -> None:
        """Set the drawn rectangle and show it on the map."""
        self._drawn, self._drawn_crs = QgsRectangle(rectangle), crs
        self._show_band()
        self.changed.emit()

    def where(self, before: QgsRasterLayer, after: QgsRasterLayer) -> Where:
        """Return the part to analyse of two overlapping layers."""
        overlap = overlap_of(before, after)
        choice = self.choice
        if choice == OVERLAP:
            return Where(overlap)
        if choice == CANVAS:
            crs = self._canvas.mapSettings().destinationCrs()
            chosen = to_crs(self._canvas.extent(), crs, before.crs())
            missed = tr("The map canvas does not show the overlap of the layers")
        elif choice == DRAW:
            if self._drawn is None or self._drawn_crs is None:
                return Where(QgsRectangle(), reason=tr("Draw a rectangle on the map"))
            chosen = to_crs(self._drawn, self._drawn_crs, before.crs())
            missed = tr("The rectangle lies outside the overlap of the layers")
        else:
            layer = self.layer_combo.currentLayer()
            if layer is None:
                return Where(QgsRectangle(), reason=tr("Choose a polygon layer"))
            chosen = self._touched(layer, overlap, before)
            missed = tr("The polygons lie outside the overlap of the layers")
        rectangle = overlap.intersect(chosen)
        if rectangle.isEmpty():
            return Where(QgsRectangle(), reason=missed)
        extent = Extent(
            rectangle.xMinimum(), rectangle.yMinimum(), rectangle.xMaximum(), rectangle.yMaximum()
        )
        return Where(rectangle, extent)

    def area(self, before: QgsRasterLayer, rectangle: QgsRectangle) -> Optional[Area]:
        """Return the polygons to analyse in the CRS of ``before``; None for a rectangle.

        Raises:
            InputError: no polygon lies in the rectangle, or they cannot be transformed.
        """
        if self.choice != LAYER:
            return None
        layer = self.layer_combo.currentLayer()
        there = _around(rectangle, before, layer)
        # Not dissolved, which takes minutes for a large layer; the engine accepts overlaps.
        together = QgsGeometry.collectGeometry(self._polygons(layer, there))
        if not together.isEmpty():
            crs = before.crs().toWkt() if before.crs().isValid() else ""
            left, top = rectangle.xMinimum(), rectangle.yMaximum()
            shape = (left, rectangle.width(), 0.0, top, 0.0, -rectangle.height())
            grid = Grid(1, 1, shape, crs)
            source = layer.crs().toWkt() if layer.crs().isValid() else None
            mask = AreaMask(Area(together.asWkt(), source), grid)
            if not mask.geometry.IsEmpty():
                return Area(mask.geometry.ExportToWkt())
        raise InputError(
            tr("No polygon lies in the overlap of the layers."),
            tr("Select other polygons, or choose another area."),
        )

    def _touched(
        self, layer: QgsVectorLayer, overlap: QgsRectangle, before: QgsRasterLayer
    ) -> QgsRectangle:
        """Return the part of the overlap near the (selected) polygons of a layer.

        Clipped in the CRS of the layer: the world has no outline in UTM.
        """
        bounds = layer.boundingBoxOfSelected() if _selected(layer) else _extent(layer)
        there = _around(overlap, before, layer)
        if there.isEmpty():  # the engine finds the polygons
            return QgsRectangle(overlap)
        shared = bounds.intersect(there)
        if shared.isEmpty():
            return shared
        return to_crs(shared, layer.crs(), before.crs())

    def _polygons(self, layer: QgsVectorLayer, bounds: QgsRectangle) -> list[QgsGeometry]:
        """Return the (selected) polygons of a layer that intersect a rectangle."""
        request = QgsFeatureRequest().setNoAttributes()
        if not bounds.isEmpty():
            request.setFilterRect(bounds)
        get = layer.getSelectedFeatures if _selected(layer) else layer.getFeatures
        polygons, vertices = [], 0
        for feature in get(request):
            geometry = feature.geometry()
            if geometry.isEmpty():
                continue
            vertices += geometry.constGet().nCoordinates()
            if vertices > _MAX_VERTICES:
                raise InputError(
                    tr('The polygons of "{layer}" have more than {count} vertices.').format(
                        layer=layer.name(), count=QLocale().toString(_MAX_VERTICES)
                    ),
                    tr("Select fewer polygons, simplify them, or choose a rectangle."),
                )
            polygons.append(plain(geometry))
        return polygons

    def start_drawing(self) -> None:
        """Let the user draw a rectangle on the map, then restore the active map tool."""
        if self._tool is None:
            self._tool = QgsMapToolExtent(self._canvas)
            self._tool.extentChanged.connect(self._rectangle_drawn)
            self._tool.deactivated.connect(lambda: self.draw_button.setChecked(False))
        self._previous_tool = self._canvas.mapTool()
        self._canvas.setMapTool(self._tool)
        self.draw_button.setChecked(True)

    def _rectangle_drawn(self, rectangle: QgsRectangle) -> None:
        if rectangle.isEmpty():
            return
        self.set_drawn(rectangle, self._canvas.mapSettings().destinationCrs())
        self.stop_drawing()

    def stop_drawing(self) -> None:
        """Restore the previous map tool."""
        if self._tool is None or self._canvas.mapTool() is not self._tool:
            return
        previous = self._previous_tool
        if previous is not None and previous is not self._tool:
            self._canvas.setMapTool(previous)
        else:
            self._canvas.unsetMapTool(self._tool)

    def _choice_toggled(self, button: QAbstractButton, checked: bool) -> None:
        if not checked:
            return
        choice = self._buttons.id(button)
        self._show_parts()
        self._show_band()
        if choice == DRAW and self._drawn is None and self.isVisible():
            self.start_drawing()
        elif choice != DRAW:
            self.stop_drawing()
        self.changed.emit()

    def _show_parts(self) -> None:
        self.layer_combo.setVisible(self.choice == LAYER)
        self.draw_button.setVisible(self.choice == DRAW)

    def _show_band(self) -> None:
        if self._band is None:
            self._band = QgsRubberBand(self._canvas, GEOMETRY_POLYGON)
            self._band.setStrokeColor(QColor("#22313c"))
            self._band.setFillColor(QColor(0, 0, 0, 0))
            self._band.setWidth(2)
        self._band.reset(GEOMETRY_POLYGON)
        if self.choice == DRAW and self._drawn is not None and self._drawn_crs is not None:
            crs = self._canvas.mapSettings().destinationCrs()
            shown = to_crs(self._drawn, self._drawn_crs, crs)
            self._band.setToGeometry(QgsGeometry.fromRect(shown), None)

    def _layer_changed(self, layer: Optional[QgsVectorLayer]) -> None:
        if self._watched is not None:
            self._watched.selectionChanged.disconnect(self._selection_changed)
            self._watched.layerModified.disconnect(self._selection_changed)
            self._watched.willBeDeleted.disconnect(self._forget_layer)
        self._watched = layer
        if layer is not None:
            layer.selectionChanged.connect(self._selection_changed)
            layer.layerModified.connect(self._selection_changed)
            layer.willBeDeleted.connect(self._forget_layer)
        self.changed.emit()

    def _forget_layer(self) -> None:
        self._watched = None

    def _selection_changed(self) -> None:
        if self.choice == LAYER:
            self.changed.emit()

    def _canvas_moved(self) -> None:
        if self.choice == CANVAS:
            self.changed.emit()

    def shut_down(self) -> None:
        """Remove the map tool, the rectangle and the signals from the canvas."""
        self._canvas.extentsChanged.disconnect(self._canvas_moved)
        self._canvas.destinationCrsChanged.disconnect(self._canvas_moved)
        self.stop_drawing()
        if self._tool is not None:
            self._tool.deleteLater()
            self._tool = None
        if self._band is not None:
            self._canvas.scene().removeItem(self._band)
            self._band = None
        if self._watched is not None:
            self._layer_changed(None)


def _around(rectangle: QgsRectangle, before: QgsRasterLayer, layer: QgsVectorLayer) -> QgsRectangle:
    """Return a rectangle of ``before`` in the CRS of ``layer``; empty if it is not defined.

    Empty also at the antimeridian, where a bounding box goes around the world.
    """
    there = to_crs(rectangle, before.crs(), layer.crs())
    wraps = layer.crs().isGeographic() and (there.xMaximum() > 180 or there.width() > 180)
    return QgsRectangle() if wraps else there


def _extent(layer: QgsVectorLayer) -> QgsRectangle:
    """Return the extent of a layer with its unsaved edits, which layer.extent() misses."""
    bounds, edits = QgsRectangle(layer.extent()), layer.editBuffer()
    if edits is not None:
        for geometry in edits.changedGeometries().values():
            bounds.combineExtentWith(geometry.boundingBox())
        for feature in edits.addedFeatures().values():
            bounds.combineExtentWith(feature.geometry().boundingBox())
    return bounds


def _selected(layer: QgsVectorLayer) -> bool:
    return layer.selectedFeatureCount() > 0
