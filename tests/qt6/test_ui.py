# SPDX-License-Identifier: GPL-3.0-or-later
"""All of ``ui`` imported, built, shown and used under PyQt6."""

from __future__ import annotations

import importlib
import threading
import time
from pathlib import Path

import pytest

import changescribe

ROOT = Path(changescribe.__file__).parent
MODULES = ["plugin"] + sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "ui").rglob("*.py")
    if path.name != "__init__.py"
)


@pytest.fixture
def plugin(settings):
    from qgis.gui import QgisInterface

    made = importlib.import_module("changescribe.plugin").ChangeScribePlugin(QgisInterface())
    made.initGui()
    yield made
    made.unload()
    assert made.dock is None


@pytest.fixture
def run(tmp_path):
    from changescribe.ui.map.runs import Run

    title = "buildings built, 2016 \N{RIGHTWARDS ARROW} 2023"
    caption = "12 buildings appeared, most in the north-east."
    return Run("id", title, str(tmp_path / "a.gpkg"), str(tmp_path / "a.tif"), caption, 12, 3400.0)


def wait(application, condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        application.processEvents()
        time.sleep(0.01)


def test_qt_is_6():
    from qgis.PyQt.QtCore import QT_VERSION_STR

    assert QT_VERSION_STR.startswith("6.")


@pytest.mark.parametrize("name", MODULES)
def test_imports(name):
    importlib.import_module(f"changescribe.{name}")


def test_compat_has_every_name():
    from changescribe.ui import compat

    assert [name for name in compat.__all__ if not hasattr(compat, name)] == []


def test_plugin_adds_shows_and_removes_the_dock(plugin, shown):
    window = plugin.iface.mainWindow()
    window.resize(1200, 1000)
    shown(window)
    assert plugin.dock.isHidden()
    plugin.action.trigger()
    assert plugin.dock.isVisible()
    assert [algorithm.name() for algorithm in plugin.provider.algorithms] == [
        "detectchanges",
        "captionchanges",
        "exportchanges",
    ]
    assert all(algorithm.parameters for algorithm in plugin.provider.algorithms)
    assert all(algorithm.shortHelpString() for algorithm in plugin.provider.algorithms)


def test_every_part_of_the_dock(plugin, shown, run, application):
    from changescribe.engine.request import Progress, Stage

    dock = plugin.dock
    plugin.action.trigger()
    shown(plugin.iface.mainWindow()).resize(1200, 1300)
    dock.prompt.set_text("buildings built and roads removed")
    dock.advanced.setCollapsed(False)
    for choice in range(4):
        dock.extent.set_choice(choice)
    dock.results.add(run)
    dock.results.list.itemDoubleClicked.emit(dock.results.list.item(0))
    dock.set_running(True)
    dock.run.show_progress(Progress(Stage.DETECTING, 0.3, 3, 10, 9.0))
    for _ in range(3):  # layouts settle
        application.processEvents()
    view = dock.widget().viewport()
    assert view.width() >= dock.widget().widget().minimumSizeHint().width()
    picture = ROOT / "out" / "qt6"
    picture.mkdir(parents=True, exist_ok=True)
    assert dock.grab().save(str(picture / "dock.png"))
    dock.run.cancel_button.click()
    dock.set_running(False)


def test_enter_starts_and_the_wheel_does_not_scroll_the_prompts(plugin, shown, application):
    from qgis.PyQt.QtCore import QPoint, QPointF, Qt
    from qgis.PyQt.QtGui import QKeyEvent, QWheelEvent

    panel = plugin.dock.prompt
    plugin.action.trigger()
    shown(plugin.iface.mainWindow())
    panel.set_text("roads built")
    accepted = []
    panel.accepted.connect(lambda: accepted.append(panel.text))
    none = Qt.KeyboardModifier.NoModifier
    enter = QKeyEvent(QKeyEvent.Type.KeyPress, Qt.Key.Key_Return, none)
    application.sendEvent(panel.combo, enter)
    assert accepted == ["roads built"]
    wheel = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        none,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    application.sendEvent(panel.combo, wheel)
    assert panel.text == "roads built"


def test_messages_and_their_details(shown, application):
    from qgis.gui import QgsMessageBar
    from qgis.PyQt.QtWidgets import QPushButton

    from changescribe.engine.errors import InputError
    from changescribe.ui.errors import DetailsDialog, Messenger

    bar = shown(QgsMessageBar())
    messenger = Messenger(bar, bar)
    messenger.error(InputError("No overlap.", "Choose others.", "line 1"))
    messenger.warning("Cloudy.")
    messenger.info("Done.", buttons=(QPushButton("Open"),))
    bar.findChild(QPushButton, "changeScribeDetailsButton").click()
    dialog = bar.findChild(DetailsDialog)
    assert dialog.isVisible()
    dialog.findChildren(QPushButton)[-1].click()
    messenger.close()


def test_export_dialog(shown, run, settings, tmp_path):
    from changescribe.ui.dock.export_dialog import ExportDialog

    calls = []
    dialog = ExportDialog(
        run, settings, export=lambda *call: (calls.append(call), ("Field names were cut.",))[1]
    )
    shown(dialog)
    for index in (1, 2, 0):
        dialog.format_combo.setCurrentIndex(index)
    dialog.start()
    assert calls == [(run.gpkg, str(tmp_path / "a_export.shp"), False)]
    assert "a_export.shp" in dialog.status_label.text()
    assert dialog.warning_label.text() == "Field names were cut."
    dialog.close()


def test_jobs_end_and_report(shown, application):
    from qgis.PyQt.QtWidgets import QPushButton

    from changescribe.ui.job import JobButtons

    buttons = shown(JobButtons("test", (QPushButton("Go"),), "Cancel"))
    texts, ends = [], []
    buttons.text_changed.connect(texts.append)
    buttons.ended.connect(ends.append)
    buttons.start(lambda report, _cancelled: report("half", 0.5))
    wait(application, lambda: ends)
    buttons.start(lambda _report, _cancelled: 1 / 0)
    wait(application, lambda: len(ends) == 2)
    assert ends[0] is None
    assert "ZeroDivisionError" in ends[1].details
    assert "half" in texts


def test_engine_thread(application):
    from changescribe.ui.engine_thread import EngineThread

    threads = []

    def detect(request, host, progress, cancelled):
        threads.append(threading.get_ident())
        progress("half")
        return f"result of {request}"

    thread = EngineThread(detect, lambda: None)
    seen = []
    thread.progressed.connect(seen.append)
    thread.finished_run.connect(seen.append)
    thread.submit("request")
    wait(application, lambda: len(seen) == 2)
    assert seen == ["half", "result of request"]
    assert threads != [threading.get_ident()]
    assert thread.shutdown()


def test_missing_packages_and_weights(shown, monkeypatch):
    from changescribe.engine import systems
    from changescribe.ui.dock.weights_panel import WeightsPanel
    from changescribe.ui.packages import tiers
    from changescribe.ui.packages.panel import DependencyPanel

    monkeypatch.setattr(tiers, "missing", lambda tier=None: ("onnxruntime",))
    panel = shown(DependencyPanel())
    for tier in (tiers.COMPACT, tiers.FULL):
        panel.show_for(tier)
    panel.shut_down()
    weights = WeightsPanel()
    for name in systems.names():
        weights.show_for(systems.create(name).info)
    weights.shut_down()


def test_styles_captions_and_pictures():
    from qgis.PyQt.QtGui import QImage

    from changescribe.engine.request import APPEARED, REMOVED
    from changescribe.ui.map import labels, styles, tip_pictures

    kinds = [
        (f"object {number}", direction) for number in range(16) for direction in (APPEARED, REMOVED)
    ]
    styles.region_renderer(kinds)
    styles.mask_renderer(labels.caption_labels(400.0))
    labels.place_labels()
    assert APPEARED in styles.map_tip()
    image = QImage(4, 4, QImage.Format.Format_RGB32)
    assert tip_pictures._base64(image).startswith("iVBOR")
    tip_pictures.register().unregister()


def test_proxies():
    from qgis.PyQt.QtNetwork import QNetworkProxy

    from changescribe.ui.packages.network import proxy_environment

    proxy = QNetworkProxy(QNetworkProxy.ProxyType.Socks5Proxy, "proxy.test", 1080, "me", "a b")
    variables = proxy_environment(proxy, ["https://other.test/x"])
    expected = "socks5h://me:a%20b@proxy.test:1080"  # pragma: allowlist secret
    assert variables["HTTPS_PROXY"] == expected
    assert variables["NO_PROXY"] == "other.test"
