# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin object that QGIS loads and unloads.

Nothing heavy is imported here: no systems of the engine, no GDAL bindings, no package that QGIS
does not ship.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QIcon

from .ui.compat import LEVEL_WARNING, QAction
from .ui.errors import as_change_scribe_error, log
from .ui.packages import tiers
from .ui.settings import Settings
from .ui.translation import tr

if TYPE_CHECKING:
    from qgis.core import QgsProcessingProvider
    from qgis.gui import QgisInterface

    from .ui.controller import RunController
    from .ui.dock.dock import ChangeScribeDock
    from .ui.map.tip_pictures import PicturesFunction

_ICON = os.path.join(os.path.dirname(__file__), "resources", "icons", "changescribe.svg")
_MENU = "&ChangeScribe"


class ChangeScribePlugin:
    """Adds the dock, its button and menu entry, and the Processing provider.

    Args:
        iface: QGIS's interface; None in ``qgis_process``, which only calls
            :meth:`initProcessing`.
    """

    def __init__(self, iface: Optional[QgisInterface]) -> None:
        self.iface: QgisInterface = iface
        self.settings = Settings()
        self.action: Optional[QAction] = None
        self.dock: Optional[ChangeScribeDock] = None
        self.controller: Optional[RunController] = None
        self.provider: Optional[QgsProcessingProvider] = None
        self.tip_pictures: Optional[PicturesFunction] = None

    def initProcessing(self) -> None:
        """Add the Processing provider."""
        if self.provider is not None:
            return
        try:
            from .ui.processing.provider import ChangeScribeProvider

            provider = ChangeScribeProvider()
        except Exception as error:  # noqa: BLE001 - the dock must work without the algorithms
            problem = as_change_scribe_error(error)
            log(f"{problem}\n{problem.details}", LEVEL_WARNING)
            return
        if QgsApplication.processingRegistry().addProvider(provider):
            self.provider = provider

    def initGui(self) -> None:
        """Add the button, menu entry, dock and provider."""
        from .ui.controller import RunController
        from .ui.dock.dock import ChangeScribeDock
        from .ui.map import tip_pictures

        self.initProcessing()
        self.tip_pictures = tip_pictures.register()
        window = self.iface.mainWindow()
        self.action = QAction(QIcon(_ICON), "ChangeScribe", window)
        self.action.setObjectName("changeScribeAction")
        self.action.setCheckable(True)
        self.action.setToolTip(tr("ChangeScribe: find changes between two rasters"))
        self.dock = ChangeScribeDock(self.iface.mapCanvas(), self.settings, window)
        self.controller = RunController(self.iface, self.dock, self.settings)
        self.iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock)
        self.dock.hide()
        self.dock.setToggleVisibilityAction(self.action)
        self.iface.addToolBarIcon(self.action)
        self.iface.addPluginToRasterMenu(_MENU, self.action)
        QgsApplication.instance().aboutToQuit.connect(self._quitting)

    def unload(self) -> None:
        """Undo :meth:`initGui`; called when the plugin is disabled or updated, or QGIS closes."""
        ended = True
        if self.controller is not None:
            QgsApplication.instance().aboutToQuit.disconnect(self._quitting)
            ended = self.controller.shut_down()
            if ended:
                self._free_models()
            self.controller = None
        if self.dock is not None:
            self.dock.shut_down()
            self.iface.removeDockWidget(self.dock)
            self.dock.deleteLater()
            self.dock = None
        if self.action is not None:
            self.iface.removePluginRasterMenu(_MENU, self.action)
            self.iface.removeToolBarIcon(self.action)
            self.action.deleteLater()
            self.action = None
        if self.tip_pictures is not None:
            self.tip_pictures.unregister()
            self.tip_pictures = None
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
        if ended:  # imported modules stay imported
            tiers.deactivate()

    def _quitting(self) -> None:
        """Stop the engine before QGIS destroys its objects."""
        if self.controller is not None:
            self.controller.thread_.shutdown()

    @staticmethod
    def _free_models() -> None:
        from .engine.hosts.routing import close_shared_host

        close_shared_host()
