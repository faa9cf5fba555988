# SPDX-License-Identifier: GPL-3.0-or-later
"""Top of the dock: the before and after layers with their dates."""

from __future__ import annotations

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
    """

    changed = pyqtSignal()

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
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
        """Choose the two source rasters of the project by date, if nothing is chosen yet."""
        if self.before is not None or self.after is not None:
            return
        rasters = [
            layer
            for layer in QgsProject.instance().layerTreeRoot().layerOrder()
            if is_source(layer)
        ]
        if len(rasters) != 2:
            return
        rasters.sort(key=date_of)
        self.before_combo.setLayer(rasters[0])
        self.after_combo.setLayer(rasters[1])

    def _layer_changed(self, combo: QgsMapLayerComboBox, date: QLineEdit) -> None:
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
    """Whether a layer is a raster, but not a result of a run."""
    return isinstance(layer, QgsRasterLayer) and not layer.customProperty(RESULT_PROPERTY)
