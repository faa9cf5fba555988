# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``changescribe models``: the systems, and the weights that they need."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import systems
from ..console import say
from ..errors import InputError, WeightsError
from ..weights.catalogue import megabytes
from ..weights.files import Watch
from ..weights.store import DAMAGED, PRESENT, WeightsStore
from .shared import Run, add_command
from .texts import CliTexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..weights.files import Step
    from ..weights.store import Stored

_JSON_HELP = "print the rows as JSON"


def add(commands: Any) -> None:
    """Add the command and its parts to the parsers of the command line."""
    models = add_command(commands, "models", _systems, "list the systems; get their weights")
    models.add_argument("--json", action="store_true", help=_JSON_HELP)
    parts = models.add_subparsers(dest="part", metavar="list | fetch | import | remove | verify")
    _add(parts, "list", _list, "list the weight files, their states and terms")
    fetch = _add(parts, "fetch", _fetch, "download weights and verify them")
    import_ = _add(parts, "import", _import, "copy weights from a file or a folder")
    import_.add_argument("source", type=Path, metavar="SOURCE", help="a file or a folder")
    import_.add_argument("--id", dest="ids", action="append", metavar="ID", help="only these")
    remove = _add(parts, "remove", _remove, "delete weights")
    verify = _add(parts, "verify", _verify, "compare weights with their SHA-256")
    verify.add_argument("ids", nargs="*", metavar="ID", help="default: all present ones")
    for part in (fetch, remove):
        part.add_argument(
            "ids", nargs="+", metavar="ID", help="weights, or a system: all that it needs"
        )


def _add(parts: Any, name: str, run: Run, help_: str) -> argparse.ArgumentParser:
    part = add_command(parts, name, run, help_)
    # A default would undo the option in "models --json list".
    part.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=_JSON_HELP)
    return part


def _systems(arguments: argparse.Namespace) -> int:
    rows = []
    for name in systems.names():
        try:
            rows.append(systems.create(name).info)
        except InputError as error:  # of a system from outside the package
            say(str(error))
    if arguments.json:
        print(json.dumps([asdict(info) for info in rows]))
        return 0
    store = WeightsStore()
    for info in rows:
        print(
            CliTexts.system(
                name=info.name, title=info.title, description=info.description, terms=info.terms
            )
        )
        for stored in (store.state(identifier) for identifier in info.weights):
            entry = stored.entry
            print(CliTexts.needs(id=entry.id, size=entry.size_text, state=stored.state))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    store = WeightsStore()
    states = store.states()
    if arguments.json:
        print(json.dumps([_row(stored) for stored in states]))
        return 0
    print(CliTexts.weights_folder(folder=store.folder))
    for stored in states:
        entry = stored.entry
        notes = [entry.licence or CliTexts.no_licence()]
        if stored.state != PRESENT and not entry.can_be_fetched:
            notes.append(CliTexts.import_only())
        print(f"{entry.id:26} {stored.state:8} {entry.size_text:>14}  {'; '.join(notes)}")
        if stored.reason:
            print(f"{'':26} {stored.reason}")
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    store = WeightsStore()
    done, import_only = [], []
    for entry in [store.entry(identifier) for identifier in _expanded(arguments.ids)]:
        if not entry.can_be_fetched:
            import_only.append(entry.id)
            continue
        terms = entry.terms or CliTexts.no_terms()
        say(CliTexts.fetching(title=entry.title, size=entry.size_text, terms=terms))
        done.append(store.fetch(entry.id, _Line()))
    _report(arguments, [*done, *(s for i in import_only if (s := store.state(i)).state == PRESENT)])
    store.require(", ".join(arguments.ids), import_only)
    return 0


def _import(arguments: argparse.Namespace) -> int:
    store = WeightsStore()
    ids = _expanded(arguments.ids) if arguments.ids else None
    return _report(arguments, store.import_from(arguments.source, ids, _Line()))


def _remove(arguments: argparse.Namespace) -> int:
    store = WeightsStore()
    removed = [identifier for identifier in _expanded(arguments.ids) if store.remove(identifier)]
    if arguments.json:
        print(json.dumps(removed))
    else:
        print(CliTexts.removed(ids=", ".join(removed) or CliTexts.nothing()))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    store = WeightsStore()
    ids = _expanded(arguments.ids) or [s.entry.id for s in store.states() if s.path.exists()]
    states = [store.verify(identifier, Watch(_Line())) for identifier in ids]
    if arguments.json:
        print(json.dumps([_row(stored) for stored in states]))
    else:
        if not states:
            print(CliTexts.nothing_to_verify())
        for stored in states:
            print(f"{stored.entry.id}: {stored.state}{stored.reason and f', {stored.reason}'}")
    return WeightsError.exit_code if any(s.state != PRESENT for s in states) else 0


def _expanded(names: Sequence[str]) -> list[str]:
    """Replace the name of a system by the ids of its weights."""
    found: list[str] = []
    for name in names:
        found += systems.create(name).info.weights if name in systems.names() else [name]
    return list(dict.fromkeys(found))


def _report(arguments: argparse.Namespace, done: Sequence[Stored]) -> int:
    if arguments.json:
        print(json.dumps([_row(stored) for stored in done]))
        return 0
    for stored in done:
        parts = [str(stored.path), megabytes(stored.size)]
        if stored.sha256:
            text = CliTexts.sha256 if stored.entry.sha256 else CliTexts.computed_sha256
            parts.append(text(sha256=stored.sha256))
        print(f"{stored.entry.id}: {', '.join(parts)}")
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
    """A line on standard error that is rewritten in place; nothing if it is no terminal."""

    def __call__(self, step: Step) -> None:
        if not sys.stderr.isatty():
            return
        share = f"{step.done / step.total:4.0%} " if step.total else ""
        end = "\n" if step.done == step.total else ""
        done, total = megabytes(step.done), megabytes(step.total)
        line = f"\r{share}{CliTexts.loaded(part=step.text, done=done, total=total)}"
        print(f"{line:<90}", end=end, file=sys.stderr, flush=True)
