# SPDX-License-Identifier: GPL-3.0-or-later
"""The file rules have findings where expected, and none in the repository."""

from __future__ import annotations

import lint_files
import pytest

GOOD = "# SPDX-License-Identifier: GPL-3.0-or-later\nx = 1\n"


def test_good_file_has_no_findings():
    assert lint_files.findings("engine/a.py", GOOD) == []
    assert lint_files.findings("scripts/a.py", "#!/usr/bin/env python3\n" + GOOD) == []


def test_length():
    assert lint_files.findings("engine/a.py", GOOD + "y = 2\n" * 498) == []
    assert "longer than 500" in lint_files.findings("engine/a.py", GOOD + "y = 2\n" * 499)[0]
    assert lint_files.findings("data.json", "[]\n" * 600) == []


def test_licence_line():
    assert "licence" in lint_files.findings("engine/a.py", "x = 1\n")[0]
    assert "licence" in lint_files.findings("engine/a.py", "")[0]


@pytest.mark.parametrize(
    "line",
    [
        "# TO" + "DO later",
        "raise NotImplemented" + "Error",
        "# good enough for " + "now",
        "path = '/wo" + "rk/main/x.tif'",
        "path = '/ho" + "me/someone/x.tif'",
        "url = 'https://mirror.example/pypi/simp" + "le'",
        "url = 'http://10.0" + ".0.7:8080/x'",
    ],
)
def test_words(line: str):
    assert len(lint_files.findings("engine/a.py", GOOD + line + "\n")) == 1


@pytest.mark.parametrize(
    "line",
    [
        "self.prompt.setPlaceholderText('roads built')",
        "# the work/rest ratio of /usr/share/qgis and homework/x",
        "url = 'https://pypi.org/project/onnxruntime'",
        "for nowhere in ():",
    ],
)
def test_harmless_words(line: str):
    assert lint_files.findings("engine/a.py", GOOD + line + "\n") == []


def test_binary_and_vocabulary_are_left_alone():
    assert not lint_files.is_text("resources/models/vocab.txt")
    assert not lint_files.is_text("resources/demo/before.tif")
    assert lint_files.is_text("Makefile")
    assert lint_files.is_text(".ci/run")
