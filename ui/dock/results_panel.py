# SPDX-License-Identifier: GPL-3.0-or-later
"""List of the runs in the project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from qgis.PyQt.QtCore import QRect, QSize, Qt, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ...engine.wording.facts import format_area
from ..translation import tr
from ..widgets import hint_label, plain_tip, section_title
from .result_filter import ResultFilter

if TYPE_CHECKING:
    from ..map.layers import Run

_LINES_SHOWN = 4
_PADDING = 6
_MIN_WIDTH = 240


class ResultsPanel(QWidget):
    """Lists runs, with actions for the selected one.

    Signals:
        export(Run), zoom(Run): the button was clicked.
        captions(Run, bool): captions should be shown or hidden.
        details(Run): the entry was double-clicked.
        filtered(Run): its filter changed.
    """

    export = pyqtSignal(object)
    zoom = pyqtSignal(object)
    captions = pyqtSignal(object, bool)
    details = pyqtSignal(object)
    filtered = pyqtSignal(object)

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._runs: list[Run] = []
        self.list = QListWidget()
        self.list.setObjectName("resultsList")
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setWordWrap(True)
        self.list.setAlternatingRowColors(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.list.setMinimumHeight(_LINES_SHOWN * (self.list.fontMetrics().height() + _PADDING))
        self.empty_label = hint_label(
            tr("Each run adds a layer group to the project and an entry here."), "resultsEmpty"
        )
        self.zoom_button = self._button(tr("&Zoom"), "zoomButton")
        self.captions_button = self._button(tr("Ca&ptions"), "captionsButton")
        self.captions_button.setCheckable(True)
        self.captions_button.setToolTip(
            tr("Show the captions of the ten largest changes on the map")
        )
        self.export_button = self._button(tr("E&xport\N{HORIZONTAL ELLIPSIS}"), "exportButton")
        self.filter = ResultFilter()
        self.filter.filtered.connect(self.filtered)
        self._lay_out()
        self.list.currentRowChanged.connect(self._refresh)
        self.list.itemDoubleClicked.connect(lambda _item: self._emit(self.details))
        self.zoom_button.clicked.connect(lambda: self._emit(self.zoom))
        self.export_button.clicked.connect(lambda: self._emit(self.export))
        self.captions_button.clicked.connect(self._captions_clicked)
        self._refresh()

    def _button(self, text: str, name: str) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName(name)
        button.setMinimumWidth(40)
        return button

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(6)
        for button in (self.zoom_button, self.captions_button, self.export_button):
            row.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(section_title(tr("Resu&lts"), self.list), 0)
        layout.addWidget(self.empty_label)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.filter)
        layout.addLayout(row)
        # Fills the height while the list is hidden.
        layout.addStretch(0)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The listed runs, latest first."""
        return tuple(self._runs)

    @property
    def current(self) -> Optional[Run]:
        """The selected run."""
        row = self.list.currentRow()
        return self._runs[row] if 0 <= row < len(self._runs) else None

    def add(self, run: Run) -> None:
        """Add a run on top and select it, replacing one with the same files."""
        self.remove(run.gpkg)
        self._runs.insert(0, run)
        item = QListWidgetItem(line_of(run))
        item.setToolTip(plain_tip("\n".join(part for part in (run.caption, run.gpkg) if part)))
        item.setSizeHint(QSize(0, self._height_of(item.text())))
        self.list.insertItem(0, item)
        self.list.setCurrentRow(0)
        self._refresh()

    def _height_of(self, text: str) -> int:
        """Return the height of an entry that wraps at the current width of the list."""
        room = QRect(0, 0, max(self.list.viewport().width() - 2 * _PADDING, _MIN_WIDTH), 10_000)
        flags = int(Qt.TextFlag.TextWordWrap)
        return self.list.fontMetrics().boundingRect(room, flags, text).height() + _PADDING

    def remove(self, gpkg: str) -> None:
        """Remove a run from the list."""
        for row, run in enumerate(self._runs):
            if run.gpkg == gpkg:
                del self._runs[row]
                self.list.takeItem(row)
                break
        self._refresh()

    def clear(self) -> None:
        """Clear the list when another project is opened."""
        self._runs.clear()
        self.list.clear()
        self._refresh()

    def set_captions_shown(self, shown: bool) -> None:
        """Show whether captions of the selected run are shown."""
        self.captions_button.setChecked(shown)

    def _captions_clicked(self, checked: bool) -> None:
        if self.current is not None:
            self.captions.emit(self.current, checked)

    def _emit(self, signal: Any) -> None:
        if self.current is not None:
            signal.emit(self.current)

    def _refresh(self, _row: int = 0) -> None:
        run = self.current
        self.empty_label.setVisible(not self._runs)
        self.list.setVisible(bool(self._runs))
        for button in (self.zoom_button, self.captions_button, self.export_button):
            button.setVisible(bool(self._runs))
            button.setEnabled(run is not None)
        if run is not None:
            self.captions_button.setEnabled(run.count > 0)
            self.captions_button.setChecked(run.captions_shown())
        self.filter.set_run(run)


def line_of(run: Run) -> str:
    """Return the entry of a run: prompt and dates, then count and area on a second line."""
    if not run.count:
        parts = [tr("No changes")]
    elif run.count == 1:
        parts = [tr("1 change")]
    else:
        parts = [tr("{count} changes").format(count=run.count)]
    if run.area_m2 is not None and run.count:
        parts.append(format_area(run.area_m2))
    if run.partial:
        parts.append(tr("cancelled, partial"))
    return run.title + "\n" + " \N{MIDDLE DOT} ".join(parts)
