# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting in tests while Qt keeps running."""

from __future__ import annotations

from qgis.PyQt.QtCore import QEventLoop, QTimer


def wait_until(condition, timeout=10.0):
    """Process Qt events until a condition holds."""
    loop, timer = QEventLoop(), QTimer()
    end = QTimer()
    end.setSingleShot(True)
    end.timeout.connect(loop.quit)
    timer.timeout.connect(lambda: loop.quit() if condition() else None)
    timer.start(10)
    end.start(round(timeout * 1000))
    if not condition():
        loop.exec()
    timer.stop()
    assert condition(), "waited in vain"
