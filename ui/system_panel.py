# SPDX-License-Identifier: GPL-3.0-or-later
"""What to look with: the system, its terms, and the device that it runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import QComboBox, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from .errors import as_change_scribe_error, log
from .settings import Settings
from .widgets import hint_label, section_title

if TYPE_CHECKING:
    from ..engine.systems.base import SystemInfo


def installed_systems() -> tuple[SystemInfo, ...]:
    """Return what is known of the systems, without loading any weights.

    A system that cannot describe itself is left out, and the log says why.
    """
    from ..engine import systems

    found = []
    for name in systems.names():
        try:
            found.append(systems.create(name).info)
        except Exception as error:  # noqa: BLE001 - one damaged system must not close the dock
            problem = as_change_scribe_error(error)
            log(f"{name}: {problem}\n{problem.details}")
    return tuple(found)


class SystemPanel(QWidget):
    """Chooses the system and says on what it runs, and under which terms.

    Signals:
        changed(): another system was chosen.
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
        row = QHBoxLayout()
        row.addWidget(section_title(self.tr("Wit&h"), self.combo))
        row.addWidget(self.combo, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.device_label)
        layout.addWidget(self.terms_label)
        self.reload()
        self.combo.currentIndexChanged.connect(self._chosen)

    def reload(self) -> None:
        """Read the list of systems again, for instance after an installation."""
        self._systems = installed_systems()
        self.combo.blockSignals(True)
        self.combo.clear()
        for info in self._systems:
            self.combo.addItem(info.title, info.name)
            tip = f"{info.description}\n\n{info.terms}".strip()
            self.combo.setItemData(self.combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        index = self.combo.findData(self._settings.system)
        self.combo.setCurrentIndex(max(index, 0) if self._systems else -1)
        self.combo.blockSignals(False)
        self.refresh()

    @property
    def info(self) -> Optional[SystemInfo]:
        """The system chosen; None where there is none."""
        index = self.combo.currentIndex()
        return self._systems[index] if 0 <= index < len(self._systems) else None

    def refresh(self) -> None:
        """Show what is known of the chosen system and its device."""
        info = self.info
        if info is None:
            self.device_label.setText(self.tr("No detection system can be used."))
            self.terms_label.hide()
            return
        self.combo.setToolTip(f"{info.description}\n\n{info.terms}".strip())
        measured = self._settings.measured_device(info.name)
        automatic = {
            "cpu": self.tr("CPU, as chosen"),
            "cuda": self.tr("graphics card, as chosen"),
        }.get(self._settings.device, self.tr("graphics card if usable, else CPU"))
        self.device_label.setText(self.tr("runs on: {device}").format(device=measured or automatic))
        self.device_label.setToolTip(
            self.tr("What the last run used. The choice is under Advanced.") if measured else ""
        )
        self.terms_label.setText(self.tr("terms: {terms}").format(terms=info.terms))
        self.terms_label.setVisible(bool(info.terms))

    def _chosen(self) -> None:
        info = self.info
        if info is not None:
            self._settings.system = info.name
        self.refresh()
        self.changed.emit()
