# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside QGIS (--code): use the dock like a user and report the outcome.

The steps are a generator: each ``yield Wait(...)`` returns control to QGIS's event loop until its
condition holds. The report is ``steps.json`` in the output folder. The last step closes QGIS; a
step that fails or times out ends the run.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional

from qgis.core import QgsApplication, QgsProject, QgsRasterLayer
from qgis.gui import QgsCollapsibleGroupBox, QgsFileWidget, QgsMapLayerComboBox
from qgis.PyQt.QtCore import QObject, QPoint, Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QDialog,
    QDockWidget,
    QLabel,
    QListWidget,
    QWidget,
)
from qgis.utils import iface, plugins

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

LOG_TAG = "ChangeScribe"
POLL_MS = 50
#: Wide enough for the names of groups and layers.
TREE_WIDTH = 320
DOCK_WIDTH = 400
CLICK = Qt.MouseButton.LeftButton


class DriveError(Exception):
    """A step failed."""


@dataclass(frozen=True)
class Wait:
    """Let QGIS work until ``until()`` is true.

    Attributes:
        what: named in the error message on a timeout.
        until: checked on every tick.
        seconds: timeout.
    """

    what: str
    until: Callable[[], Any]
    seconds: float = 20.0


def pause(seconds: float, what: str = "a moment") -> Wait:
    """Return a wait of fixed length, for instance for a redraw."""
    end = time.monotonic() + seconds
    return Wait(what, lambda: time.monotonic() >= end, seconds + 20)


#: Returns the generator of steps for a driver.
Steps = Callable[["Driver"], "Iterator[Wait]"]


