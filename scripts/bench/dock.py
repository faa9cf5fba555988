# SPDX-License-Identifier: GPL-3.0-or-later
"""Time of importing the plugin and building its dock, in a QGIS that is running; prints JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from qgis.core import QgsApplication
from qgis.gui import QgsMapCanvas, QgsMessageBar
from qgis.PyQt.QtWidgets import QMainWindow

HEAVY = ("onnxruntime", "torch", "torchvision", "transformers", "triton", "onnx", "peft")


class Window:
    """As much of QGIS's interface as the plugin needs to start."""

    def __init__(self) -> None:
        self.window, self.canvas = QMainWindow(), QgsMapCanvas()
        self.bar = QgsMessageBar()

    def mainWindow(self) -> QMainWindow:  # noqa: N802, D102
        return self.window

    def mapCanvas(self) -> QgsMapCanvas:  # noqa: N802, D102
        return self.canvas

    def messageBar(self) -> QgsMessageBar:  # noqa: N802, D102
        return self.bar

    def addDockWidget(self, area: Any, dock: Any) -> None:  # noqa: N802, D102
        self.window.addDockWidget(area, dock)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def main() -> None:
    """Measure once."""
    application = QgsApplication([], True)
    application.initQgis()
    window = Window()
    modules, start = set(sys.modules), time.perf_counter()
    from changescribe.plugin import ChangeScribePlugin

    plugin = ChangeScribePlugin(window)
    imported = time.perf_counter()
    plugin.initGui()
    built = time.perf_counter()
    added = set(sys.modules) - modules
    found = {
        "import_ms": (imported - start) * 1000,
        "dock_ms": (built - imported) * 1000,
        "total_ms": (built - start) * 1000,
        "modules": len(added),
        "own_modules": sum(name.startswith("changescribe") for name in added),
        "heavy": sorted({name.split(".")[0] for name in added} & set(HEAVY)),
    }
    print(json.dumps(found), flush=True)
    plugin.unload()
    application.exitQgis()


if __name__ == "__main__":
    main()
