# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation: links resolve, commands exist, the examples in it run."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import pytest
from osgeo import gdal

import changescribe.engine as cs
from changescribe.engine import systems
from changescribe.engine.cli import app
from changescribe.engine.lexicon import prompt_words
from changescribe.engine.prompt import parse
from changescribe.engine.prompt.languages import read_language

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "pages"
DEMO = [ROOT / "resources" / "demo" / f"demo_{date}.tif" for date in ("2016-05-04", "2023-06-21")]
FILES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted(PAGES.rglob("*.md")),
]
MAX_README_LINES = 120
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"\bchangescribe\s+([a-z][a-z-]*)(?: ([a-z][a-z-]*)\b(?![./=]))?")
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _parts(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def test_readme_is_short():
    assert len(_text(ROOT / "README.md").splitlines()) <= MAX_README_LINES


@each_file
def test_links_resolve(path: Path):
    links = [link for link in _LINK.findall(_FENCE.sub("", _text(path))) if "://" not in link]
    broken = [
        link
        for link in links
        if link.partition("#")[0] and not (path.parent / link.partition("#")[0]).exists()
    ]
    assert broken == []


def _code(text: str) -> list[str]:
    """Return the fenced blocks, indented lines and `code` of a page."""
    indented = re.findall(r"^(?: {4}|\t).*$", text, re.MULTILINE)
    inline = re.findall(r"`([^`]+)`", _FENCE.sub("", text))
    return [*_FENCE.findall(text), *indented, *inline]


@each_file
def test_commands_exist(path: Path):
    commands = _parts(app._parser())
    wrong = []
    found = [match for code in _code(_text(path)) for match in _COMMAND.findall(code)]
    for name, part in found:
        parts = _parts(commands[name]) if name in commands else {}
        if name not in commands or (part and parts and part not in parts):
            wrong.append(f"{name} {part}".strip())
    assert wrong == []


def test_every_command_has_an_example():
    text = _text(PAGES / "command-line.md")
    examples = {name for line in text.splitlines() for name in _COMMAND.findall(line[4:])}
    for name, parser in _parts(app._parser()).items():
        assert name in {command for command, _ in examples}
        for part in _parts(parser):
            assert (name, part) in examples


def test_every_folder_is_explained():
    text = _text(PAGES / "architecture.md")
    folders = [
        f"{top}/{folder.name}/"
        for top in ("engine", "ui")
        for folder in sorted((ROOT / top).iterdir())
        if (folder / "__init__.py").is_file()
    ]
    assert [folder for folder in folders if f"`{folder}`" not in text] == []


def test_the_layers_are_those_of_the_contract():
    contract = _text(ROOT / "pyproject.toml").partition('"Layers of the engine"')[2]
    contract = contract.partition("exhaustive")[0]
    layers = [
        re.findall(r"\w+", row) for row in re.findall(r'^    "(.+)",$', contract, re.MULTILINE)
    ]
    table = _text(PAGES / "architecture.md").partition("## Layers of the engine")[2]
    rows = re.findall(r"^\| [a-z ]+ \| (`.*`) \|$", table.partition("\n## ")[0], re.MULTILINE)
    shown = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    rank = {name: number for number, row in enumerate(layers) for name in row}
    assert set(shown) == set(rank)
    assert [rank[name] for name in shown] == sorted(rank[name] for name in shown)


def test_every_page_is_in_the_navigation():
    navigation = _text(ROOT / "docs" / "mkdocs.yml").partition("\nnav:")[2]
    pages = [path.relative_to(PAGES).as_posix() for path in PAGES.rglob("*.md")]
    assert [page for page in pages if not re.search(rf": {page}$", navigation, re.MULTILINE)] == []


@pytest.mark.parametrize("path", [ROOT / "README.md", PAGES / "prompts.md"], ids=lambda p: p.name)
def test_prompts_are_understood(path: Path):
    rows = re.findall(r"^\| (`.+?) \| (.+?) \|$", _text(path), re.MULTILINE)
    prompts = [
        prompt
        for cell, answer in rows
        if "appeared" in answer or "removed" in answer
        for prompt in re.findall(r"`(.+?)`", cell)
    ]
    assert len(prompts) >= 2
    for prompt in prompts:
        assert parse(prompt).queries


def _python_blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", _text(path), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", [ROOT / "README.md", PAGES / "python.md"], ids=lambda p: p.name)
def test_the_python_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for source, name in zip(DEMO, ("before.tif", "after.tif")):
        gdal.Translate(name, str(source), srcWin=[0, 0, 512, 512])
    blocks = _python_blocks(path)
    assert blocks
    exec("\n".join(blocks), {})  # noqa: S102 - the examples themselves are what is tested


def test_the_toy_system_of_contributing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module, register = _python_blocks(ROOT / "CONTRIBUTING.md")
    (tmp_path / "brightness.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(systems, "_REGISTERED", {})
    exec(register, {})  # noqa: S102 - the example itself is what is tested
    try:
        result = cs.detect(*DEMO, "roofs built", tmp_path / "out.gpkg", system="brightness")
    finally:
        sys.modules.pop("brightness", None)
    assert result.system == "brightness"
    assert result.count > 0
    assert {region.direction for region in result.regions} == {"appeared"}


def test_the_toy_language_of_contributing_works(tmp_path: Path):
    text = _text(ROOT / "CONTRIBUTING.md")
    block = re.search(r"^    # Italian\n(?:    .*\n)+", text, re.MULTILINE)[0]
    path = tmp_path / "it.txt"
    path.write_text(re.sub(r"^    ", "", block, flags=re.MULTILINE), encoding="utf-8")
    words = read_language(path).words
    assert words["strade"] == "roads"
    assert prompt_words().issuperset(word for english in words.values() for word in english.split())