class Driver(QObject):
    """Runs the steps from a timer, records them, and closes QGIS at the end."""

    def __init__(self, options: dict[str, Any], steps: Steps) -> None:
        super().__init__()
        self.options = options
        self.out = options["out"]
        self.steps: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.facts: dict[str, Any] = {}
        self.started = time.monotonic()
        self._wait: Optional[Wait] = None
        self._deadline = 0.0
        self._ended = False
        self._in_tick = False
        self._script = steps(self)
        self._hook = sys.excepthook
        sys.excepthook = self._exception
        QgsApplication.messageLog().messageReceived.connect(self._message)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._timer.start(POLL_MS)

    def say(self, step: str) -> None:
        """Record the start of a step."""
        seconds = round(time.monotonic() - self.started, 1)
        self.steps.append({"step": step, "at_s": seconds})
        self._log(f"{seconds:6.1f} s  {step}")

    def fail_later(self, text: str) -> None:
        """Record an error that ends the run at the next tick."""
        self.errors.append(text)

    def _log(self, text: str) -> None:
        with open(os.path.join(self.out, "drive.log"), "a", encoding="utf-8") as file:
            file.write(text + "\n")

    def _exception(self, kind: type, error: BaseException, trace: Any) -> None:
        self.fail_later("".join(traceback.format_exception(kind, error, trace)))
        self._hook(kind, error, trace)

    def _message(self, text: str, tag: str, level: int) -> None:
        self._log(f"          [{tag}] {text}")
        if level == 2 and tag in (LOG_TAG, "Python error"):
            self.fail_later(f"{tag}: {text}")

    def _tick(self) -> None:
        # The event loop of a dialog calls this too, during a step.
        if self._ended or self._in_tick:
            return
        self._in_tick = True
        try:
            if self.errors:
                raise DriveError(self.errors[0])
            if self._wait is not None:
                if not self._wait.until():
                    if time.monotonic() > self._deadline:
                        raise DriveError(
                            f"Waited {self._wait.seconds:.0f} s for {self._wait.what}."
                        )
                    return
                self._wait = None
            self._wait = next(self._script)
            self._deadline = time.monotonic() + self._wait.seconds
        except StopIteration:
            self._end("")
        except BaseException as error:  # noqa: BLE001 - QGIS must end with a report in any case
            text = str(error) if isinstance(error, DriveError) else traceback.format_exc()
            self._end(text)
        finally:
            self._in_tick = False

    def _end(self, error: str) -> None:
        self._ended = True
        self._timer.stop()
        if error:
            self._log(f"FAILED: {error}\n{describe_windows()}")
            grab(os.path.join(self.out, "screenshot_failed.png"))
        report = {"ok": not error, "error": error, "steps": self.steps, **self.facts}
        path = os.path.join(self.out, "steps.json")
        with open(path + ".part", "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
        os.replace(path + ".part", path)
        QTimer.singleShot(0, close_qgis)


def close_qgis() -> None:
    """Close QGIS from its menu, without its questions about unsaved changes."""
    for widget in QApplication.topLevelWidgets():
        if isinstance(widget, QDialog) and widget.isVisible():
            widget.reject()
    iface.newProject(False)
    iface.actionExit().trigger()


def describe_windows() -> str:
    """Return the titles of the visible windows and the text of the message bar."""
    lines = [
        f"window: {type(widget).__name__} '{widget.windowTitle()}'"
        for widget in QApplication.topLevelWidgets()
        if widget.isVisible()
    ]
    item = iface.messageBar().currentItem()
    if item is not None:
        lines.append(f"message bar: {item.text()}")
    return "\n".join(lines)


def grab(path: str) -> None:
    """Save a screenshot.

    Raises:
        DriveError: the file could not be written.
    """
    if not QApplication.primaryScreen().grabWindow(0).save(path, "PNG"):
        raise DriveError(f"The screenshot could not be written to {path}")


def find(parent: QWidget, name: str, kind: type = QWidget) -> Any:
    """Return the widget with an object name.

    Raises:
        DriveError: there is none.
    """
    widget = parent.findChild(kind, name)
    if widget is None:
        raise DriveError(f"There is no {kind.__name__} named '{name}' in {parent.objectName()}.")
    return widget


def click(widget: QWidget) -> None:
    """Click a widget from the event loop, since it may open a dialog with its own loop.

    Raises:
        DriveError: it is hidden or disabled.
    """
    if not widget.isVisible() or not widget.isEnabled():
        raise DriveError(f"'{widget.objectName()}' cannot be clicked: hidden or disabled.")
    QTimer.singleShot(
        0,
        lambda: QTest.mouseClick(
            widget,
            CLICK,
            Qt.KeyboardModifier.NoModifier,
            QPoint(widget.width() // 2, widget.height() // 2),
        ),
    )


def choose_layer(combo: QgsMapLayerComboBox, layer: QgsRasterLayer) -> None:
    """Choose a layer with the keyboard, as typing its name in the focused list does."""
    combo.setFocus()
    for row in range(combo.count()):
        if combo.itemText(row).startswith(layer.name()):
            steps = row - combo.currentIndex()
            for _ in range(abs(steps)):
                QTest.keyClick(combo, Qt.Key.Key_Down if steps > 0 else Qt.Key.Key_Up)
    if combo.currentLayer() is None or combo.currentLayer().id() != layer.id():
        raise DriveError(f"'{combo.objectName()}' does not offer the layer '{layer.name()}'.")


def type_text(widget: QWidget, text: str) -> None:
    """Replace the text of a field by typing."""
    field = widget.lineEdit() if isinstance(widget, (QComboBox, QgsFileWidget)) else widget
    field.setFocus()
    QTest.keyClick(field, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(field, Qt.Key.Key_Delete)
    QTest.keyClicks(field, text)


def script(driver: Driver) -> Iterator[Wait]:
    """Yield the whole session, from an empty QGIS to an exported shapefile."""
    dock, layers = yield from open_dock(driver)
    yield from fill(driver, dock, layers)
    yield from detect(driver, dock)
    yield from show(driver, dock)
    yield from export(driver, dock)
    driver.say("close QGIS")


def open_dock(
    driver: Driver,
) -> Generator[Wait, None, tuple[QDockWidget, dict[str, QgsRasterLayer]]]:
    """Load the two rasters and open the dock; return it and the layers by their role."""
    options = driver.options
    yield Wait("the QGIS window", lambda: iface is not None and iface.mainWindow().isVisible(), 60)
    window = iface.mainWindow()
    window.showMaximized()
    screen = QApplication.primaryScreen().geometry()
    yield pause(1.0)
    if window.width() < screen.width() - 40:
        # Without a window manager it is not maximised.
        window.setGeometry(screen)
    browser = window.findChild(QDockWidget, "Browser")
    if browser is not None:
        browser.close()
    if "changescribe" not in plugins:
        raise DriveError("QGIS did not load the plugin; see qgis.log.")

    driver.say("load the pair")
    layers = {}
    for role in ("before", "after"):
        name = os.path.splitext(os.path.basename(options[role]))[0]
        layers[role] = QgsProject.instance().addMapLayer(QgsRasterLayer(options[role], name))
        if layers[role] is None or not layers[role].isValid():
            raise DriveError(f"QGIS cannot read {options[role]}")
    for node in QgsProject.instance().layerTreeRoot().findLayers():
        node.setExpanded(False)
    iface.zoomFull()
    yield pause(0.5)

    driver.say("open the dock")
    dock = window.findChild(QDockWidget, "ChangeScribeDock")
    if dock is None or not dock.isVisible():
        click_action(window)
    yield Wait("the dock", lambda: visible_dock(window) is not None)
    dock = visible_dock(window)
    tree = find(window, "Layers", QDockWidget)
    window.resizeDocks([tree, dock], [TREE_WIDTH, DOCK_WIDTH], Qt.Orientation.Horizontal)
    yield pause(0.5)
    return dock, layers


def click_action(window: QWidget) -> None:
    """Click the plugin's toolbar button."""
    for button in window.findChildren(QAbstractButton):
        action = getattr(button, "defaultAction", lambda: None)()
        if action is not None and button.isVisible() and "ChangeScribe" in action.text():
            click(button)
            return
    raise DriveError("There is no visible toolbar button named ChangeScribe.")


def visible_dock(window: QWidget) -> Optional[QDockWidget]:
    """Return the plugin's dock if it is visible."""
    for dock in window.findChildren(QDockWidget):
        if dock.isVisible() and dock.findChild(QWidget, "detectButton") is not None:
            return dock
    return None


def fill(driver: Driver, dock: QDockWidget, layers: dict[str, QgsRasterLayer]) -> Iterator[Wait]:
    """Choose the layers and the folder, type the prompt."""
    driver.say("choose the layers")
    for role in ("before", "after"):
        choose_layer(find(dock, f"{role}Layer", QgsMapLayerComboBox), layers[role])
        yield pause(0.2)

    driver.say("choose the output folder")
    advanced = find(dock, "advancedGroup", QgsCollapsibleGroupBox)
    advanced.setCollapsed(False)
    yield pause(0.3)
    type_text(find(dock, "outputFolder", QgsFileWidget), driver.out)
    yield pause(0.3)
    advanced.setCollapsed(True)

    driver.say("type the prompt")
    type_text(find(dock, "prompt"), driver.options["prompt"])
    understood = find(dock, "parseLabel")
    yield Wait("the parse of the prompt", lambda: understood.isVisible() and understood.text())
    driver.facts["parse"] = understood.text()


def detect(
    driver: Driver, dock: QDockWidget, meanwhile: Optional[Callable[[], Any]] = None
) -> Iterator[Wait]:
    """Click "Detect changes" and wait for the end.

    Args:
        driver: records the run.
        dock: the completed form.
        meanwhile: called repeatedly during the run until it returns a true value.
    """
    button = find(dock, "detectButton", QAbstractButton)
    # The form is checked with a delay; a reason that remains is a failure.
    end = time.monotonic() + 10
    yield Wait("the button", lambda: button.isEnabled() or time.monotonic() > end)
    if not button.isEnabled():
        raise DriveError(f"'Detect changes' is disabled: {find(dock, 'reasonLabel').text()}")

    driver.say("click Detect changes")
    begun = time.monotonic()
    controller = plugins["changescribe"].controller
    ended: list[str] = []
    controller.run_ended.connect(ended.append)
    click(button)
    yield Wait("the start of the run", lambda: controller.busy or ended)
    if meanwhile is not None:
        yield Wait("what is done in mid-run", lambda: meanwhile() or ended, 60)
    yield Wait("the end signal", lambda: ended, driver.options["timeout"])
    if ended != ["finished"]:
        error = controller.last_error
        raise DriveError(f"The run ended as '{ended[0]}': {error}\n{getattr(error, 'details', '')}")
    run = controller.last_run
    settings = plugins["changescribe"].settings
    driver.facts.update(
        seconds=round(time.monotonic() - begun, 2),
        count=run.count,
        caption=run.caption,
        gpkg=run.gpkg,
        mask=run.mask,
        device=settings.measured_device(dock.system.info.name, settings.device),
    )
    listed = find(dock, "resultsList", QListWidget)
    yield Wait("the line in the list of results", lambda: listed.count() > 0)


def show(driver: Driver, dock: QDockWidget) -> Iterator[Wait]:
    """Zoom to the results, wait for the map, take the screenshot."""
    driver.say("zoom to the results")
    changes = plugins["changescribe"].controller.last_run.layer("changes")
    if changes is None or not changes.isValid():
        raise DriveError("The run has no polygon layer in the project.")
    driver.facts["features"] = changes.featureCount()
    canvas = iface.mapCanvas()
    click(find(dock, "zoomButton", QAbstractButton))
    yield pause(2.0)
    yield Wait("the map to be drawn", lambda: not canvas.isDrawing(), 60)
    yield pause(0.5)
    driver.say("take the screenshot")
    grab(os.path.join(driver.out, "screenshot.png"))


def export(driver: Driver, dock: QDockWidget) -> Iterator[Wait]:
    """Export a shapefile through the dock's button and its dialog."""
    driver.say("export a shapefile")
    target = os.path.join(driver.out, "run.shp")
    click(find(dock, "exportButton", QAbstractButton))
    yield Wait("the export dialog", visible_dialog)
    dialog = visible_dialog()
    yield pause(0.5)
    formats = find(dialog, "exportFormat", QComboBox)
    if "shapefile" not in formats.currentText().lower():
        raise DriveError(f"The export dialog offers {formats.currentText()} first.")
    type_text(find(dialog, "exportFile", QgsFileWidget), target)
    yield pause(0.3)
    click(find(dialog, "exportRunButton", QAbstractButton))
    status = find(dialog, "exportStatus", QLabel)
    folder = find(dialog, "exportFolderButton", QAbstractButton)
    yield Wait(
        "the export", lambda: folder.isEnabled() and os.path.basename(target) in status.text(), 60
    )
    grab(os.path.join(driver.out, "screenshot_export.png"))
    dialog.close()
    yield pause(0.3)


def visible_dialog() -> Optional[QDialog]:
    """Return the open dialog, if any."""
    for widget in QApplication.topLevelWidgets():
        if isinstance(widget, QDialog) and widget.isVisible():
            return widget
    return None


# Kept as a global: QGIS drops the script's local names when it ends.
_driver: Optional[Driver] = None


def start(steps: Steps = script) -> None:
    """Start once QGIS's event loop runs."""
    global _driver  # noqa: PLW0603 - the only owner that outlives the script
    _driver = Driver(json.loads(os.environ["CHANGESCRIBE_DRIVE"]), steps)


# QGIS runs the script under another module name; a test imports it for its own steps.
if __name__ != "drive_qgis":
    QTimer.singleShot(500, start)
