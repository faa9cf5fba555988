# SPDX-License-Identifier: GPL-3.0-or-later
"""The Qt 6 checker finds planted faults, and nothing in what both versions have."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

GOOD = """
    from qgis.core import QgsUnitTypes
    from qgis.PyQt.QtCore import QEvent, QRegularExpression, Qt
    from qgis.PyQt.QtGui import QFont, QFontMetrics, QMouseEvent, QWheelEvent
    from qgis.PyQt.QtWidgets import QDialog, QHeaderView, QWidget

    def good(dialog: QDialog, wheel: QWheelEvent, mouse: QMouseEvent, metrics: QFontMetrics):
        dialog.setWindowFlags(Qt.WindowType.Dialog | Qt.WindowType.Tool)
        dialog.exec()
        metrics.horizontalAdvance("text")
        wheel.angleDelta().y()
        mouse.modifiers() == Qt.KeyboardModifier.ControlModifier
        return QHeaderView.ResizeMode.Stretch, QgsUnitTypes.RenderUnit.RenderPixels
"""
#: Each line has one fault.
BAD = """
    def bad(
        dialog: QDialog, wheel: QWheelEvent, mouse: QMouseEvent, metrics: QFontMetrics, any_,
        stream: QTextStream, combo: QComboBox, label: QLabel, table: QTableView
    ):
        label.setAlignment(Qt.AlignLeft)  # fault
        label.setTextFormat(Qt.TextFormat(0) if label else Qt.PlainText)  # fault
        Qt.MidButton  # fault
        Qt.AA_EnableHighDpiScaling  # fault
        Qt.ApplicationAttribute.AA_UseHighDpiPixmaps  # fault
        QHeaderView.Stretch  # fault
        QFont.Bold  # fault
        QEvent.MouseButtonPress  # fault
        QVariant.Int  # fault
        QVariant.Type  # fault
        any_.dialog.exec_()  # fault
        dialog.exec_()  # fault
        metrics.width("text")  # fault
        wheel.delta()  # fault
        mouse.localPos()  # fault
        stream.setCodec("UTF-8")  # fault
        combo.activated[str]  # fault
        label.setMargin("1")  # fault
        table.horizontalHeader().setResizeMode(0)  # fault
        QgsUnitTypes.RenderPixels  # fault
        Qgis.Warning  # fault
        QgsMapLayerProxyModel.RasterLayer  # fault
"""
IMPORTS = """
    from qgis.core import Qgis, QgsMapLayerProxyModel, QgsUnitTypes
    from qgis.PyQt.QtCore import QEvent, QTextStream, Qt, QVariant
    from qgis.PyQt.QtGui import QFont, QFontMetrics, QMouseEvent, QWheelEvent
    from qgis.PyQt.QtWidgets import QComboBox, QDialog, QHeaderView, QLabel, QTableView
    from qgis.PyQt.QtWidgets import QAction  # fault
    from qgis.PyQt.QtWidgets import QActionGroup  # fault
    from qgis.PyQt.QtWidgets import QShortcut  # fault
    from qgis.PyQt.QtWidgets import QDesktopWidget  # fault
    from qgis.PyQt.QtCore import QRegExp  # fault
    from PyQt5.QtCore import QObject  # fault
"""


@pytest.fixture
def check(tmp_path):
    """Return a function that gives the exit code and the lines of a source with findings."""
    pytest.importorskip("flake8_qgis", reason="needs flake8-qgis")
    pytest.importorskip("PyQt6", reason="needs PyQt6")

    def run(source):
        path = tmp_path / "planted.py"
        path.write_text(source, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "lint_qt6.py"), str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.stderr
        numbers = map(int, re.findall(r"planted\.py:(\d+)", done.stdout))
        lines = source.splitlines()
        return done.returncode, {lines[number - 1].strip() for number in numbers}

    return run


def test_planted_faults(check):
    source = textwrap.dedent(IMPORTS) + textwrap.dedent(BAD)
    planted = {line.strip() for line in source.splitlines() if "# fault" in line}
    assert len(planted) == 28
    assert check(source) == (1, planted)


def test_no_finding_in_what_both_versions_have(check):
    assert check(textwrap.dedent(GOOD)) == (0, set())
