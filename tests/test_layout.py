# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout: no import cycle, no crowded folder, all packages built."""

from __future__ import annotations

import graphlib
import re
from pathlib import Path

import pytest

grimp = pytest.importorskip("grimp")

ROOT = Path(__file__).resolve().parent.parent
MAX_FILES, MAX_ENGINE_ROOT_FILES = 20, 15


def _folders() -> list[Path]:
    found = {path.parent for top in ("engine", "ui") for path in (ROOT / top).rglob("*.py")}
    return sorted(found)


def test_no_circle_of_imports() -> None:
    """Imports inside functions and under TYPE_CHECKING count as well."""
    graph = grimp.build_graph("changescribe")
    arrows = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert "changescribe.engine.request" in arrows["changescribe.engine.cli.commands"]
    graphlib.TopologicalSorter(arrows).prepare()  # raises CycleError, which names the cycle


@pytest.mark.parametrize("folder", _folders(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_folder_is_crowded(folder: Path) -> None:
    count = sum(path.is_file() and path.suffix != ".pyc" for path in folder.iterdir())
    assert count <= (MAX_ENGINE_ROOT_FILES if folder == ROOT / "engine" else MAX_FILES)


def test_every_package_is_built() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    built = re.search(r"^packages = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)[1]
    wanted = {"changescribe"} | {
        ".".join(("changescribe", *folder.relative_to(ROOT).parts)) for folder in _folders()
    }
    assert set(re.findall(r'"(.*?)"', built)) == wanted
    assert all((folder / "__init__.py").is_file() for folder in _folders())
