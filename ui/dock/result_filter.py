# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters the changes of a run by score and area, on the map only."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Optional

from qgis.core import QgsVectorLayer
from qgis.gui import QgsDoubleSpinBox
from qgis.PyQt import sip
from qgis.PyQt.QtCore import Qt, QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import QGridLayout, QSlider, QToolButton, QWidget

from ..map.runs import path_of
from ..translation import tr
from ..widgets import hint_label, note_label

if TYPE_CHECKING:
    from ..map.runs import Run

_SETTLE_MS = 150
_STEPS = 100
_NUMBER = r'"{field}" >= ([0-9.e+-]+)'


class ResultFilter(QWidget):
    """Minimum score and area of the changes shown, applied live.

    Signals:
        filtered(Run): the filter of the run changed.
        edited(Run): the user ended an edit of the layer; see :meth:`total`.
    """

    filtered = pyqtSignal(object)
    edited = pyqtSignal(object)

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._run: Optional[Run] = None
        self._watched: Optional[QgsVectorLayer] = None
        self.score = self._spin("filterScore", 1.0, 2, 0.05)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("filterScoreSlider")
        self.slider.setRange(0, _STEPS)
        self.slider.setPageStep(5)
        self.slider.setMinimumWidth(60)
        self.slider.valueChanged.connect(lambda step: self.score.setValue(step / _STEPS))
        self.score.valueChanged.connect(lambda _value: self._follow())
        self.area = self._spin("filterArea", 1e9, 0, 10.0)
        self.reset_button = QToolButton()
        self.reset_button.setObjectName("filterReset")
        self.reset_button.setText(tr("Reset"))
        self.reset_button.setToolTip(tr("Show all changes of the run"))
        self.reset_button.clicked.connect(self.reset)
        self.count_label = hint_label(name="filterCount")
        self.setToolTip(tr("Hides changes on the map. The files keep all of them."))
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(4)
        grid.addWidget(note_label(tr("Score \N{GREATER-THAN OR EQUAL TO}")), 0, 0)
        grid.addWidget(self.slider, 0, 1)
        grid.addWidget(self.score, 0, 2)
        grid.addWidget(note_label(tr("Area \N{GREATER-THAN OR EQUAL TO}")), 1, 0)
        grid.addWidget(self.area, 1, 1)
        grid.addWidget(self.reset_button, 1, 2)
        grid.setColumnStretch(1, 1)
        grid.addWidget(self.count_label, 2, 0, 1, 3)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE_MS)
        self._timer.timeout.connect(self.apply)

    def _spin(self, name: str, most: float, decimals: int, step: float) -> QgsDoubleSpinBox:
        spin = QgsDoubleSpinBox()
        spin.setObjectName(name)
        spin.setRange(0.0, most)
        spin.setDecimals(decimals)
        spin.setSingleStep(step)
        spin.setClearValue(0.0)
        spin.setMinimumWidth(50)
        spin.valueChanged.connect(lambda _value: self._timer.start())
        return spin

    def _follow(self) -> None:
        """Move the slider to the number, without rounding the number to its steps."""
        self.slider.blockSignals(True)
        self.slider.setValue(round(self.score.value() * _STEPS))
        self.slider.blockSignals(False)

    def set_run(self, run: Optional[Run]) -> None:
        """Show the filter of another run, which is stored in its layer."""
        if self._timer.isActive():  # of the previous run
            self._timer.stop()
            self.apply()
        self._run = run
        layer = self._layer()
        self._watch(layer)
        subset = layer.subsetString() if layer is not None else ""
        for spin, field in ((self.score, "score"), (self.area, self._area_field())):
            found = re.search(_NUMBER.format(field=field), subset)
            spin.blockSignals(True)
            spin.setValue(float(found.group(1)) if found else 0.0)
            spin.blockSignals(False)
        self._follow()
        unit = tr("m\N{SUPERSCRIPT TWO}") if self._area_field() == "area_m2" else "px"
        self.area.setSuffix(f" {unit}")
        self._show()

    def reset(self) -> None:
        """Remove the filter."""
        self.score.setValue(0.0)
        self.area.setValue(0.0)
        self.apply()

    def apply(self) -> None:
        """Filter the layer by both fields."""
        self._timer.stop()
        layer = self._layer()
        if layer is None:
            return
        limits = (("score", self.score.value()), (self._area_field(), self.area.value()))
        subset = " AND ".join(f'"{field}" >= {value!r}' for field, value in limits if value > 0)
        if subset != layer.subsetString() and layer.setSubsetString(subset):
            self.filtered.emit(self._run)
        self._show()

    def _area_field(self) -> str:
        return "area_px" if self._run is not None and self._run.area_m2 is None else "area_m2"

    def _layer(self) -> Optional[QgsVectorLayer]:
        layer = self._run.layer("changes") if self._run is not None else None
        return layer if isinstance(layer, QgsVectorLayer) else None

    def _watch(self, layer: Optional[QgsVectorLayer]) -> None:
        """Follow the edits of the layer of the run."""
        if layer is self._watched:
            return
        for watched, connect in ((self._watched, False), (layer, True)):
            if watched is None or sip.isdeleted(watched):
                continue
            for signal, slot in (
                (watched.editingStarted, self._show),
                (watched.featureAdded, self._show),
                (watched.featuresDeleted, self._show),
                (watched.editingStopped, self._editing_stopped),
            ):
                signal.connect(slot) if connect else signal.disconnect(slot)
        self._watched = layer

    def _editing_stopped(self) -> None:
        self._show()
        if self._run is not None:
            self.edited.emit(self._run)

    def total(self) -> int:
        """Return the number of changes without the filter; negative if the file is missing."""
        layer = self._layer()
        if layer is None or not layer.isValid() or not os.path.isfile(path_of(layer)):
            return -1
        if not layer.subsetString():
            return int(layer.featureCount())
        return int(QgsVectorLayer(f"{path_of(layer)}|layername=changes", "", "ogr").featureCount())

    def _show(self, *_: object) -> None:
        layer, run = self._layer(), self._run
        self.setVisible(layer is not None and run is not None and run.count > 0)
        if layer is None or run is None:
            return
        total, editing = self.total(), layer.isEditable()
        if total < 0:
            text = tr("{file} is missing").format(file=os.path.basename(run.gpkg))
        elif editing:  # QGIS cannot filter a layer in edit mode
            text = tr("Save the layer edits to filter the changes")
        else:
            text = tr("{shown} of {total} shown").format(shown=layer.featureCount(), total=total)
        for widget in (self.score, self.slider, self.area, self.reset_button):
            widget.setEnabled(total >= 0 and not editing)
        self.count_label.setText(text)
