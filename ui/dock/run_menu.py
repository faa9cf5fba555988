# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done with a run in the list of results, and the field that renames it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from qgis.PyQt.QtCore import QAbstractItemModel, QModelIndex, Qt, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QLineEdit,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from ...engine.detect.resume import resumable
from ..compat import QAction
from ..translation import tr

if TYPE_CHECKING:
    from ..map.runs import Run

#: Role of an entry that holds the title of its run.
TITLE_ROLE = int(Qt.ItemDataRole.UserRole) + 1


class RunMenu(QMenu):
    """Menu of a run.

    Signals:
        chosen(str, Run): the name of an action below, and the run.
        compared(Run, Run): compare the run with another one.
    """

    chosen = pyqtSignal(str, object)
    compared = pyqtSignal(object, object)

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.setObjectName("runMenu")
        self.setToolTipsVisible(True)
        self._run: Optional[Run] = None
        self.actions_: dict[str, QAction] = {}
        self._add("rename", tr("Rename"))
        self._add("area", tr("Show the area analysed"))
        self._add("continue", tr("Continue"))
        self._add("again", tr("Run again"))
        self._add("command", tr("Copy as changescribe command"))
        self._add("processing", tr("Copy as qgis_process command"))
        self.compare_menu = self.addMenu(tr("Compare with"))
        self.addSeparator()
        self._add("remove", tr("Remove from the project"))
        self._add("delete", tr("Remove and delete its files\N{HORIZONTAL ELLIPSIS}"))

    def _add(self, name: str, text: str) -> None:
        action = self.addAction(text)
        action.setObjectName(f"run_{name}")
        action.triggered.connect(lambda: self.chosen.emit(name, self._run))
        self.actions_[name] = action

    def prepare(self, run: Run, runs: tuple[Run, ...], *, busy: bool) -> None:
        """Offer what is possible for a run among others."""
        self._run = run
        has_layers = run.group() is not None
        known = bool(run.request)
        for name in ("rename", "area"):
            self.actions_[name].setEnabled(has_layers)
        for name in ("command", "processing"):
            self.actions_[name].setEnabled(known)
        unfinished = run.partial and resumable(run.gpkg) is not None
        self.actions_["continue"].setVisible(unfinished)
        self.actions_["continue"].setEnabled(known and not busy)
        self.actions_["continue"].setToolTip(
            tr("A run is in progress")
            if busy
            else tr("Computes what is missing, and replaces the partial result")
        )
        self.actions_["again"].setEnabled(known and not busy)
        self.actions_["again"].setToolTip(tr("A run is in progress") if busy else "")
        self.compare_menu.clear()
        for other in runs:
            if other.run_id != run.run_id and other.count and other.group() is not None:
                action = self.compare_menu.addAction(other.title)
                action.triggered.connect(
                    lambda _checked=False, second=other: self.compared.emit(self._run, second)
                )
        self.compare_menu.setEnabled(has_layers and not self.compare_menu.isEmpty())


class TitleDelegate(QStyledItemDelegate):
    """Edits only the title of an entry of several lines.

    Signals:
        renamed(int, str): the row and its new title.
    """

    renamed = pyqtSignal(int, str)

    def createEditor(
        self, parent: QWidget, _option: QStyleOptionViewItem, _index: QModelIndex
    ) -> QWidget:
        """Return the field; called by Qt."""
        editor = QLineEdit(parent)
        editor.setObjectName("runTitle")
        editor.setAccessibleName(tr("Name of the run"))
        return editor

    def setEditorData(self, editor: QWidget, index: QModelIndex) -> None:
        """Show the title; called by Qt."""
        if isinstance(editor, QLineEdit):
            editor.setText(str(index.data(TITLE_ROLE)))
            editor.selectAll()

    def setModelData(self, editor: QWidget, _model: QAbstractItemModel, index: QModelIndex) -> None:
        """Report the new title; called by Qt."""
        if isinstance(editor, QLineEdit):
            self.renamed.emit(index.row(), editor.text())

    def updateEditorGeometry(
        self, editor: QWidget, option: QStyleOptionViewItem, _index: QModelIndex
    ) -> None:
        """Put the field over the first line; called by Qt."""
        area = option.rect
        area.setHeight(editor.sizeHint().height())
        editor.setGeometry(area)
