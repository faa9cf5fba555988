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
    # The action would hide a dock that was left open.
    plugins["changescribe"].dock.setUserVisible(True)


# After the window has opened.
QTimer.singleShot(500, _open)
