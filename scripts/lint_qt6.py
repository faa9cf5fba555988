#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find what Qt 6 (QGIS 4) does not have in the plugin's Python files.

Three checks, each for what the others cannot see:

- mypy, with PyQt6's own type stubs for ``qgis.PyQt`` (through the stand-ins of ``tests/qt6``):
  names that moved or are gone, enums without their scope, methods and arguments that changed;
- flake8-qgis: the same by name, where mypy does not know the type, and imports of PyQt5;
- enums of QGIS without their scope, looked up in the QGIS that is installed.

What differs between the versions is in ``ui/compat.py``, which is not checked.
"""

from __future__ import annotations

import ast
import enum
import importlib
import importlib.util
import os
import subprocess  # noqa: S404  # nosec B404
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STANDINS = ROOT / "tests" / "qt6" / "standins"
COMPAT = "ui/compat.py"
RULES = "QGS103,QGS104,QGS107,QGS4"
# PyQt6's stubs call every pointer optional; the plugin has no interface in qgis_process.
OPTIONAL = ("override", "assignment")


def _run(arguments: list[str], **environment: str) -> list[str]:
    """Return the findings that a tool prints; its other lines are notes and totals."""
    done = subprocess.run(  # noqa: S603  # nosec B603
        [sys.executable, "-m", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    found = [line for line in lines if ": error: " in line or ": QGS" in line]
    if done.returncode and not found:
        found = [*lines, *done.stderr.splitlines()]
    return [line for line in found if COMPAT not in line and 'error: Item "None" of' not in line]


def changed_names(targets: Sequence[str]) -> list[str]:
    """Return what mypy finds with PyQt6's stubs; ``targets`` are files, or ``-p`` and packages."""
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    options += ["--hide-error-context", "--no-error-summary", "--cache-dir=out/mypy-qt6"]
    for code in OPTIONAL:
        options += ["--disable-error-code", code]
    path = os.pathsep.join(("out/types", str(STANDINS)))
    return _run(["mypy", *options, *targets], MYPYPATH=path)


def old_spellings(files: Sequence[str]) -> list[str]:
    """Return what flake8-qgis finds by name."""
    return _run(["flake8", "--isolated", f"--select={RULES}", *files])


def _names_of_qgis(tree: ast.Module) -> dict[str, Any]:
    """Return the objects that a file imports from QGIS, by their names in the file."""
    return {
        alias.asname or alias.name: getattr(importlib.import_module(node.module), alias.name, None)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qgis.")
        for alias in node.names
    }


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    """Return the object of ``Name.attribute.attribute``; None if it is not QGIS's."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_value(node.value, names), node.attr, None)
    return None


def unscoped_enums(path: str, text: str) -> list[str]:
    """Return the enums without a scope, such as ``QgsUnitTypes.RenderPixels``."""
    tree = ast.parse(text)
    names = _names_of_qgis(tree)
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner, value = _value(node.value, names), _value(node, names)
        kind = type(value)
        # PyQt5's enums are subclasses of int.
        is_member = isinstance(value, enum.Enum) or (
            isinstance(value, int) and kind not in {int, bool}
        )
        if isinstance(owner, type) and is_member and kind is not owner:
            found.append(
                f"{path}:{node.lineno}: error: {ast.unparse(node)} is {kind.__qualname__}."
                f"{node.attr} in Qt 6"
            )
    return found


def main(files: Sequence[str]) -> int:
    """Check files, by default the plugin's; return the exit code."""
    if not all(map(importlib.util.find_spec, ("PyQt6", "flake8_qgis"))):
        print("Not checked: PyQt6 or flake8-qgis is missing (they need Python 3.10).")
        return 0
    packages = [] if files else ["-p", "changescribe.ui", "-p", "changescribe.plugin"]
    paths = files or ["plugin.py", *map(str, sorted(Path("ui").rglob("*.py")))]
    found = changed_names([*files, *packages]) + old_spellings(paths)
    for path in paths:
        if path != COMPAT:
            found += unscoped_enums(path, Path(path).read_text(encoding="utf-8"))
    print("\n".join(found) or "No findings.")
    return 1 if found else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
