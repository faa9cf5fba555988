# SPDX-License-Identifier: GPL-3.0-or-later
"""Offline checks of a plugin's zip by the rules for publication.

Errors are rejected by plugins.qgis.org's validator or the critical rules of its security scan.
Warnings are reported by the scan and questioned by reviewers.
"""

from __future__ import annotations

import ast
import configparser
import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "changescribe"
MAX_BYTES = 25 * 1024 * 1024
FORBIDDEN_SUFFIXES = {
    ".pyc",
    ".pyo",
    ".sh",
    ".bat",
    ".ps1",
    ".cmd",
    ".dll",
    ".so",
    ".exe",
    ".dylib",
    ".pyd",
    ".pkl",
}
FORBIDDEN_PARTS = {"__pycache__", ".git", "__MACOSX", ".DS_Store", ".svn", ".hg"}
REQUIRED_FILES = ("LICENSE", "metadata.txt", "__init__.py")
REQUIRED_KEYS = (
    "name",
    "description",
    "version",
    "qgisMinimumVersion",
    "qgisMaximumVersion",
    "author",
    "email",
    "about",
    "tracker",
    "repository",
    "hasProcessingProvider",
)
_SECRET = re.compile(
    r"""(?ix) \b (?: password | passwd | secret | api_?key | access_?key | auth_?token ) \b
    \s* [:=] \s* ["'][^"'\s{}%]{6,}["']
    | AKIA[0-9A-Z]{16} | -----BEGIN [A-Z ]*PRIVATE\x20KEY-----"""
)
#: Calls rejected by the scan, by bare name or the last part of a dotted one.
_FORBIDDEN_NAMES = {"eval", "exec"}
_FORBIDDEN_CALLS = {
    "mktemp": "a temporary name that another program can take first",
    "extractall": "an archive that may write outside its folder",
    "unpack_archive": "an archive that may write outside its folder",
    "_create_unverified_context": "certificates are not checked",
    "system": "a shell",
    "popen": "a shell",
}
_HUB_CALLS = {"from_pretrained", "hf_hub_download", "snapshot_download", "load_dataset"}
_FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "shelve", "marshal", "telnetlib", "ftplib"}
_WARNED_IMPORTS = {"subprocess"}


def problems_of(path: Path) -> list[str]:
    """Return all findings on a zip, errors first, one line each."""
    if not path.is_file():
        return [f"error: {path} does not exist"]
    found = []
    if path.stat().st_size > MAX_BYTES:
        found.append(f"error: {path.stat().st_size / 1e6:.1f} MB, more than 25 MB")
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        found += _names(names)
        if f"{FOLDER}/metadata.txt" in names:
            found += _metadata(archive.read(f"{FOLDER}/metadata.txt").decode("utf-8"), names)
        for name in names:
            if name.endswith(".py"):
                found += source_problems(name, archive.read(name).decode("utf-8"))
    return sorted(found, key=lambda line: not line.startswith("error"))


def _names(names: list[str]) -> Iterator[str]:
    if not FOLDER.isidentifier():
        yield f"error: the folder's name '{FOLDER}' is not an identifier"
    for name in names:
        path = PurePosixPath(name)
        if path.parts[0] != FOLDER or ".." in path.parts:
            yield f"error: {name} is outside the folder {FOLDER}"
        if path.suffix.lower() in FORBIDDEN_SUFFIXES:
            yield f"error: {name} has a forbidden suffix"
        if FORBIDDEN_PARTS & set(path.parts) or path.name.startswith("."):
            yield f"error: {name} is hidden or a tool's own file"
    for name in REQUIRED_FILES:
        if f"{FOLDER}/{name}" not in names:
            yield f"error: {name} is missing"


def _metadata(text: str, names: list[str]) -> Iterator[str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment] - keys keep their case
    parser.read_string(text)
    general = parser["general"] if parser.has_section("general") else {}
    for key in REQUIRED_KEYS:
        if not general.get(key, "").strip():
            yield f"error: metadata.txt lacks {key}"
    if "plugin" in general.get("name", "").lower():
        yield "error: metadata.txt: the name says 'plugin'"
    for key in ("tracker", "repository", "homepage"):
        if general.get(key) and not general[key].startswith("https://"):
            yield f"error: metadata.txt: {key} is not an https address"
    icon = general.get("icon", "")
    if icon and f"{FOLDER}/{icon}" not in names:
        yield f"error: metadata.txt: the icon {icon} is not in the zip"
    if not re.fullmatch(r"\d+(\.\d+)+", general.get("version", "")):
        yield "error: metadata.txt: the version is not of the form 1.2.3"


def source_problems(name: str, text: str) -> list[str]:
    """Return the findings of the security scan for one Python file.

    Args:
        name: path shown in the findings.
        text: the source.
    """
    try:
        tree = ast.parse(text, name)
    except SyntaxError as error:
        return [f"error: {name}:{error.lineno}: does not compile ({error.msg})"]
    found = [
        f"error: {name}:{number}: looks like a secret"
        for number, line in enumerate(text.splitlines(), 1)
        if _SECRET.search(line)
    ]
    for node in ast.walk(tree):
        for kind, reason in _node_problems(node):
            found.append(f"{kind}: {name}:{getattr(node, 'lineno', 0)}: {reason}")
    return found


def _node_problems(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Call):
        yield from _call_problems(node)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        modules = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""] if not node.level else []
        for module in {module.split(".")[0] for module in modules}:
            if module in _FORBIDDEN_IMPORTS:
                yield "error", f"imports {module}"
            elif module in _WARNED_IMPORTS:
                yield "warning", f"imports {module}"
    elif isinstance(node, ast.Assert):
        yield "warning", "assert, which python -O drops"
    elif isinstance(node, ast.ExceptHandler):
        if node.type is None:
            yield "warning", "bare except"
        if len(node.body) == 1 and isinstance(node.body[0], ast.Pass):
            yield "warning", "an error is passed over in silence"


def _call_problems(node: ast.Call) -> Iterator[tuple[str, str]]:
    keywords = {word.arg: word.value for word in node.keywords if word.arg}
    if isinstance(node.func, ast.Name) and node.func.id in _FORBIDDEN_NAMES:
        yield "error", f"calls {node.func.id}()"
    called = _last_name(node.func)
    owner = _last_name(node.func.value) if isinstance(node.func, ast.Attribute) else None
    if called in _FORBIDDEN_CALLS and not (called in ("system", "popen") and owner != "os"):
        yield "error", f"calls {called}(): {_FORBIDDEN_CALLS[called]}"
    if _is(keywords.get("shell"), True):
        yield "error", "shell=True"
    if _is(keywords.get("verify"), False):
        yield "error", "verify=False: certificates are not checked"
    if called in _HUB_CALLS and "revision" not in keywords:
        yield "error", f"{called}() without a pinned revision"
    if called == "load" and owner == "torch":
        safe = _is(keywords.get("weights_only"), True)
        yield ("warning" if safe else "error"), "torch.load" + ("" if safe else " of a pickle")
    if called == "urlopen":
        yield "warning", "urlopen"


def _last_name(node: ast.AST) -> Optional[str]:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _is(node: Optional[ast.AST], value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
