# SPDX-License-Identifier: GPL-3.0-or-later
"""Choice of the detection system, with its terms and device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ...engine import systems
from ...engine.weights.store import WeightsStore, use_folder
from ..errors import DetailsDialog, as_change_scribe_error, log
from ..packages import tiers
from ..settings import Settings
from ..translation import tr
from ..widgets import hint_label, section_title
from .weights_panel import WeightsPanel

if TYPE_CHECKING:
    from ...engine.systems.base import SystemInfo


def installed_systems() -> tuple[SystemInfo, ...]:
    """Return the descriptions of all systems, without loading weights.

    A system that fails to describe itself is skipped and logged.
    """
    found = []
    for name in systems.names():
        try:
            found.append(systems.create(name).info)
        except Exception as error:  # noqa: BLE001 - one damaged system must not break the dock
            problem = as_change_scribe_error(error)
            log(f"{name}: {problem}\n{problem.details}")
    return tuple(found)


class SystemPanel(QWidget):
    """Chooses the system and shows its device, terms and missing weights.

    Signals:
        changed(): another system was chosen, or its weights changed.
    """

    changed = pyqtSignal()

    def __init__(self, settings: Settings, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self._systems: tuple[SystemInfo, ...] = ()
        self.combo = QComboBox()
        self.combo.setObjectName("systemCombo")
        self.combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.device_label = hint_label(name="deviceLabel")
        self.terms_label = hint_label(name="termsLabel")
        self.why_button = QToolButton()
        self.why_button.setObjectName("whyButton")
        self.why_button.setText(tr("Why?"))
        self.why_button.setToolTip(tr("Show the installed packages and available devices"))
        self.why_button.setAutoRaise(True)
        self.why_button.clicked.connect(self.show_facts)
        row = QHBoxLayout()
        row.addWidget(section_title(tr("S&ystem"), self.combo))
        row.addWidget(self.combo, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        device_row = QHBoxLayout()
        device_row.addWidget(self.device_label, 1)
        device_row.addWidget(self.why_button)
        layout.addLayout(device_row)
        layout.addWidget(self.terms_label)
        self.weights = WeightsPanel()
        self.weights.changed.connect(self._weights_changed)
        layout.addWidget(self.weights)
        self.reload()
        self.combo.currentIndexChanged.connect(self._chosen)

    def reload(self) -> None:
        """Read the list of systems again, for instance after an installation.

        Once its weights are there, the default of the full tier comes first, as recommended.
        """
        use_folder(self._settings.weights_folder)
        recommended = systems.FULL_DEFAULT
        self._systems = installed_systems()
        full = [info for info in self._systems if info.name == recommended]
        if full and not WeightsStore().missing(full[0].weights):
            rest = (info for info in self._systems if info.name != recommended)
            self._systems = (full[0], *rest)
        self.combo.blockSignals(True)
        self.combo.clear()
        for info in self._systems:
            title = info.title
            if info is self._systems[0] and info.name == recommended:
                title = tr("{title} (recommended)").format(title=title)
            self.combo.addItem(title, info.name)
            tip = f"{info.description}\n\n{info.terms}".strip()
            self.combo.setItemData(self.combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        index = self.combo.findData(self._settings.system)
        self.combo.setCurrentIndex(max(index, 0) if self._systems else -1)
        self.combo.blockSignals(False)
        self.refresh()

    @property
    def systems(self) -> tuple[SystemInfo, ...]:
        """The systems to choose from."""
        return self._systems

    @property
    def info(self) -> Optional[SystemInfo]:
        """The chosen system; None if there is none."""
        index = self.combo.currentIndex()
        return self._systems[index] if 0 <= index < len(self._systems) else None

    def refresh(self) -> None:
        """Show the device, terms and missing weights of the chosen system."""
        info = self.info
        use_folder(self._settings.weights_folder)
        self.weights.show_for(info)
        if info is None:
            self.device_label.setText(tr("No detection system is available."))
            self.terms_label.hide()
            return
        self.combo.setToolTip(f"{info.description}\n\n{info.terms}".strip())
        measured = self._settings.measured_device(info.name, self._settings.device)
        device = measured or self._expected_device(info.tier)
        self.device_label.setText(tr("Runs on: {device}").format(device=device))
        self.device_label.setToolTip(
            tr("Device of the last run. Change it under Advanced.") if measured else ""
        )
        self.terms_label.setText(tr("Terms: {terms}").format(terms=info.terms))
        self.terms_label.setVisible(bool(info.terms))

    def _expected_device(self, tier: str) -> str:
        """Return the device expected for the first run."""
        chosen = self._settings.device
        if chosen == "cpu":
            return tr("CPU (chosen under Advanced)")
        if tier == "full":
            return tr("GPU if PyTorch can use it, otherwise CPU")
        if tiers.has_cuda():
            return tr("GPU if available, otherwise CPU")
        if chosen == "cuda":
            return tr("CPU (the installed onnxruntime does not support GPUs)")
        return tr("CPU")

    def show_facts(self) -> DetailsDialog:
        """Show the installed packages, which explain the choice of device."""
        rows = "\n".join(f"{name}: {value}" for name, value in tiers.facts())
        dialog = DetailsDialog(
            tr("ChangeScribe: packages and devices"), self.device_label.text(), rows, self
        )
        dialog.show()
        return dialog

    def _weights_changed(self) -> None:
        if not self.weights.is_busy:
            self.reload()
        self.changed.emit()

    def _chosen(self) -> None:
        info = self.info
        if info is not None:
            self._settings.system = info.name
        self.refresh()
        self.changed.emit()
