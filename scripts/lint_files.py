#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""File rules beyond ruff: length, licence line, words, machine-specific paths.

Checks every text file that git tracks or would track, prints one line per finding, and exits with
1 if there is any.
"""

from __future__ import annotations

import re
import subprocess  # noqa: S404  # nosec B404
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 500
SPDX = "SPDX-License-Identifier: GPL-3.0-or-later"
#: Hand-written files, whose length and licence line are checked.
SOURCES = {".py", ".sh"}
TEXT = SOURCES | {".md", ".txt", ".toml", ".yaml", ".yml", ".json", ".cfg", ".ini", ".qml", ".ui"}
NAMED = {"Makefile", "run"}
#: Word lists of models, which may contain any word.
SKIPPED = re.compile(r"^resources/models/.*vocab|^LICENSE$")

# Written in pieces, so that this file passes its own rules.
_UNFINISHED = "|".join(
    ("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK", "NotImplemented" + "Error")
)
WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"\b({_UNFINISHED})\b"), "unfinished work is not shipped"),
    (
        # Qt has placeholder texts; what is meant here is code that stands in for the real one.
        re.compile(r"\bfor " + r"now\b|#.*\bplace" + r"holder\b(?! text)", re.IGNORECASE),
        "unfinished work is not shipped",
    ),
    (re.compile(r"(?<![\w.$}>*/-])/(?:work|root|home/\w+|opt/pypi\S*)/"), "a path of one machine"),
    (
        re.compile(r"https?://(?!127\.|localhost)[^\s\"'<>)]*/simple\b|\bpypi[-.](?!org\b)\w"),
        "the host of a package registry",
    ),
    (
        re.compile(
            r"https?://(?!127\.)(?:\d{1,3}\.){3}\d{1,3}|https?://[\w.-]+\.(?:internal|local|lan)\b"
        ),
        "a host that only one network knows",
    ),
)


def tracked(root: Path = ROOT) -> list[str]:
    """Return the paths, relative to the root, that git tracks or would track."""
    done = subprocess.run(  # noqa: S603, S607  # nosec B603 B607
        [
            "git",
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted({p for p in done.stdout.split("\0") if p and (root / p).is_file()})


def findings(path: str, text: str) -> list[str]:
    """Return the findings of one file, one line each.

    Args:
        path: relative to the root, with forward slashes.
        text: its content.
    """
    found = []
    lines = text.splitlines()
    suffix = Path(path).suffix
    if suffix in SOURCES:
        if len(lines) > MAX_LINES:
            found.append(f"{path}:{len(lines)}: longer than {MAX_LINES} lines")
        head = (
            lines[1]
            if lines and lines[0].startswith("#!") and len(lines) > 1
            else "".join(lines[:1])
        )
        if SPDX not in head:
            found.append(f"{path}:1: the licence line is missing ('# {SPDX}')")
    for number, line in enumerate(lines, 1):
        for pattern, reason in WORDS:
            match = pattern.search(line)
            if match:
                found.append(f"{path}:{number}: {reason}: '{match.group(0)}'")
    return found


def is_text(path: str) -> bool:
    """Return whether the rules apply to this file."""
    name = Path(path)
    return (name.suffix in TEXT or name.name in NAMED) and not SKIPPED.search(path)


def main() -> int:
    """Check all files; return the exit code."""
    found: list[str] = []
    for path in tracked():
        if is_text(path):
            try:
                text = (ROOT / path).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                found.append(f"{path}:1: not UTF-8")
                continue
            found += findings(path, text)
    print("\n".join(found) or "No findings.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
