# SPDX-License-Identifier: GPL-3.0-or-later
"""Options for captions: the system that writes them, and what they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from qgis.PyQt.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from ...engine.weights.store import WeightsStore
from ..packages import tiers
from ..translation import tr
from ..widgets import hint_label

if TYPE_CHECKING:
    from ...engine.systems.base import SystemInfo
    from ..settings import Settings

#: Names used by the engine.
FACTS = "facts"
REGIONS, TILES, SCENE = "regions", "tiles", "scene"


class CaptionOptions(QWidget):
    """A list of systems that write captions, and a check box per level; both are stored."""

    def __init__(self, settings: Settings, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.system = QComboBox()
        self.system.setObjectName("captionSystem")
        self.system.setToolTip(
            tr(
                "A system writes its captions after the run. Statements that contradict the "
                "detected changes are replaced by the measured facts."
            )
        )
        self.boxes: dict[str, QCheckBox] = {}
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        for level, text in (
            (REGIONS, tr("Regions")),
            (TILES, tr("Tiles")),
            (SCENE, tr("Scene")),
        ):
            box = QCheckBox(text)
            box.setObjectName(f"caption_{level}")
            box.setChecked(level in settings.caption_levels)
            box.toggled.connect(self._levels_changed)
            self.boxes[level] = box
            row.addWidget(box)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.lacking_label = hint_label(name="captionLacking")
        column.addWidget(self.system)
        column.addWidget(self.lacking_label)
        column.addLayout(row)
        self._infos: dict[str, SystemInfo] = {}
        self.offer(())
        self.system.activated.connect(self._system_chosen)

    def offer(self, systems: tuple[SystemInfo, ...]) -> None:
        """List the systems that write captions, below the facts."""
        self._infos = {info.name: info for info in systems if info.writes}
        self.system.clear()
        self.system.addItem(tr("Facts only"), "")
        for info in self._infos.values():
            self.system.addItem(info.title, info.name)
        self.system.setCurrentIndex(max(self.system.findData(self._settings.caption_system), 0))
        self._show_lacking()

    @property
    def choice(self) -> Optional[tuple[str, tuple[str, ...]]]:
        """The system (or :data:`FACTS`) and levels; None if the captions of the run suffice."""
        name = self.system.currentData() or FACTS
        levels = tuple(level for level, box in self.boxes.items() if box.isChecked())
        if name == FACTS:
            levels = tuple(level for level in levels if level != REGIONS)
        return (name, levels) if levels else None

    def _show_lacking(self) -> None:
        """Show what the chosen system lacks, since captions would fail only after the run."""
        info = self._infos.get(self.system.currentData())
        lacking = []
        if info is not None:
            tier = tiers.tier_of(info.tier)
            lacking = [] if tiers.is_available(tier) else [tier.title]
            lacking += [stored.entry.file for stored in WeightsStore().missing(info.weights)]
        text = tr('Missing: {names}. Choose this system under "System" to install it.')
        self.lacking_label.setText(text.format(names=", ".join(lacking)) if lacking else "")
        self.lacking_label.setVisible(bool(lacking))

    def _system_chosen(self) -> None:
        self._settings.caption_system = self.system.currentData() or ""
        self._show_lacking()

    def _levels_changed(self) -> None:
        self._settings.caption_levels = tuple(
            level for level, box in self.boxes.items() if box.isChecked()
        )
