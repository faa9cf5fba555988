# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside QGIS (--code): PyTorch through the dock, in a worker process and in QGIS's own.

CHANGESCRIBE_TEST_WORKER has the folders of the scripts, the systems and the packages, the worker's
Python, and whether to run the import that crashes QGIS instead.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

OPTIONS = json.loads(os.environ["CHANGESCRIBE_TEST_WORKER"])
sys.path += [OPTIONS["scripts"], OPTIONS["systems"]]

import drive_qgis
from drive_qgis import DriveError, Wait, detect, fill, find, open_dock, pause, type_text
from qgis.core import QgsExpression, QgsExpressionContext, QgsExpressionContextUtils
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QComboBox
from qgis.utils import iface, plugins


def check(condition, text):
    if not condition:
        raise DriveError(text)


def use(dock, system):
    """Choose a system as if it were part of the plugin."""
    dock.system.reload()
    combo = find(dock, "systemCombo", QComboBox)
    combo.setCurrentIndex(combo.findData(system))
    check(combo.currentData() == system, f"The dock does not offer {system}")


def device_of(driver):
    driver.facts.setdefault("devices", []).append(driver.facts["device"])
    return driver.facts["device"]


def script(driver):
    """The same run in a worker, in one that is killed, and in QGIS's process."""
    dock, layers = yield from open_dock(driver)
    if OPTIONS["plain_import"]:
        driver.say("import torchvision as anyone would")
        sys.path.insert(0, OPTIONS["packages"])
        import torchvision  # noqa: F401

        yield pause(2.0)
        return
    yield from fill(driver, dock, layers)
    import worker_systems

    from changescribe.engine.hosts import routing

    worker_systems.register_all()
    use(dock, "with_torch")
    dock.advanced.setCollapsed(False)
    yield pause(0.3)
    type_text(dock.advanced.python, OPTIONS["python"])

    driver.say("PyTorch in the worker process")
    yield from detect(driver, dock)
    worker = routing.shared_host()._worker.service._session.process
    check(f"process {worker.pid}" in device_of(driver), driver.facts["device"])
    check("torch" not in sys.modules, "torch has been imported into QGIS")

    driver.say("TextSCD: from which class to which")
    use(dock, "textscd")
    yield from detect(driver, dock)
    layer = plugins["changescribe"].controller.last_run.layer("changes")
    labels = layer.labeling().rootRule().children()[0].settings()
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    for feature in layer.getFeatures():
        context.setFeature(feature)
        text = QgsExpression(labels.fieldName).evaluate(context)
        driver.facts.setdefault("labels", []).append(text)

    driver.say("kill the worker in mid-run")
    use(dock, "hangs")
    mark = Path(os.environ["CHANGESCRIBE_TEST_MARK"])

    def kill():
        if mark.exists():
            os.kill(worker.pid, signal.SIGKILL)
        return mark.exists()

    yield from detect(driver, dock, kill)
    tips = [dock.results.list.item(row).toolTip() for row in range(dock.results.list.count())]
    driver.facts["results"] = tips
    reported = any("The worker process ended unexpectedly (signal 9)" in tip for tip in tips)
    check(reported, f"The end of the worker is not reported: {tips}")

    driver.say("PyTorch in QGIS's process")
    use(dock, "with_torch")
    sys.path.insert(0, OPTIONS["packages"])
    dock.advanced.host.setCurrentIndex(dock.advanced.host.findData(routing.IN_PROCESS))
    yield from detect(driver, dock)
    check(f"process {os.getpid()}" in device_of(driver), driver.facts["device"])
    check("torchvision" in sys.modules, "torchvision was not imported")
    check(sys.modules["triton"] is None, "triton is not blocked")
    canvas = iface.mapCanvas()
    canvas.refreshAllLayers()
    yield pause(1.0)
    yield Wait("the map to be drawn", lambda: not canvas.isDrawing(), 60)
    driver.say("close QGIS")


QTimer.singleShot(500, lambda: drive_qgis.start(script))
