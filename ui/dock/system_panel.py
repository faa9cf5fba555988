# SPDX-License-Identifier: GPL-3.0-or-later
"""What to look with: the system, its terms, and the device that it runs on."""

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
from ..widgets import hint_label, section_title
from .weights_panel import WeightsPanel

if TYPE_CHECKING:
    from ...engine.systems.base import SystemInfo


def installed_systems() -> tuple[SystemInfo, ...]:
    """Return what is known of the systems, without loading any weights.

    A system that cannot describe itself is left out, and the log says why.
    """
    found = []
    for name in systems.names():
        try:
            found.append(systems.create(name).info)
        except Exception as error:  # noqa: BLE001 - one damaged system must not close the dock
            problem = as_change_scribe_error(error)
            log(f"{name}: {problem}\n{problem.details}")
    return tuple(found)


class SystemPanel(QWidget):
    """Chooses the system and says on what it runs, under which terms, and what it lacks.

    Signals:
        changed(): another system was chosen, or its weights have come.
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
        self.why_button.setText(self.tr("why?"))
        self.why_button.setToolTip(self.tr("What is installed here and can be used"))
        self.why_button.setAutoRaise(True)
        self.why_button.clicked.connect(self.show_facts)
        row = QHBoxLayout()
        row.addWidget(section_title(self.tr("Wit&h"), self.combo))
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

        Once its weights are here, the full tier's default comes first and is proposed.
        """
        use_folder(self._settings.weights_folder)
        proposed = systems.FULL_DEFAULT
        self._systems = installed_systems()
        full = [info for info in self._systems if info.name == proposed]
        if full and not WeightsStore().missing(full[0].weights):
            rest = (info for info in self._systems if info.name != proposed)
            self._systems = (full[0], *rest)
        self.combo.blockSignals(True)
        self.combo.clear()
        for info in self._systems:
            title = info.title
            if info is self._systems[0] and info.name == proposed:
                title = self.tr("{title} (proposed)").format(title=title)
            self.combo.addItem(title, info.name)
            tip = f"{info.description}\n\n{info.terms}".strip()
            self.combo.setItemData(self.combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        index = self.combo.findData(self._settings.system)
        self.combo.setCurrentIndex(max(index, 0) if self._systems else -1)
        self.combo.blockSignals(False)
        self.refresh()

    @property
    def systems(self) -> tuple[SystemInfo, ...]:
        """All that can be chosen."""
        return self._systems

    @property
    def info(self) -> Optional[SystemInfo]:
        """The system chosen; None where there is none."""
        index = self.combo.currentIndex()
        return self._systems[index] if 0 <= index < len(self._systems) else None

    def refresh(self) -> None:
        """Show what is known of the chosen system, its device, and the weights that it lacks."""
        info = self.info
        use_folder(self._settings.weights_folder)
        self.weights.show_for(info)
        if info is None:
            self.device_label.setText(self.tr("No detection system can be used."))
            self.terms_label.hide()
            return
        self.combo.setToolTip(f"{info.description}\n\n{info.terms}".strip())
        measured = self._settings.measured_device(info.name, self._settings.device)
        device = measured or self._expected_device(info.tier)
        self.device_label.setText(self.tr("runs on: {device}").format(device=device))
        self.device_label.setToolTip(
            self.tr("What the last run used. The choice is under Advanced.") if measured else ""
        )
        self.terms_label.setText(self.tr("terms: {terms}").format(terms=info.terms))
        self.terms_label.setVisible(bool(info.terms))

    def _expected_device(self, tier: str) -> str:
        """Say on what a first run will be, before the engine has said on what it was."""
        chosen = self._settings.device
        if chosen == "cpu":
            return self.tr("CPU, as chosen")
        if tier == "full":
            return self.tr("graphics card if PyTorch can use it, else CPU")
        if tiers.has_cuda():
            return self.tr("graphics card if it can be used, else CPU")
        if chosen == "cuda":
            return self.tr("CPU: the onnxruntime installed here cannot use a graphics card")
        return self.tr("CPU")

    def show_facts(self) -> DetailsDialog:
        """Open what is installed here, which says why a run is on this device."""
        rows = "\n".join(f"{name}: {value}" for name, value in tiers.facts())
        dialog = DetailsDialog(
            self.tr("ChangeScribe: what runs here"), self.device_label.text(), rows, self
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
