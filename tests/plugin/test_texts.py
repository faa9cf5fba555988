# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ast
import string
from pathlib import Path
from typing import Any, Optional

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [ROOT / "plugin.py", *sorted((ROOT / "ui").rglob("*.py"))]


def is_tr(node: ast.AST) -> bool:
    """Whether a node is a call of ``tr`` or of a method of that name."""
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    return "tr" in (getattr(function, "id", None), getattr(function, "attr", None))


def text_of(node: ast.AST) -> Optional[str]:
    """Return the literal that a call of ``tr`` translates; None where it is none."""
    arguments: Any = getattr(node, "args", [])
    if len(arguments) != 1 or getattr(node, "keywords", []):
        return None
    # Adjacent literals are one constant; an f-string, a name or "a" + "b" is not.
    value = arguments[0].value if isinstance(arguments[0], ast.Constant) else None
    return value if isinstance(value, str) else None


def fields_of(text: str) -> set[Optional[str]]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}


def problems_of(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "format":
            text = text_of(node.func.value) if is_tr(node.func.value) else None
            if text and fields_of(text) != {keyword.arg for keyword in node.keywords}:
                found.append(f"{node.lineno}: the fields of {text!r} are others")
        if not is_tr(node):
            continue
        text = text_of(node)
        if text is None:
            found.append(f"{node.lineno}: not a literal")
            continue
        if not text.strip() or text != text.strip():
            found.append(f"{node.lineno}: {text!r} begins or ends with a blank")
        if not all(field and field.isidentifier() for field in fields_of(text)):
            found.append(f"{node.lineno}: a field of {text!r} has no name")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_texts_are_literals_with_named_fields(path: Path) -> None:
    assert problems_of(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "tr(text)",
        "self.tr(f'{n} found')",
        "tr('a' + 'b')",
        "tr('a' if b else 'c')",
        "tr('{} found')",
        "tr('{0} found')",
        "tr('{run.count} found')",
        "tr(' found')",
        "tr('{n} found').format(count=3)",
        "tr('found').format(count=3)",
    ],
)
def test_other_texts_are_found(source: str) -> None:
    assert problems_of(source)


def test_good_texts_are_not() -> None:
    assert problems_of("tr('{n} ' 'found').format(n=3); tr('found')") == []
