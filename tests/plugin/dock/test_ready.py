# SPDX-License-Identifier: GPL-3.0-or-later
"""The dock says that a pair is remembered."""

from __future__ import annotations

import time
from typing import Callable

from qgis.PyQt.QtCore import QCoreApplication

from changescribe.engine.memory import limit_bytes, use_limit
from changescribe.engine.request import ChangeRequest
from changescribe.ui.dock.advanced_panel import AdvancedPanel
from changescribe.ui.dock.estimates import Estimate
from changescribe.ui.dock.ready import ReadyCheck
from changescribe.ui.engine_thread import configured_host
from changescribe.ui.settings import Settings


def _wait(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened() and time.monotonic() < deadline:
        QCoreApplication.processEvents()
        time.sleep(0.01)
    assert happened()


def _request(prompt: str, before: str = "a.tif") -> ChangeRequest:
    return ChangeRequest(before, "b.tif", prompt, "out.gpkg")


def test_a_remembered_pair_is_ready_whatever_the_prompt(qgis_app, monkeypatch):
    asked = []

    def is_remembered(request):
        asked.append(request)
        return request.before == "a.tif"

    monkeypatch.setattr("changescribe.engine.detect.remembering.is_remembered", is_remembered)
    check = ReadyCheck()
    check.ask(_request("roads built"))
    assert not check.ready
    _wait(lambda: check.ready)
    check.ask(_request("trees cleared"))
    assert check.ready
    assert len(asked) == 1
    check.ask(_request("roads built", "other.tif"))
    assert not check.ready
    _wait(lambda: len(asked) == 2)
    check.shut_down()
    assert not check.ready


def test_nothing_is_asked_of_a_form_that_cannot_run(qgis_app):
    check = ReadyCheck()
    check.ask(None)
    assert not check.ready
    check.shut_down()


def test_the_estimate_says_ready(qgis_app):
    assert "ready" in Estimate(None, 100, 100.0, None, ready=True).text()
    assert "ready" not in Estimate(None, 100, 100.0, None).text()


def test_the_limit_of_the_memory_is_a_setting(qgis_app, monkeypatch):
    monkeypatch.delenv("CHANGESCRIBE_MEMORY_GB")
    settings = Settings()
    panel = AdvancedPanel(settings)
    assert panel.memory.value() == 5.0
    panel.memory.setValue(0.0)
    assert settings.memory_gb == 0.0
    configured_host()
    assert limit_bytes() == 0.0
    panel.memory.setValue(5.0)
    use_limit(None)
