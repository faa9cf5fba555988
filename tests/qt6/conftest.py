# SPDX-License-Identifier: GPL-3.0-or-later
"""The user interface under PyQt6: ``make test-qt6`` puts the stand-ins for QGIS on the path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

STANDINS = Path(__file__).parent / "standins"
ARE_USED = str(STANDINS) in sys.path
HAS_PYQT6 = importlib.util.find_spec("PyQt6") is not None


def pytest_collection_modifyitems(items):
    reason = "" if ARE_USED else "run it with make test-qt6"
    if not HAS_PYQT6:
        reason = "needs PyQt6"
    for item in items:
        if reason and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def application():
    from qgis.core import QgsApplication

    app = QgsApplication(["changescribe"])
    app.setStyle("Fusion")
    return app


@pytest.fixture(autouse=True)
def slots(application, monkeypatch):
    """Errors in slots, which PyQt6 answers with an abort, fail the test."""
    errors = []
    monkeypatch.setattr(sys, "excepthook", lambda _kind, error, _trace: errors.append(error))
    yield
    application.processEvents()
    assert errors == []


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    from qgis.PyQt.QtCore import QSettings

    from changescribe.ui.packages import tiers
    from changescribe.ui.settings import Settings

    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path))
    monkeypatch.setattr(tiers, "missing", lambda tier=None: ())
    return Settings()


@pytest.fixture
def shown(application):
    """Return a function that shows a widget and delivers its events."""

    def show(widget):
        widget.show()
        application.processEvents()
        assert widget.isVisible()
        return widget

    return show
