# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``changescribe models``: the systems, and the weights that they need."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import systems
from ..errors import WeightsError
from ..weights.catalogue import megabytes
from ..weights.files import Watch
from ..weights.store import DAMAGED, PRESENT, WeightsStore

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ..weights.files import Step
    from ..weights.store import Stored


def add(commands: Any) -> None:
    """Add the command and its parts to the parsers of the command line."""
    models = commands.add_parser("models", help="list the systems; list and get their weights")
    models.add_argument("--json", action="store_true")
    models.set_defaults(run=_systems)
    parts = models.add_subparsers(dest="part", metavar="list | fetch | import | remove | verify")
    _part(parts, "list", _list, "list the weight files, which are there, and their terms")
    names = {"nargs": "+", "metavar": "ID", "help": "weights, or a system: all that it needs"}
    _part(parts, "fetch", _fetch, "download weights and verify them").add_argument("ids", **names)
    bring = _part(parts, "import", _import, "copy weights from a file or a folder")
    bring.add_argument("source", type=Path, metavar="SOURCE", help="a file or a folder")
    bring.add_argument("--id", dest="ids", action="append", metavar="ID", help="only these")
    _part(parts, "remove", _remove, "delete weights").add_argument("ids", **names)
    verify = _part(parts, "verify", _verify, "read weights and compare them with their SHA-256")
    verify.add_argument("ids", nargs="*", metavar="ID", help="default: all that are there")


def _part(parts: Any, name: str, run: Any, words: str) -> argparse.ArgumentParser:
    from argparse import SUPPRESS

    part = parts.add_parser(name, help=words)
    # A default here would undo "models --json list".
    part.add_argument("--json", action="store_true", default=SUPPRESS)
    part.set_defaults(run=run)
    return part


def _systems(arguments: argparse.Namespace) -> int:
    rows = [systems.create(name).info for name in systems.names()]
    if arguments.json:
        print(json.dumps([asdict(info) for info in rows]))
        return 0
    store = WeightsStore()
    for info in rows:
        print(f"{info.name}: {info.title}\n  {info.description}\n  terms: {info.terms}")
        for stored in (store.state(identifier) for identifier in info.weights):
            print(f"  needs: {stored.entry.id} ({stored.entry.size_text}), {stored.state}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    store = WeightsStore()
    states = store.states()
    if arguments.json:
        print(json.dumps([_row(stored) for stored in states]))
        return 0
    print(f"Folder: {store.folder}")
    for stored in states:
        entry = stored.entry
        way = "" if stored.state == PRESENT or entry.can_be_fetched else "; import only"
        licence = entry.licence or "no licence stated"
        print(f"{entry.id:26} {stored.state:8} {entry.size_text:>14}  {licence}{way}")
        if stored.reason:
            print(f"{'':26} {stored.reason}")
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    store = WeightsStore()
    done = []
    for entry in (store.entry(identifier) for identifier in _expanded(arguments.ids)):
        print(
            f"{entry.title}, {entry.size_text}. Terms: {entry.terms or 'none stated'}",
            file=sys.stderr,
            flush=True,
        )
        done.append(store.fetch(entry.id, _Line()))
    return _report(arguments, done)


def _import(arguments: argparse.Namespace) -> int:
    store = WeightsStore()
    wanted = _expanded(arguments.ids) if arguments.ids else None
    return _report(arguments, store.import_from(arguments.source, wanted, _Line()))


def _remove(arguments: argparse.Namespace) -> int:
    store = WeightsStore()
    removed = [identifier for identifier in _expanded(arguments.ids) if store.remove(identifier)]
    print(json.dumps(removed) if arguments.json else f"Removed: {', '.join(removed) or 'nothing'}")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    store = WeightsStore()
    wanted = _expanded(arguments.ids) or [s.entry.id for s in store.states() if s.path.exists()]
    states = [store.verify(identifier, Watch(_Line())) for identifier in wanted]
    if arguments.json:
        print(json.dumps([_row(stored) for stored in states]))
    else:
        for stored in states:
            print(f"{stored.entry.id}: {stored.state}{stored.reason and f', {stored.reason}'}")
    return WeightsError.exit_code if any(s.state != PRESENT for s in states) else 0


def _expanded(names: Sequence[str]) -> list[str]:
    """Put the weights of a system in the place of its name."""
    found: list[str] = []
    for name in names:
        found += systems.create(name).info.weights if name in systems.names() else [name]
    return list(dict.fromkeys(found))


def _report(arguments: argparse.Namespace, done: Sequence[Stored]) -> int:
    if arguments.json:
        print(json.dumps([_row(stored) for stored in done]))
        return 0
    for stored in done:
        known = "" if stored.entry.sha256 else " (computed; none is published)"
        sha256 = f", SHA-256 {stored.sha256}{known}" if stored.sha256 else ""
        print(f"{stored.entry.id}: {stored.path}, {megabytes(stored.size)}{sha256}")
    return 0


def _row(stored: Stored) -> dict[str, Any]:
    entry = stored.entry
    return {
        **asdict(entry),
        "state": stored.state,
        "reason": stored.reason,
        "path": str(stored.path) if stored.state in (PRESENT, DAMAGED) else None,
        "bytes": stored.size,
        "found_sha256": stored.sha256,
        "can_be_fetched": entry.can_be_fetched,
    }


class _Line:
    """One line on standard error, rewritten in place on a terminal and left out elsewhere."""

    def __call__(self, step: Step) -> None:
        if not sys.stderr.isatty():
            return
        share = f"{step.done / step.total:4.0%} " if step.total else ""
        end = "\n" if step.done == step.total else ""
        line = f"\r{share}{step.text}, {megabytes(step.done)} of {megabytes(step.total)}"
        print(f"{line:<90}", end=end, file=sys.stderr, flush=True)
