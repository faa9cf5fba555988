# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside QGIS (--code): load the demo pair and open the dock."""

from __future__ import annotations

import json
import os

from qgis.core import QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QTimer
from qgis.utils import iface, plugins


def _open() -> None:
    pair = json.loads(os.environ["CHANGESCRIBE_OPEN"])
    for role in ("before", "after"):
        layer = QgsRasterLayer(pair[role], os.path.splitext(os.path.basename(pair[role]))[0])
        QgsProject.instance().addMapLayer(layer)
    for node in QgsProject.instance().layerTreeRoot().findLayers():
        node.setExpanded(False)
    iface.mainWindow().showMaximized()
    iface.zoomFull()
    # Not the action, which would hide a dock that the last session left open.
    plugins["changescribe"].dock.setUserVisible(True)


# Once the window is there.
QTimer.singleShot(500, _open)
