# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``changescribe cache``: the remembered pairs."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..console import say
from .shared import add_command
from .texts import CliTexts

if TYPE_CHECKING:
    import argparse

    from ..memory import Entry


def add(commands: Any) -> None:
    """Add the command and its parts to the parsers of the command line."""
    help_ = "list or delete what is remembered of pairs"
    cache = commands.add_parser("cache", help=help_, description=f"L{help_[1:]}.")
    parts = cache.add_subparsers(dest="part", metavar="list | clear", required=True)
    list_ = add_command(parts, "list", _list, "list the pairs, the last used first")
    list_.add_argument("--json", action="store_true", help="print the rows as JSON")
    clear = add_command(parts, "clear", _clear, "delete them")
    clear.add_argument("keys", nargs="*", metavar="KEY", help="default: all")


def _list(arguments: argparse.Namespace) -> int:
    from ..memory import PairMemory, limit_bytes

    memory = PairMemory()
    entries = memory.entries()
    if arguments.json:
        print(json.dumps([_row(entry) for entry in entries], ensure_ascii=False))
        return 0
    total = sum(entry.size for entry in entries) / 1e6
    texts = CliTexts.remembered
    say(texts(folder=memory.folder, size=total, limit=limit_bytes() / 1e6, count=len(entries)))
    for row in map(_row, entries):
        cells = (row["key"][:8], f"{row['megabytes']:.0f} MB", row["used"], row["system"])
        sys.stdout.write("  ".join((*cells, row["before"], row["after"])) + "\n")
    return 0


def _row(entry: Entry) -> dict[str, Any]:
    names = {name: str(entry.facts.get(name, "")) for name in ("before", "after", "system")}
    used = datetime.fromtimestamp(entry.used, timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M")
    return {"key": entry.key, "megabytes": entry.size / 1e6, "used": used, **names}


def _clear(arguments: argparse.Namespace) -> int:
    from ..memory import PairMemory

    memory = PairMemory()
    if not arguments.keys:
        removed = memory.clear()
    else:
        keys = [e.key for e in memory.entries() if e.key.startswith(tuple(arguments.keys))]
        removed = sum(map(memory.remove, keys))
    say(CliTexts.forgotten(count=removed))
    return 0
