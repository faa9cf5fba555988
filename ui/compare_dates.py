# SPDX-License-Identifier: GPL-3.0-or-later
"""Both dates on the map: flicker, swipe, second map, pictures of a polygon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from qgis.core import QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QObject, Qt

from .map.both_dates import DatePair, DatePictures
from .map.layer_source import date_of
from .map.linked_view import LinkedView
from .map.picture_window import PictureTool, PictureWindow
from .map.runs import AFTER_PROPERTY, BEFORE_PROPERTY, source_layer
from .map.swipe import DateKeys, SwipeTool
from .translation import tr

if TYPE_CHECKING:
    from qgis.gui import QgisInterface, QgsMapTool

    from .dock.dock import ChangeScribeDock
    from .errors import Messenger


class CompareDates(QObject):
    """Connects the buttons of the dock and two keys of the map to what shows both dates."""

    def __init__(self, iface: QgisInterface, dock: ChangeScribeDock, messenger: Messenger) -> None:
        super().__init__(dock)
        self._iface, self._dock, self._messenger = iface, dock, messenger
        self._canvas = canvas = iface.mapCanvas()
        self.pictures = DatePictures(canvas)
        self.swipe_tool = SwipeTool(canvas, self.pictures)
        self.picture_tool = PictureTool(canvas, self._changes)
        self.window = PictureWindow(iface.mainWindow())
        self.view: Optional[LinkedView] = None
        self.keys = DateKeys(canvas)
        self._tool_before: Optional[QgsMapTool] = None
        bar = dock.compare
        bar.flicker.connect(self.flicker)
        bar.swipe.connect(self.swipe)
        bar.second_map.connect(self.second_map)
        bar.pictures.connect(self.choose_pictures)
        self.keys.flicker.connect(self.flicker)
        self.keys.swipe.connect(lambda: self.swipe(canvas.mapTool() is not self.swipe_tool))
        self.swipe_tool.ended.connect(lambda: self.swipe(False))
        self.picture_tool.clicked.connect(self.window.show_feature)
        canvas.mapToolSet.connect(self._tool_set)
        dock.layers.changed.connect(self._follow)
        dock.results.list.currentRowChanged.connect(self._follow)
        QgsProject.instance().layersWillBeRemoved.connect(self._let_go)
        self._follow()

    def pair(self) -> Optional[DatePair]:
        """Return the rasters of the chosen run, else those of the dock; None if one is missing."""
        changes = self._changes()
        layers: tuple[Optional[QgsRasterLayer], ...] = (None, None)
        dates = self._dock.layers.dates
        if changes is not None:
            layers = tuple(
                source_layer(changes, name) for name in (BEFORE_PROPERTY, AFTER_PROPERTY)
            )
            dates = ("", "")
        if None in layers:
            layers = self._dock.layers.before, self._dock.layers.after
            dates = self._dock.layers.dates
        before, after = layers
        if before is None or after is None:
            return None
        texts = [
            f"{layer.name()}, {date}" if date and date not in layer.name() else layer.name()
            for layer, date in (
                (layer, date or date_of(layer)) for layer, date in zip((before, after), dates)
            )
        ]
        return DatePair(before, after, *texts)

    def _changes(self) -> Optional[QgsVectorLayer]:
        run = self._dock.results.current
        layer = run.layer("changes") if run is not None else None
        return layer if isinstance(layer, QgsVectorLayer) else None

    def flicker(self, held: bool) -> None:
        """Show the other date than the map does, while the key or button is held."""
        pair = self.pair()
        swiping = self._canvas.mapTool() is self.swipe_tool
        if pair is None:
            if held:
                self._say_why()
        elif held:
            shown = [layer for layer in self._canvas.layers() if layer in (pair.before, pair.after)]
            share = 0.0 if shown and shown[0] == pair.before else 1.0
            self.pictures.show(pair, share, with_line=False)
        elif swiping:
            self.swipe_tool.show_again(pair)
        else:
            self.pictures.hide()

    def swipe(self, on: bool) -> None:
        """Switch the line between both dates on or off."""
        pair = self.pair()
        if on and pair is not None:
            self._remember_tool()
            self.swipe_tool.start(pair)
            self._canvas.setFocus(Qt.FocusReason.OtherFocusReason)
        elif on:
            self._say_why()
            self._tool_set()
        elif self._canvas.mapTool() is self.swipe_tool:
            self._tool_back(self.swipe_tool)

    def choose_pictures(self, on: bool) -> None:
        """Let the user click a polygon to see it on both dates, or stop that."""
        if on:
            self._remember_tool()
            self._canvas.setMapTool(self.picture_tool)
        else:
            self._tool_back(self.picture_tool)

    def second_map(self, on: bool) -> None:
        """Open or close the second map."""
        pair = self.pair()
        if on and pair is None:
            self._say_why()
            self._dock.compare.second_button.setChecked(False)
            return
        if self.view is None and on:
            self.view = LinkedView(self._canvas, self._iface.mainWindow())
            self.view.visibilityChanged.connect(self._view_shown)
            self._iface.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, self.view)
        if self.view is not None:
            self.view.setVisible(on)
            if on and pair is not None:
                self.view.show_pair(pair)

    def _view_shown(self, _shown: bool) -> None:
        if self.view is not None:  # a tab that is not in front stays switched on
            self._dock.compare.second_button.setChecked(not self.view.isHidden())

    def _remember_tool(self) -> None:
        tool = self._canvas.mapTool()
        if tool not in (self.swipe_tool, self.picture_tool):
            self._tool_before = tool

    def _tool_back(self, tool: QgsMapTool) -> None:
        self._canvas.unsetMapTool(tool)
        if self._tool_before is not None:
            self._canvas.setMapTool(self._tool_before)
            self._tool_before = None

    def _tool_set(self, *_: object) -> None:
        tool, bar = self._canvas.mapTool(), self._dock.compare
        bar.swipe_button.setChecked(tool is self.swipe_tool)
        bar.pictures_button.setChecked(tool is self.picture_tool)

    def _follow(self, *_: object) -> None:
        """Show the pair of another run or other layers."""
        pair = self.pair()
        self._dock.compare.offer(pair=pair is not None, run=self._changes() is not None)
        if pair is None:
            return
        if self._canvas.mapTool() is self.swipe_tool and self.pictures.item.pair != pair:
            self.swipe_tool.show_again(pair)
        if self.view is not None and not self.view.isHidden():
            self.view.show_pair(pair)

    def _let_go(self, ids: list[str]) -> None:
        """Stop showing a layer that is being removed."""
        pair = self.pictures.item.pair
        if pair is not None and {pair.before.id(), pair.after.id()} & set(ids):
            self.swipe(False)
            self.pictures.hide()
            self.pictures.item.pair = None
        if self.view is not None:
            self.view.forget()
        self._follow()

    def _say_why(self) -> None:
        self._messenger.info(tr("Choose the before and after layers to compare them."))

    def shut_down(self) -> None:
        """Take everything off the map and disconnect from QGIS."""
        self.keys.shut_down()
        self._canvas.mapToolSet.disconnect(self._tool_set)
        for tool in (self.swipe_tool, self.picture_tool):
            self._canvas.unsetMapTool(tool)
        self.pictures.shut_down()
        self.window.close()
        self.window.deleteLater()
        QgsProject.instance().layersWillBeRemoved.disconnect(self._let_go)
        if self.view is not None:
            self.view.shut_down()
            self._iface.removeDockWidget(self.view)
            self.view.deleteLater()
            self.view = None
