# SPDX-License-Identifier: GPL-3.0-or-later
"""Top of the dock: the before and after layers with their dates."""

from __future__ import annotations

import os
import re
from typing import Optional

from qgis.core import QgsMapLayer, QgsProject, QgsRasterLayer
from qgis.gui import QgsMapLayerComboBox
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QGridLayout, QLabel, QLineEdit, QSizePolicy, QToolButton, QWidget

from ...engine.raster.dates import is_iso_date, reversed_dates
from ..compat import FILTER_RASTER
from ..map.layer_source import date_of
from ..map.runs import RESULT_PROPERTY
from ..translation import tr
from ..widgets import icon_path, note_label, warning_label


class LayerPairPanel(QWidget):
    """Chooses two raster layers and their dates.

    Signals:
        changed(): a layer or a date changed.
        lost(str): a chosen layer was removed from the project; its name.
    """

    changed = pyqtSignal()
    lost = pyqtSignal(str)

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        #: Id and name of the chosen layers.
        self._chosen: dict[QgsMapLayerComboBox, tuple[str, str]] = {}
        self.before_combo, self.before_date = self._row("beforeLayer", "beforeDate")
        self.after_combo, self.after_date = self._row("afterLayer", "afterDate")
        self.before_combo.setToolTip(tr("Raster layer of the earlier date"))
        self.after_combo.setToolTip(tr("Raster layer of the later date"))
        self.swap_button = QToolButton()
        self.swap_button.setObjectName("swapButton")
        self.swap_button.setIcon(QIcon(icon_path("swap.svg")))
        self.swap_button.setToolTip(tr("Swap the before and after layers"))
        self.swap_button.setAutoRaise(True)
        self.swap_button.setAccessibleName(tr("Swap the before and after layers"))
        self.swap_button.clicked.connect(self.swap)
        self._warning = warning_label("datesWarning")
        self._lay_out()
        self._read_date(self.before_combo, self.before_date)
        self._read_date(self.after_combo, self.after_date)
        self._check_dates()
        self.exclude_results()

    def _row(self, combo_name: str, date_name: str) -> tuple[QgsMapLayerComboBox, QLineEdit]:
        combo = QgsMapLayerComboBox()
        combo.setObjectName(combo_name)
        combo.setFilters(FILTER_RASTER)
        combo.setAllowEmptyLayer(True)
        combo.setMinimumContentsLength(12)
        combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        combo.setSizeAdjustPolicy(combo.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setLayer(None)
        date = QLineEdit()
        date.setObjectName(date_name)
        date.setPlaceholderText(tr("Date"))
        date.setToolTip(
            tr("Date of the layer (YYYY, YYYY-MM or YYYY-MM-DD), written to the results")
        )
        date.setFixedWidth(date.fontMetrics().horizontalAdvance("0000-00-00") + 18)
        combo.layerChanged.connect(lambda _layer: self._layer_changed(combo, date))
        date.textChanged.connect(self._date_changed)
        return combo, date

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        rows = (
            (tr("&Before"), self.before_combo, self.before_date),
            (tr("&After"), self.after_combo, self.after_date),
        )
        for row, (text, combo, date) in enumerate(rows):
            label = note_label(text)
            label.setBuddy(combo)
            grid.addWidget(label, row, 0)
            grid.addWidget(combo, row, 1)
            grid.addWidget(date, row, 2)
        grid.addWidget(self.swap_button, 0, 3, 2, 1)
        grid.addWidget(self._warning, 2, 0, 1, 4)

    @property
    def before(self) -> Optional[QgsRasterLayer]:
        """The before layer."""
        return self.before_combo.currentLayer()

    @property
    def after(self) -> Optional[QgsRasterLayer]:
        """The after layer."""
        return self.after_combo.currentLayer()

    @property
    def dates(self) -> tuple[str, str]:
        """Both dates, empty if unknown."""
        return self.before_date.text().strip(), self.after_date.text().strip()

    @property
    def warning(self) -> QLabel:
        """The warning about the dates."""
        return self._warning

    def swap(self) -> None:
        """Swap the layers and their dates."""
        before, after = self.before, self.after
        dates = self.dates
        self.before_combo.setLayer(after)
        self.after_combo.setLayer(before)
        self.before_date.setText(dates[1])
        self.after_date.setText(dates[0])

    def offer_layers(self) -> None:
        """Fill the empty fields if the project has just the layers for them, in order of date."""
        if self.before is not None and self.after is not None:
            return
        rasters = [
            layer
            for layer in QgsProject.instance().layerTreeRoot().layerOrder()
            if is_source(layer)
        ]
        if len(rasters) != 2:
            return
        if self.before is not None or self.after is not None:
            chosen = self.before or self.after
            rest = [layer for layer in rasters if layer != chosen]
            if len(rest) == 1:
                (self.after_combo if self.after is None else self.before_combo).setLayer(rest[0])
            return
        rasters.sort(key=date_of)
        self.before_combo.setLayer(rasters[0])
        self.after_combo.setLayer(rasters[1])

    def exclude_results(self) -> None:
        """Offer no masks and scores of runs."""
        results = [
            layer
            for layer in QgsProject.instance().mapLayers().values()
            if isinstance(layer, QgsRasterLayer) and not is_source(layer)
        ]
        for combo in (self.before_combo, self.after_combo):
            combo.setExceptedLayerList(results)

    def release(self, ids: list[str]) -> None:
        """Empty the fields of layers that are being removed; QGIS would choose others."""
        for combo, (layer_id, _name) in list(self._chosen.items()):
            if layer_id in ids:
                self._lose(combo)

    def _lose(self, combo: QgsMapLayerComboBox) -> None:
        _id, name = self._chosen.pop(combo)
        combo.setLayer(None)
        self.lost.emit(name)
        self.changed.emit()

    def _layer_changed(self, combo: QgsMapLayerComboBox, date: QLineEdit) -> None:
        offered = [combo.layer(row) for row in range(combo.count())]
        known = self._chosen.get(combo)
        if known is not None and known[0] not in [layer.id() for layer in offered if layer]:
            self._lose(combo)
            return
        layer = combo.currentLayer()
        if layer is not None:
            self._chosen[combo] = (layer.id(), layer.name())
        else:
            self._chosen.pop(combo, None)
        self._read_date(combo, date)
        self._check_dates()
        self.changed.emit()

    def _read_date(self, combo: QgsMapLayerComboBox, date: QLineEdit) -> None:
        layer = combo.currentLayer()
        date.setText(date_of(layer) if layer is not None else "")
        date.setEnabled(layer is not None)

    def _date_changed(self) -> None:
        self._check_dates()
        self.changed.emit()

    def _check_dates(self) -> None:
        """Warn about an invalid date, or dates in the wrong order."""
        text = ""
        before, after = self.dates
        wrong = [date for date in (before, after) if date and not is_iso_date(date)]
        if wrong:
            text = tr('"{date}" is not a date. Use YYYY, YYYY-MM or YYYY-MM-DD.').format(
                date=wrong[0]
            )
        elif reversed_dates(before, after):
            text = tr("The dates seem reversed: before is {before}, after is {after}.").format(
                before=before, after=after
            )
        self._warning.setText(text)
        self._warning.setVisible(bool(text))


def is_source(layer: QgsMapLayer) -> bool:
    """Whether a layer is a raster, but not the mask or the scores of a run."""
    if not isinstance(layer, QgsRasterLayer) or layer.customProperty(RESULT_PROPERTY):
        return False
    stem = re.sub(r"_(mask|score)\.tif$", "", layer.source())
    return stem == layer.source() or not os.path.isfile(f"{stem}.gpkg")
