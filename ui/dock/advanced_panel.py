# SPDX-License-Identifier: GPL-3.0-or-later
"""The collapsible options of the dock: threshold, minimum area, bands, device, folders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from qgis.gui import QgsCollapsibleGroupBox, QgsDoubleSpinBox, QgsFileWidget
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...engine.hosts.routing import AUTO, IN_PROCESS
from ...engine.paths import MEMORY_GB
from ...engine.raster.common_grid import MAX_SIZE
from ...engine.request import ALIGN_MODES, DEVICES
from ..packages import tiers
from ..settings import AUTOMATIC_AREA, Settings
from ..translation import nodata_texts, tr
from ..widgets import note_label, plain_tip
from .caption_options import CaptionOptions

if TYPE_CHECKING:
    from qgis.core import QgsRasterLayer

_BANDS_OF_RGB = 3
_DEFAULT_THRESHOLD = 0.5


class _AreaSpinBox(QgsDoubleSpinBox):
    """Steps from automatic to 0, which QGIS 3.34 and later skip."""

    def stepBy(self, steps: int) -> None:
        if steps > 0 and self.value() == AUTOMATIC_AREA:
            self.setValue(0.0)
            steps -= 1
        super().stepBy(steps)


class AdvancedPanel(QgsCollapsibleGroupBox):
    """Options with good defaults.

    Signals:
        changed(): an option changed.
        remove_requested(): the user wants to remove the environment for PyTorch.
    """

    changed = pyqtSignal()
    remove_requested = pyqtSignal()

    def __init__(self, settings: Settings, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.setObjectName("advancedGroup")
        self.setTitle(tr("Advanced"))
        self.setSaveCollapsedState(False)
        self.threshold = self._build_threshold()
        self.min_area = self._build_min_area()
        self.pixel_size = self._build_pixel_size()
        self.nodata = self._build_nodata()
        self.bands_before = self._build_bands("bandsBefore")
        self.bands_after = self._build_bands("bandsAfter")
        self.mask_before = self._build_mask("maskBefore")
        self.mask_after = self._build_mask("maskAfter")
        self.mask_values = self._build_mask_values()
        self.clouds = QCheckBox(tr("Leave out"))
        self.clouds.setObjectName("cloudsBox")
        self.clouds.setChecked(True)
        self.clouds.setToolTip(
            tr("Wide white clouds of one date, and their shadows, in 16-bit layers of 5 m or more")
        )
        self.clouds.toggled.connect(self.changed)
        self.align = self._build_align()
        self.outlines = QCheckBox(tr("Right angles"))
        self.outlines.setObjectName("outlinesBox")
        self.outlines.setChecked(True)
        self.outlines.setToolTip(tr("Outlines of buildings, where pixels are 1 m or finer"))
        self.outlines.toggled.connect(self.changed)
        self.device = self._build_device()
        self.host = self._build_host()
        self.python = self._build_python()
        self.base = self._build_base()
        self.remove_button = QPushButton(tr("Remove\N{HORIZONTAL ELLIPSIS}"))
        self.remove_button.setObjectName("removePackages")
        self.remove_button.setToolTip(
            tr("Delete the environment that the plugin created for PyTorch")
        )
        self.remove_button.clicked.connect(self.remove_requested)
        self.captions = CaptionOptions(settings)
        self.weights = self._build_weights()
        self.memory = self._build_memory()
        self.folder = self._build_folder()
        # QgsCollapsibleGroupBox shows all its direct children when expanded; inside one child, the
        # fields keep the visibility that show_tier and show_pixel_size set.
        content = QWidget()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(content)
        # Not a QFormLayout, which keeps the spacing of hidden rows.
        grid = QGridLayout(content)
        self._labels: dict[QWidget, QLabel] = {}
        for row, (text, widget) in enumerate(
            (
                (tr("Score &threshold"), self.threshold),
                (tr("&Minimum area"), self.min_area),
                (tr("Pixel &size"), self.pixel_size),
                (tr("&Invalid pixels"), self.nodata),
                (tr("Bands (before)"), self.bands_before),
                (tr("Bands (after)"), self.bands_after),
                (tr("Mask (before)"), self.mask_before),
                (tr("Mask (after)"), self.mask_after),
                (tr("Masked values"), self.mask_values),
                (tr("Clouds"), self.clouds),
                (tr("Shift between dates"), self.align),
                (tr("Buildings"), self.outlines),
                (tr("De&vice"), self.device),
                (tr("Captions"), self.captions),
                (tr("Run PyTorch in"), self.host),
                (tr("Python executable"), self.python),
                (tr("Install PyTorch with"), self.base),
                (tr("PyTorch environment"), self.remove_button),
                (tr("Model weights"), self.weights),
                (tr("Memory of pairs"), self.memory),
                (tr("Output &folder"), self.folder),
            )
        ):
            label = self._labels[widget] = note_label(text)
            label.setBuddy(widget)
            grid.addWidget(label, row, 0)
            grid.addWidget(widget, row, 1)
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
        spin.setToolTip(tr("Lower values find more changes, but also more false ones."))
        spin.valueChanged.connect(self._threshold_changed)
        return spin

    def _build_min_area(self) -> QgsDoubleSpinBox:
        spin = _AreaSpinBox()
        spin.setObjectName("minAreaSpin")
        spin.setRange(AUTOMATIC_AREA, 1e9)
        spin.setDecimals(0)
        # Steps of 1, 10, 100, ... from automatic to 0 and on.
        spin.setStepType(QgsDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        spin.setSuffix(" " + tr("m\N{SUPERSCRIPT TWO}"))
        spin.setSpecialValueText(tr("Automatic"))
        spin.setClearValue(AUTOMATIC_AREA, tr("Automatic"))
        spin.setValue(self._settings.min_area)
        spin.setToolTip(
            tr(
                "Drops smaller regions, and roads, paths and other lines shorter than 25 m. "
                "0 keeps everything. Automatic is 20 m\N{SUPERSCRIPT TWO} or 4 pixels, "
                "whichever is larger."
            )
        )
        spin.valueChanged.connect(self._min_area_changed)
        return spin

    def _build_nodata(self) -> QComboBox:
        combo = QComboBox()
        combo.setObjectName("nodataCombo")
        for mode, text in nodata_texts().items():
            combo.addItem(text, mode)
        combo.setToolTip(
            tr(
                "Pixels that are invalid in either layer are not analysed. Automatic: by nodata "
                "values, mask and alpha band, unless the alpha band is an image; without any of "
                "these, black or white edges and gaps are left out too."
            )
        )
        combo.currentIndexChanged.connect(self.changed)
        return combo

    def _build_pixel_size(self) -> QgsDoubleSpinBox:
        spin = QgsDoubleSpinBox()
        spin.setObjectName("pixelSizeSpin")
        spin.setRange(0.0, MAX_SIZE)
        spin.setDecimals(3)
        spin.setSingleStep(0.1)
        spin.setSuffix(" " + tr("m"))
        spin.setSpecialValueText(tr("Unknown"))
        spin.setClearValue(0.0, tr("Unknown"))
        spin.setToolTip(
            tr(
                "Size of a pixel on the ground, which these layers do not define. It helps to "
                "recognise objects; areas are still reported in pixels."
            )
        )
        spin.valueChanged.connect(self.changed)
        return spin

    def _build_bands(self, name: str) -> QLineEdit:
        edit = QLineEdit()
        edit.setObjectName(name)
        edit.setPlaceholderText(tr("Automatic"))
        edit.setClearButtonEnabled(True)
        edit.setToolTip(
            tr("Numbers of the red, green and blue bands, such as 3, 2, 1, or a single band")
        )
        edit.textChanged.connect(self.changed)
        return edit

    def _build_mask(self, name: str) -> QgsFileWidget:
        mask = QgsFileWidget()
        mask.setObjectName(name)
        mask.setDialogTitle(tr("Select a raster of clouds and other hidden ground"))
        mask.lineEdit().setPlaceholderText(tr("None"))
        mask.setToolTip(
            tr("Quality raster of that date: SCL of Sentinel-2, QA_PIXEL of Landsat, or another")
        )
        mask.fileChanged.connect(self.changed)
        return mask

    def _build_mask_values(self) -> QLineEdit:
        edit = QLineEdit()
        edit.setObjectName("maskValues")
        edit.setPlaceholderText(tr("Automatic"))
        edit.setToolTip(
            tr(
                "Values that hide the ground, such as 3,8-10 or bit3. Automatic: those of clouds "
                "and their shadows in SCL and QA_PIXEL, and 0 in other masks"
            )
        )
        edit.textChanged.connect(self.changed)
        return edit

    def _build_align(self) -> QComboBox:
        combo = QComboBox()
        combo.setObjectName("alignCombo")
        titles = {
            "report": tr("Measure"),
            "auto": tr("Measure and correct"),
            "off": tr("Ignore"),
        }
        for name in ALIGN_MODES:
            combo.addItem(titles[name], name)
        combo.setCurrentIndex(max(combo.findData(self._settings.align), 0))
        combo.setToolTip(
            tr(
                "A shift between the layers looks like change. It is measured on blocks of the "
                "images and, if you wish, corrected while the after layer is read."
            )
        )
        combo.currentIndexChanged.connect(self._align_changed)
        return combo

    def _build_device(self) -> QComboBox:
        combo = QComboBox()
        combo.setObjectName("deviceCombo")
        titles = {"auto": tr("Automatic"), "cuda": tr("GPU (CUDA)")}
        for name in DEVICES:
            combo.addItem(titles.get(name, name.upper()), name)
        combo.setCurrentIndex(max(combo.findData(self._settings.device), 0))
        combo.currentIndexChanged.connect(self._device_changed)
        return combo

    def _build_host(self) -> QComboBox:
        combo = QComboBox()
        combo.setObjectName("hostCombo")
        combo.addItem(tr("A separate process"), AUTO)
        combo.addItem(tr("The QGIS process"), IN_PROCESS)
        combo.setCurrentIndex(max(combo.findData(self._settings.host), 0))
        combo.setToolTip(
            tr(
                "A crash in a separate process does not affect QGIS. The QGIS process needs "
                "PyTorch in QGIS's Python, and QGIS freezes for a second while it loads."
            )
        )
        combo.currentIndexChanged.connect(self._host_changed)
        return combo

    def _build_python(self) -> QgsFileWidget:
        python = QgsFileWidget()
        python.setObjectName("workerPython")
        python.setDialogTitle(tr("Select a Python executable with PyTorch"))
        python.setFilePath(self._settings.worker_python)
        python.lineEdit().setPlaceholderText(tr("Automatic"))
        python.setToolTip(
            tr("Python executable of an environment with PyTorch, used for the separate process")
        )
        python.fileChanged.connect(self._python_changed)
        return python

    def _build_base(self) -> QgsFileWidget:
        base = QgsFileWidget()
        base.setObjectName("environmentPython")
        base.setDialogTitle(tr("Select a Python executable to install PyTorch with"))
        base.setFilePath(self._settings.environment_python)
        base.lineEdit().setPlaceholderText(tr("QGIS's Python"))
        base.setToolTip(
            tr(
                "Python 3.10 or later, used to create the environment for PyTorch; the Python "
                "itself is not changed"
            )
        )
        base.fileChanged.connect(self._base_changed)
        return base

    def _build_weights(self) -> QgsFileWidget:
        weights = QgsFileWidget()
        weights.setObjectName("weightsFolder")
        weights.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        weights.setDialogTitle(tr("Select folder for model weights"))
        weights.setFilePath(self._settings.weights_folder)
        weights.lineEdit().setPlaceholderText(tr("Automatic"))
        weights.setToolTip(tr("Folder for downloaded and imported model weights"))
        weights.fileChanged.connect(self._weights_changed)
        return weights

    def _build_memory(self) -> QgsDoubleSpinBox:
        spin = QgsDoubleSpinBox()
        spin.setObjectName("memorySpin")
        spin.setRange(0.0, 10_000.0)
        spin.setDecimals(1)
        spin.setSuffix(" " + tr("GB"))
        spin.setSpecialValueText(tr("Off"))
        spin.setClearValue(MEMORY_GB)
        spin.setValue(self._settings.memory_gb)
        spin.setToolTip(
            tr(
                "Space on disk for what another prompt about the same layers needs, so that it "
                "takes a fraction of the time. The least recently used pairs are deleted."
            )
        )
        spin.valueChanged.connect(self._memory_changed)
        return spin

    def _memory_changed(self, gigabytes: float) -> None:
        self._settings.memory_gb = gigabytes

    def show_tier(self, tier: str) -> None:
        """Show the options for a tier; those of the process are for PyTorch only."""
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
            self._labels[widget].setVisible(shown)

    def show_pixel_size(self, shown: bool) -> None:
        """Show the pixel size, for layers that do not define it."""
        self.pixel_size.setVisible(shown)
        self._labels[self.pixel_size].setVisible(shown)

    def _build_folder(self) -> QgsFileWidget:
        folder = QgsFileWidget()
        folder.setObjectName("outputFolder")
        folder.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        folder.setDialogTitle(tr("Select output folder"))
        folder.setFilePath(self._settings.output_folder)
        folder.fileChanged.connect(self._folder_changed)
        return folder

    @property
    def output_folder(self) -> str:
        """The folder chosen; empty for the automatic one."""
        return self.folder.filePath().strip()

    def show_automatic_folder(self, path: str) -> None:
        """Show the folder for results if none is chosen."""
        edit = self.folder.lineEdit()
        edit.setPlaceholderText(path or tr("Beside the project, or the imagery"))
        edit.setToolTip(plain_tip(self.output_folder or path))

    @property
    def masks(self) -> tuple[Optional[str], Optional[str]]:
        """Quality masks of both dates with their values; None if none is chosen."""
        values = self.mask_values.text().strip()
        paths = (widget.filePath().strip() for widget in (self.mask_before, self.mask_after))
        before, after = (f"{path}:{values}" if path and values else path or None for path in paths)
        return before, after

    @property
    def minimum_area(self) -> Optional[float]:
        """Minimum area in m2; None for automatic."""
        value = self.min_area.value()
        return None if value == AUTOMATIC_AREA else value

    @property
    def user_pixel_size(self) -> Optional[float]:
        """Pixel size in metres; None if not set, or if the layers define it."""
        return None if self.pixel_size.isHidden() else self.pixel_size.value() or None

    def bands_problem(self, before: QgsRasterLayer, after: QgsRasterLayer) -> str:
        """Return what is wrong with the bands, or an empty text."""
        for edit, layer in ((self.bands_before, before), (self.bands_after, after)):
            text = edit.text().strip()
            bands = bands_in(text)
            if text and (bands is None or max(bands) > layer.bandCount()):
                return tr('Invalid bands for "{layer}": {bands} (it has {count})').format(
                    layer=layer.name(), bands=text, count=layer.bandCount()
                )
        return ""

    @property
    def bands(self) -> tuple[Optional[tuple[int, ...]], Optional[tuple[int, ...]]]:
        """Bands of the before and after layers, counted from 1; None for automatic."""
        return bands_in(self.bands_before.text()), bands_in(self.bands_after.text())

    def _threshold_changed(self, value: float) -> None:
        self._settings.threshold = value
        self.changed.emit()

    def _min_area_changed(self, value: float) -> None:
        self._settings.min_area = value
        self.changed.emit()

    def _align_changed(self) -> None:
        self._settings.align = self.align.currentData()
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
    """Return the one or three band numbers in a text such as "3, 2, 1"; None if it is not one."""
    parts = re.split(r"[\s,;]+", text.strip()) if text.strip() else []
    if len(parts) not in (1, _BANDS_OF_RGB) or not all(part.isdigit() for part in parts):
        return None
    bands = tuple(int(part) for part in parts)
    return bands if min(bands) > 0 else None
