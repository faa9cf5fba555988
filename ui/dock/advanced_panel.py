# SPDX-License-Identifier: GPL-3.0-or-later
"""The collapsible part of the dock: threshold, minimum area, bands, device, folders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from qgis.gui import QgsCollapsibleGroupBox, QgsDoubleSpinBox, QgsFileWidget
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QComboBox, QFormLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from ...engine.hosts.routing import AUTO, IN_PROCESS
from ...engine.raster.common_grid import MAX_SIZE
from ...engine.request import DEVICES
from ..packages import tiers
from ..settings import AUTOMATIC_AREA, Settings
from ..widgets import plain_tip
from .caption_options import CaptionOptions

if TYPE_CHECKING:
    from qgis.core import QgsRasterLayer

_BANDS_OF_RGB = 3
_DEFAULT_THRESHOLD = 0.5


class AdvancedPanel(QgsCollapsibleGroupBox):
    """Options that have good defaults.

    Signals:
        changed(): an option is another.
        remove_requested(): the packages that the plugin installed for PyTorch are to go.
    """

    changed = pyqtSignal()
    remove_requested = pyqtSignal()

    def __init__(self, settings: Settings, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.setObjectName("advancedGroup")
        self.setTitle(self.tr("Advanced"))
        self.setSaveCollapsedState(False)
        self.threshold = self._build_threshold()
        self.min_area = self._build_min_area()
        self.pixel_size = self._build_pixel_size()
        self.bands_before = self._build_bands("bandsBefore")
        self.bands_after = self._build_bands("bandsAfter")
        self.device = self._build_device()
        self.host = self._build_host()
        self.python = self._build_python()
        self.base = self._build_base()
        self.remove_button = QPushButton(self.tr("Remove\N{HORIZONTAL ELLIPSIS}"))
        self.remove_button.setObjectName("removePackages")
        self.remove_button.setToolTip(self.tr("Deletes what the plugin installed for PyTorch"))
        self.remove_button.clicked.connect(self.remove_requested)
        self.captions = CaptionOptions(settings)
        self.weights = self._build_weights()
        self.folder = self._build_folder()
        # QgsCollapsibleGroupBox hides and shows its direct children, whatever they were before: of
        # one widget that holds them all, the fields keep what show_tier and the like decided.
        content = QWidget()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(content)
        form = QFormLayout(content)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        form.addRow(self.tr("Score a&t least"), self.threshold)
        form.addRow(self.tr("&Minimum area"), self.min_area)
        form.addRow(self.tr("Pixel &size"), self.pixel_size)
        form.addRow(self.tr("Bands, before"), self.bands_before)
        form.addRow(self.tr("Bands, after"), self.bands_after)
        form.addRow(self.tr("R&un on"), self.device)
        form.addRow(self.tr("Captions by"), self.captions)
        form.addRow(self.tr("PyTorch runs in"), self.host)
        form.addRow(self.tr("Python program"), self.python)
        form.addRow(self.tr("Install PyTorch with"), self.base)
        form.addRow(self.tr("Installed PyTorch"), self.remove_button)
        form.addRow(self.tr("Weights in"), self.weights)
        form.addRow(self.tr("Output &folder"), self.folder)
        self._form = form
        self.show_tier("")
        self.setCollapsed(True)

    def _build_threshold(self) -> QgsDoubleSpinBox:
        spin = QgsDoubleSpinBox()
        spin.setObjectName("thresholdSpin")
        spin.setRange(0.05, 0.95)
        spin.setSingleStep(0.05)
        spin.setDecimals(2)
        spin.setClearValue(_DEFAULT_THRESHOLD)
        spin.setValue(self._settings.threshold)
        spin.setToolTip(self.tr("Lower finds more and errs more; 0.5 suits every kind of object."))
        spin.valueChanged.connect(self._threshold_changed)
        return spin

    def _build_min_area(self) -> QgsDoubleSpinBox:
        spin = QgsDoubleSpinBox()
        spin.setObjectName("minAreaSpin")
        spin.setRange(AUTOMATIC_AREA, 1e9)
        spin.setDecimals(0)
        # Steps of 1, 10, 100, ...: one step up from automatic is 0.
        spin.setStepType(QgsDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        spin.setSuffix(self.tr(" m\N{SUPERSCRIPT TWO}"))
        spin.setSpecialValueText(self.tr("automatic"))
        spin.setClearValue(AUTOMATIC_AREA, self.tr("automatic"))
        spin.setValue(self._settings.min_area)
        spin.setToolTip(
            self.tr(
                "Smaller regions are dropped, and roads, paths and other lines shorter than "
                "25 m; 0 keeps them all. Automatic: 20 m\N{SUPERSCRIPT TWO}, or four "
                "pixels where that is more."
            )
        )
        spin.valueChanged.connect(self._min_area_changed)
        return spin

    def _build_pixel_size(self) -> QgsDoubleSpinBox:
        spin = QgsDoubleSpinBox()
        spin.setObjectName("pixelSizeSpin")
        spin.setRange(0.0, MAX_SIZE)
        spin.setDecimals(3)
        spin.setSingleStep(0.1)
        spin.setSuffix(self.tr(" m"))
        spin.setSpecialValueText(self.tr("not known"))
        spin.setClearValue(0.0, self.tr("not known"))
        spin.setToolTip(
            self.tr(
                "Side of a pixel on the ground: the layers do not tell it, and objects are "
                "known by their size. Areas are still given in pixels."
            )
        )
        spin.valueChanged.connect(self.changed)
        return spin

    def _build_bands(self, name: str) -> QLineEdit:
        edit = QLineEdit()
        edit.setObjectName(name)
        edit.setPlaceholderText(self.tr("automatic"))
        edit.setClearButtonEnabled(True)
        edit.setToolTip(
            self.tr("Numbers of the red, green and blue band, such as 3, 2, 1; or one band.")
        )
        edit.textChanged.connect(self.changed)
        return edit

    def _build_device(self) -> QComboBox:
        combo = QComboBox()
        combo.setObjectName("deviceCombo")
        titles = {"auto": self.tr("automatic"), "cuda": self.tr("graphics card (CUDA)")}
        for name in DEVICES:
            combo.addItem(titles.get(name, name.upper()), name)
        combo.setCurrentIndex(max(combo.findData(self._settings.device), 0))
        combo.currentIndexChanged.connect(self._device_changed)
        return combo

    def _build_host(self) -> QComboBox:
        combo = QComboBox()
        combo.setObjectName("hostCombo")
        combo.addItem(self.tr("a process of its own"), AUTO)
        combo.addItem(self.tr("QGIS's process"), IN_PROCESS)
        combo.setCurrentIndex(max(combo.findData(self._settings.host), 0))
        combo.setToolTip(
            self.tr(
                "A process of its own cannot take QGIS along if it fails. QGIS's process needs "
                "PyTorch in QGIS's Python, and holds the window for a second when it loads."
            )
        )
        combo.currentIndexChanged.connect(self._host_changed)
        return combo

    def _build_python(self) -> QgsFileWidget:
        python = QgsFileWidget()
        python.setObjectName("workerPython")
        python.setDialogTitle(self.tr("Python program of an environment with PyTorch"))
        python.setFilePath(self._settings.worker_python)
        python.lineEdit().setPlaceholderText(self.tr("automatic"))
        python.setToolTip(
            self.tr("The Python program of an environment with PyTorch, for the process of its own")
        )
        python.fileChanged.connect(self._python_changed)
        return python

    def _build_base(self) -> QgsFileWidget:
        base = QgsFileWidget()
        base.setObjectName("environmentPython")
        base.setDialogTitle(self.tr("Python program to install PyTorch with"))
        base.setFilePath(self._settings.environment_python)
        base.lineEdit().setPlaceholderText(self.tr("QGIS's Python"))
        base.setToolTip(
            self.tr(
                "Python 3.10 or later, which makes the environment that PyTorch is installed "
                "into; it stays as it is itself"
            )
        )
        base.fileChanged.connect(self._base_changed)
        return base

    def _build_weights(self) -> QgsFileWidget:
        weights = QgsFileWidget()
        weights.setObjectName("weightsFolder")
        weights.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        weights.setDialogTitle(self.tr("Folder of model weights"))
        weights.setFilePath(self._settings.weights_folder)
        weights.lineEdit().setPlaceholderText(self.tr("automatic"))
        weights.setToolTip(self.tr("Model weights are downloaded or imported into this folder"))
        weights.fileChanged.connect(self._weights_changed)
        return weights

    def show_tier(self, tier: str) -> None:
        """Show what matters for a system of a tier: only PyTorch has a choice of process."""
        full = tier == "full"
        own_process = full and self.host.currentData() != IN_PROCESS
        for widget, shown in (
            (self.host, full),
            (self.python, own_process),
            (self.base, own_process),
            (self.remove_button, own_process and bool(tiers.worker_python())),
            (self.weights, full),
        ):
            widget.setVisible(shown)
            self._form.labelForField(widget).setVisible(shown)

    def show_pixel_size(self, shown: bool) -> None:
        """Let the size of the pixels be told, or not: where the layers tell it."""
        self.pixel_size.setVisible(shown)
        self._form.labelForField(self.pixel_size).setVisible(shown)

    def _build_folder(self) -> QgsFileWidget:
        folder = QgsFileWidget()
        folder.setObjectName("outputFolder")
        folder.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        folder.setDialogTitle(self.tr("Folder for the results"))
        folder.setFilePath(self._settings.output_folder)
        folder.fileChanged.connect(self._folder_changed)
        return folder

    @property
    def output_folder(self) -> str:
        """The folder chosen, or an empty text: the automatic one."""
        return self.folder.filePath().strip()

    def show_automatic_folder(self, path: str) -> None:
        """Show where results go while no folder is chosen."""
        edit = self.folder.lineEdit()
        edit.setPlaceholderText(path or self.tr("beside the earlier layer"))
        edit.setToolTip(plain_tip(self.output_folder or path))

    @property
    def minimum_area(self) -> Optional[float]:
        """In m2; None leaves it to the engine."""
        value = self.min_area.value()
        return None if value == AUTOMATIC_AREA else value

    @property
    def user_pixel_size(self) -> Optional[float]:
        """Side of a pixel in metres; None where it is not told, or the layers tell it."""
        return None if self.pixel_size.isHidden() else self.pixel_size.value() or None

    def bands_problem(self, before: QgsRasterLayer, after: QgsRasterLayer) -> str:
        """Return what is wrong with the bands typed; empty where nothing is."""
        for edit, layer in ((self.bands_before, before), (self.bands_after, after)):
            text = edit.text().strip()
            bands = bands_in(text)
            if text and (bands is None or max(bands) > layer.bandCount()):
                return self.tr('"{bands}" are not bands of {layer} (it has {n})').format(
                    bands=text, layer=layer.name(), n=layer.bandCount()
                )
        return ""

    @property
    def bands(self) -> tuple[Optional[tuple[int, ...]], Optional[tuple[int, ...]]]:
        """Band numbers for the earlier and the later layer; None is automatic."""
        return bands_in(self.bands_before.text()), bands_in(self.bands_after.text())

    def _threshold_changed(self, value: float) -> None:
        self._settings.threshold = value
        self.changed.emit()

    def _min_area_changed(self, value: float) -> None:
        self._settings.min_area = value
        self.changed.emit()

    def _device_changed(self) -> None:
        self._settings.device = self.device.currentData()
        self.changed.emit()

    def _host_changed(self) -> None:
        self._settings.host = self.host.currentData()
        self.show_tier("full")
        self.changed.emit()

    def _python_changed(self, path: str) -> None:
        self._settings.worker_python = path.strip()
        self.changed.emit()

    def _base_changed(self, path: str) -> None:
        self._settings.environment_python = path.strip()
        self.changed.emit()

    def _weights_changed(self, folder: str) -> None:
        self._settings.weights_folder = folder.strip()
        self.changed.emit()

    def _folder_changed(self, folder: str) -> None:
        self._settings.output_folder = folder.strip()
        self.changed.emit()


def bands_in(text: str) -> Optional[tuple[int, ...]]:
    """Return one or three band numbers of a text such as "3, 2, 1"; None where it has none."""
    parts = re.split(r"[\s,;]+", text.strip()) if text.strip() else []
    if len(parts) not in (1, _BANDS_OF_RGB) or not all(part.isdigit() for part in parts):
        return None
    bands = tuple(int(part) for part in parts)
    return bands if min(bands) > 0 else None
