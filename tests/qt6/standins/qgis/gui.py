# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plugin uses of ``qgis.gui``: widgets of PyQt6 with QGIS's additions."""

from __future__ import annotations

import enum

from PyQt6.QtCore import QObject, Qt, pyqtSignal
from PyQt6.QtGui import QBrush, QColor, QMouseEvent, QPainterPath, QPen
from PyQt6.QtWidgets import (
    QComboBox,
    QDockWidget,
    QDoubleSpinBox,
    QFrame,
    QGraphicsItem,
    QGraphicsPathItem,
    QGraphicsScene,
    QGraphicsView,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMainWindow,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .core import Qgis, Thing


class QgsCollapsibleGroupBox(QGroupBox):
    def setSaveCollapsedState(self, save):
        pass

    def setCollapsed(self, collapsed):
        for child in self.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
            child.setVisible(not collapsed)


class QgsDockWidget(QDockWidget):
    def setToggleVisibilityAction(self, action):
        action.toggled.connect(self.setVisible)
        self.visibilityChanged.connect(action.setChecked)


class QgsDoubleSpinBox(QDoubleSpinBox):
    def setClearValue(self, value, text=""):
        assert isinstance(value, float)


class QgsFileWidget(QWidget):
    StorageMode = enum.Enum("StorageMode", "GetFile GetDirectory SaveFile")
    fileChanged = pyqtSignal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._edit, button = QLineEdit(), QToolButton()
        button.setText("\N{HORIZONTAL ELLIPSIS}")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._edit)
        row.addWidget(button)
        self._edit.textChanged.connect(self.fileChanged)

    def lineEdit(self):
        return self._edit

    def filePath(self):
        return self._edit.text()

    def setFilePath(self, path):
        self._edit.setText(path)

    def setStorageMode(self, mode):
        assert isinstance(mode, self.StorageMode)

    def setConfirmOverwrite(self, confirm):
        pass

    def setDialogTitle(self, title):
        pass

    def setFilter(self, text):
        pass


class QgsMapLayerComboBox(QComboBox):
    layerChanged = pyqtSignal(object)

    def setFilters(self, filters):
        assert isinstance(filters, Qgis.LayerFilter)

    def setAllowEmptyLayer(self, allow, text=""):
        pass

    def setShowCrs(self, show):
        pass

    def currentLayer(self):
        return None

    def setLayer(self, layer):
        pass

    def layer(self, row):
        return None

    def setExceptedLayerList(self, layers):
        pass


class QgsApplicationExitBlockerInterface:
    def allowExit(self):
        return True


class QgsMapCanvas(QGraphicsView):
    extentsChanged = pyqtSignal()
    destinationCrsChanged = pyqtSignal()
    layersChanged = pyqtSignal()
    mapToolSet = pyqtSignal(object, object)

    def __init__(self, parent=None):
        super().__init__(QGraphicsScene(), parent)
        self._tool = None

    def extent(self):
        return Thing()

    def mapTool(self):
        return self._tool

    def setMapTool(self, tool):
        self._tool = tool

    def unsetMapTool(self, tool):
        self._tool = None

    def mapSettings(self):
        return Thing()

    def layers(self):
        return []

    def setLayers(self, layers):
        pass

    def canvasColor(self):
        return QColor()

    def setCanvasColor(self, colour):
        pass

    def setDestinationCrs(self, crs):
        pass

    def rotation(self):
        return 0.0

    def setRotation(self, degrees):
        pass

    def setExtent(self, extent):
        pass

    def scale(self):
        return 1000.0

    def zoomScale(self, scale):
        pass

    def refresh(self):
        pass


class QgsMapCanvasItem(QGraphicsItem):
    def __init__(self, canvas):
        super().__init__()
        canvas.scene().addItem(self)


class QgsMapMouseEvent(QMouseEvent):
    def mapPoint(self):
        return Thing()


class QgsMapTool(QObject):
    def __init__(self, canvas):
        super().__init__(canvas)
        self._canvas = canvas

    def canvas(self):
        return self._canvas

    def setCursor(self, cursor):
        pass

    def deactivate(self):
        pass

    def toLayerCoordinates(self, layer, place):
        return Thing()


class QgsMapToolPan(QgsMapTool):
    pass


class QgsMapToolExtent(Thing):
    pass


class QgsRubberBand(QGraphicsPathItem):
    def __init__(self, canvas, geometry):
        super().__init__()
        canvas.scene().addItem(self)
        self.reset(geometry)

    def reset(self, geometry):
        assert isinstance(geometry, Qgis.GeometryType)
        self.setPath(QPainterPath())

    def setStrokeColor(self, colour):
        self.setPen(QPen(colour))

    def setFillColor(self, colour):
        self.setBrush(QBrush(colour))

    def setWidth(self, width):
        pass

    def setToGeometry(self, geometry, crs):
        pass


class QgsMessageBarItem(QFrame):
    def __init__(self, title, text):
        super().__init__()
        row = QHBoxLayout(self)
        row.addWidget(QLabel(f"<b>{title}</b> {text}"))


class QgsMessageBar(QFrame):
    def __init__(self, parent=None):
        super().__init__(parent)
        QVBoxLayout(self)

    def createMessage(self, title, text):
        return QgsMessageBarItem(title, text)

    def pushWidget(self, item, level, seconds):
        assert isinstance(level, Qgis.MessageLevel)
        assert isinstance(seconds, int)
        self.layout().addWidget(item)

    def popWidget(self, item):
        self.layout().removeWidget(item)
        item.deleteLater()


class QgisInterface:
    """A window with a canvas and a message bar."""

    def __init__(self):
        self._window, self._canvas, self._bar = QMainWindow(), QgsMapCanvas(), QgsMessageBar()
        middle = QWidget()
        column = QVBoxLayout(middle)
        column.addWidget(self._bar)
        column.addWidget(self._canvas, 1)
        self._window.setCentralWidget(middle)

    def mainWindow(self):
        return self._window

    def mapCanvas(self):
        return self._canvas

    def messageBar(self):
        return self._bar

    def addDockWidget(self, area, dock):
        self._window.addDockWidget(area, dock)

    def removeDockWidget(self, dock):
        self._window.removeDockWidget(dock)

    def addToolBarIcon(self, action):
        self._window.addAction(action)

    def removeToolBarIcon(self, action):
        self._window.removeAction(action)

    def addPluginToRasterMenu(self, name, action):
        pass

    def removePluginRasterMenu(self, name, action):
        pass

    def registerApplicationExitBlocker(self, blocker):
        assert isinstance(blocker, QgsApplicationExitBlockerInterface)

    def unregisterApplicationExitBlocker(self, blocker):
        pass
