# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells when the layer tree changes: groups renamed, moved or removed, layers shown or hidden."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal


class TreeWatcher(QObject):
    """Collects the signals of the layer tree into one, sent when QGIS is idle.

    Signals:
        changed(): something of the tree changed.
    """

    changed = pyqtSignal()

    def __init__(self, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        # Moving a group removes and adds it, so the state in between is not looked at.
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self.changed)
        self._root = QgsProject.instance().layerTreeRoot()
        for signal in self._signals():
            signal.connect(self._start)

    def _signals(self) -> tuple[Any, ...]:
        root = self._root
        return (root.addedChildren, root.removedChildren, root.nameChanged, root.visibilityChanged)

    def _start(self, *_: object) -> None:
        self._timer.start()

    def shut_down(self) -> None:
        """Disconnect from the project."""
        self._timer.stop()
        for signal in self._signals():
            signal.disconnect(self._start)
