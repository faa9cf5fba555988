# SPDX-License-Identifier: GPL-3.0-or-later
"""List of the runs in the project; the chosen one is what the map shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from qgis.PyQt import sip
from qgis.PyQt.QtCore import QPoint, QRect, QSize, Qt, pyqtSignal
from qgis.PyQt.QtGui import QResizeEvent, QShowEvent
from qgis.PyQt.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ...engine.wording.facts import format_area
from ..translation import tr
from ..widgets import hint_label, plain_tip, section_title
from .result_filter import ResultFilter
from .run_menu import TITLE_ROLE, RunMenu, TitleDelegate

if TYPE_CHECKING:
    from qgis.core import QgsMapLayer

    from ..map.runs import Run

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
        shown(Run, bool): the user chose the run, to be shown alone or (True) also.
        renamed(Run, str): the user gave it another title.
    """

    export = pyqtSignal(object)
    zoom = pyqtSignal(object)
    captions = pyqtSignal(object, bool)
    details = pyqtSignal(object)
    filtered = pyqtSignal(object)
    shown = pyqtSignal(object, bool)
    renamed = pyqtSignal(object, str)

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._runs: list[Run] = []
        #: Whether the selection changes without the user.
        self._filling = False
        self.busy = False
        self._watched: Optional[QgsMapLayer] = None
        self.list = QListWidget()
        self.list.setObjectName("resultsList")
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setWordWrap(True)
        self.list.setAlternatingRowColors(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.list.setMinimumHeight(_LINES_SHOWN * (self.list.fontMetrics().height() + _PADDING))
        self.list.setToolTip(
            tr("Shows the chosen run alone on the map. With Ctrl, those shown before stay.")
        )
        delegate = TitleDelegate(self.list)
        delegate.renamed.connect(self._title_edited)
        self.list.setItemDelegate(delegate)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.menu = RunMenu(self)
        self.empty_label = hint_label(
            tr("Each run adds a layer group to the project and an entry here."), "resultsEmpty"
        )
        self.zoom_button = self._button(tr("&Zoom"), "zoomButton")
        self.captions_button = self._button(tr("Ca&ptions"), "captionsButton")
        self.captions_button.setCheckable(True)
        self.captions_button.setToolTip(
            tr("Show captions on the map: of the ten largest changes in view, of all close by")
        )
        self.export_button = self._button(tr("E&xport\N{HORIZONTAL ELLIPSIS}"), "exportButton")
        self.more_button = QToolButton()
        self.more_button.setObjectName("runMenuButton")
        self.more_button.setText("\N{HORIZONTAL ELLIPSIS}")
        self.more_button.setToolTip(tr("Rename, run again, copy as a command, compare, remove"))
        self.more_button.setAccessibleName(tr("More about this run"))
        self.more_button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.filter = ResultFilter()
        self.filter.filtered.connect(self.filtered)
        self._lay_out()
        self.list.currentRowChanged.connect(self._row_changed)
        self.list.itemClicked.connect(lambda _item: self._choose())
        self.list.customContextMenuRequested.connect(self._open_menu_at)
        self.more_button.clicked.connect(self._open_menu)
        self.menu.chosen.connect(self._menu_chosen)
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
        row.addWidget(self.more_button)
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
        self.remove(run)
        self._filling = True
        self._runs.insert(0, run)
        self.list.insertItem(0, QListWidgetItem())
        self._fill(0)
        self.list.setCurrentRow(0)
        self._filling = False
        self._refresh()

    def update_run(self, run: Run) -> None:
        """Show other facts of a listed run."""
        for row, listed in enumerate(self._runs):
            if listed.run_id == run.run_id:
                self._runs[row] = run
                self._fill(row)
        self._refresh()

    def _fill(self, row: int) -> None:
        run, item = self._runs[row], self.list.item(row)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
        item.setText(line_of(run))
        item.setData(TITLE_ROLE, run.title)
        item.setToolTip(plain_tip("\n".join(filter(None, (run.caption, *run.warnings, run.gpkg)))))
        item.setSizeHint(QSize(0, self._height_of(item.text())))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap the entries at the new width; called by Qt."""
        super().resizeEvent(event)
        for row in range(self.list.count()):
            item = self.list.item(row)
            item.setSizeHint(QSize(0, self._height_of(item.text())))

    def showEvent(self, event: QShowEvent) -> None:
        """Wrap entries that came before the panel had its width; called by Qt."""
        super().showEvent(event)
        self.resizeEvent(QResizeEvent(self.size(), self.size()))

    def _height_of(self, text: str) -> int:
        """Return the height of an entry that wraps at the current width of the list."""
        room = QRect(0, 0, max(self.width() - 4 * _PADDING, _MIN_WIDTH), 10_000)
        flags = int(Qt.TextFlag.TextWordWrap)
        return self.list.fontMetrics().boundingRect(room, flags, text).height() + _PADDING

    def remove(self, run: Run) -> None:
        """Remove a run, or one with the same files, from the list."""
        for row, listed in enumerate(self._runs):
            if run.run_id == listed.run_id or (run.gpkg and run.gpkg == listed.gpkg):
                self._filling = True
                del self._runs[row]
                self.list.takeItem(row)
                self._filling = False
                break
        self._refresh()

    def clear(self) -> None:
        """Clear the list when another project is opened."""
        self._filling = True
        self._runs.clear()
        self.list.clear()
        self._filling = False
        self._refresh()

    def edit_title(self) -> None:
        """Open the field that renames the current run."""
        item = self.list.currentItem()
        if item is not None:
            self.list.editItem(item)

    def _title_edited(self, row: int, title: str) -> None:
        run = self._runs[row]
        if title.strip() and title.strip() != run.title:
            self.renamed.emit(run, title)

    def _row_changed(self, _row: int) -> None:
        self._refresh()
        self._choose()

    def _choose(self) -> None:
        """Report the run that the user chose."""
        if self.current is not None and not self._filling:
            control = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
            also = bool(QApplication.keyboardModifiers() & control)
            self.shown.emit(self.current, also)
            self._refresh()

    def _open_menu_at(self, place: QPoint) -> None:
        if self.list.itemAt(place) is not None:
            self._prepare_menu()
            self.menu.popup(self.list.viewport().mapToGlobal(place))

    def _open_menu(self) -> None:
        if self.current is not None:
            self._prepare_menu()
            self.menu.popup(self.more_button.mapToGlobal(self.more_button.rect().bottomLeft()))

    def _prepare_menu(self) -> None:
        if self.current is not None:
            self.menu.prepare(self.current, self.runs, busy=self.busy)

    def _menu_chosen(self, name: str, _run: Run) -> None:
        if name == "rename":
            self.edit_title()

    def _watch(self, run: Optional[Run]) -> None:
        """Follow the style of the current layer, which others may change."""
        layer = run.layer("changes") if run is not None else None
        if self._watched is not None and not sip.isdeleted(self._watched):
            self._watched.styleChanged.disconnect(self._style_changed)
        self._watched = layer
        if layer is not None:
            layer.styleChanged.connect(self._style_changed)

    def _style_changed(self) -> None:
        if self.current is not None:
            self.captions_button.setChecked(self.current.captions_shown())

    def _captions_clicked(self, checked: bool) -> None:
        if self.current is not None:
            self.captions.emit(self.current, checked)

    def _emit(self, signal: Any) -> None:
        if self.current is not None:
            signal.emit(self.current)

    def refresh(self) -> None:
        """Follow the layers of the current run."""
        self._refresh()

    def _refresh(self) -> None:
        run = self.current
        self.empty_label.setVisible(not self._runs)
        self.list.setVisible(bool(self._runs))
        for button in (
            self.zoom_button,
            self.captions_button,
            self.export_button,
            self.more_button,
        ):
            button.setVisible(bool(self._runs))
            button.setEnabled(run is not None)
        self._watch(run)
        if run is not None:
            for button in (self.zoom_button, self.captions_button):
                button.setEnabled(run.count > 0)
            self.captions_button.setChecked(run.captions_shown())
        self.filter.set_run(run)


def line_of(run: Run) -> str:
    """Return the entry of a run: its title, what it found and how, and its first warning.

    The tool tip has all warnings in full.
    """
    if not run.count:
        parts = [tr("No changes")]
    elif run.count == 1:
        parts = [tr("1 change")]
    else:
        parts = [tr("{count} changes").format(count=run.count)]
    if run.area_m2 is not None and run.count:
        parts.append(format_area(run.area_m2))
    parts.append(
        tr("score \N{GREATER-THAN OR EQUAL TO} {score}").format(score=f"{run.threshold:g}")
    )
    if run.analysed_m2:
        parts.append(tr("{area} analysed").format(area=format_area(run.analysed_m2)))
    if run.partial:
        parts.append(tr("cancelled, partial"))
    lines = [run.title, " \N{MIDDLE DOT} ".join(parts)]
    if run.warnings:
        more = len(run.warnings) - 1
        warning = f"\N{WARNING SIGN} {run.headline}"
        lines.append(f"{warning} (+{more})" if more else warning)
    return "\n".join(lines)
