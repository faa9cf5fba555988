# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of model weights: list, download, import, verify, remove.

    FOLDER/ID/FILE          the file, or a folder of files; always complete and verified
    FOLDER/ID/record.json   SHA-256 of every file, its origin, and when it was added
    FOLDER/ID/FILE.part     unfinished download
    FOLDER/ID.lock          locked while the entry is written

If the catalogue has no SHA-256 for an entry, the record has the one computed at the import, so
that later damage is noticed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional, Union

from ..errors import WeightsError
from ..writing import could_not_write
from . import catalogue, files
from .candidates import candidates, check_system
from .catalogue import Entry
from .fetch import Download, Network, fetch
from .files import CancelledCallback, StepCallback, Watch
from .texts import WeightsTexts

#: Environment variable that names the folder.
VARIABLE = "CHANGESCRIBE_WEIGHTS"
RECORD = "record.json"
PRESENT = "present"
ABSENT = "absent"
DAMAGED = "damaged"
#: Files of a transformers folder that are copied; code is not, since none is ever run.
_FOLDER_SUFFIXES = {".json", ".txt", ".model", ".safetensors", ".bin", ".jinja", ".tiktoken"}
#: Maximum number of files listed if none was found.
_MAX_LISTED = 6
_chosen: Optional[Path] = None


def use_folder(folder: Optional[Union[str, Path]]) -> None:
    """Set the folder of weights for this process; None restores the default."""
    global _chosen  # noqa: PLW0603 - a setting of the process
    _chosen = Path(folder) if folder else None


def default_folder() -> Path:
    """Return the folder of weights of this process.

    That is the one set with :func:`use_folder`, else the one in ``CHANGESCRIBE_WEIGHTS``, else a
    subfolder of the user's data folder.

    Worker processes get the folder through ``CHANGESCRIBE_WEIGHTS``.
    """
    if _chosen is not None:
        return _chosen
    named = os.environ.get(VARIABLE, "")
    if named:
        return Path(named).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", "") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME", "") or home / ".local" / "share")
    return base / "changescribe" / "weights"


@dataclass(frozen=True)
class Stored:
    """State of an entry in the store.

    Attributes:
        state: ``"present"``, ``"absent"`` or ``"damaged"``.
        sha256: expected SHA-256; None for a folder, or if absent or damaged.
        reason: what is wrong if damaged.
    """

    entry: Entry
    state: str
    path: Path
    size: int = 0
    sha256: Optional[str] = None
    reason: str = ""


class WeightsStore:
    """Keeps the weights of a catalogue in a folder.

    Args:
        folder: None for :func:`default_folder`.
        entries: entries by id; None for the shipped catalogue.
    """

    #: Files verified by this process: (path, size, modification time in ns).
    _verified: set[tuple[str, int, int]] = set()  # noqa: RUF012 - shared on purpose

    def __init__(
        self, folder: Optional[Union[str, Path]] = None, entries: Optional[dict[str, Entry]] = None
    ) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()
        self.entries = catalogue.entries() if entries is None else entries

    def entry(self, identifier: str) -> Entry:
        """Return an entry of the catalogue; raise InputError if there is none."""
        return catalogue.entry(identifier, self.entries)

    def location(self, entry: Entry) -> Path:
        """Return the path of the file or folder of an entry, whether or not it exists."""
        return self.folder / entry.id / entry.file

    def stamp(self, identifier: str) -> Optional[tuple[int, int]]:
        """Return size and modification time, to notice a replaced file; None if there is none."""
        try:
            status = self.location(self.entry(identifier)).stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns

    def states(self) -> tuple[Stored, ...]:
        """Return the state of every entry; see :meth:`state`."""
        return tuple(self.state(identifier) for identifier in self.entries)

    def missing(self, identifiers: Iterable[str]) -> tuple[Stored, ...]:
        """Return the entries of these ids that are absent or damaged."""
        states = (self.state(identifier) for identifier in identifiers)
        return tuple(stored for stored in states if stored.state != PRESENT)

    def state(self, identifier: str) -> Stored:
        """Return the state of an entry, judged by file sizes; :meth:`verify` reads the files."""
        entry = self.entry(identifier)
        path = self.location(entry)
        if not path.exists():
            return Stored(entry, ABSENT, path)
        expected = self._expected(entry)
        size = sum(_size(path, name) for name in expected)
        reason = ""
        if not expected:
            reason = WeightsTexts.no_record()
        elif any(_size(path, name) != known for name, (known, _) in expected.items() if known):
            reason = WeightsTexts.wrong_size()
        sha256 = None if entry.is_folder or reason else expected[""][1]
        return Stored(entry, DAMAGED if reason else PRESENT, path, size, sha256, reason)

    def path(self, identifier: str, watch: Optional[Watch] = None) -> Path:
        """Return the verified file, or folder, of an entry.

        Raises:
            WeightsError: it is missing or damaged; the hint says how to get it.
            InputError: there is no such entry.
        """
        stored = self.verify(identifier, watch)
        if stored.state == PRESENT:
            return stored.path
        entry = stored.entry
        if stored.state == DAMAGED:
            raise WeightsError(
                WeightsTexts.damaged(
                    path=stored.path,
                    title=entry.title,
                    reason=stored.reason,
                    how_to_get=how_to_get(entry),
                )
            )
        text = WeightsTexts.missing(title=entry.title, file=entry.file, size=entry.size_text)
        raise WeightsError(text, how_to_get(entry))

    def require(self, title: str, identifiers: Iterable[str]) -> None:
        """Check that weights are present, before a long run starts.

        Raises:
            WeightsError: entries are missing; lists all of them with their sizes and how to get
                them. Damaged files are found by :meth:`path`.
            InputError: there is no such entry.
        """
        lacking = [s.entry for s in self.missing(identifiers) if s.state == ABSENT]
        if lacking:
            listed = "; ".join(f"{e.title} ({e.file}, {e.size_text})" for e in lacking)
            hint = "\n".join(
                f"{e.file}: {how_to_get(e)}" if len(lacking) > 1 else how_to_get(e) for e in lacking
            )
            raise WeightsError(WeightsTexts.several_missing(title=title, listed=listed), hint)

    def verify(self, identifier: str, watch: Optional[Watch] = None) -> Stored:
        """Read the files of an entry and check their SHA-256.

        Files that this process has verified are not read again unless they change.

        Raises:
            CancelledError: the user cancelled.
        """
        stored = self.state(identifier)
        if stored.state != PRESENT:
            return stored
        for name, (_, sha256) in self._expected(stored.entry).items():
            path = stored.path / name
            try:
                status = path.stat()
                key = (str(path), status.st_size, status.st_mtime_ns)
                right = key in self._verified or files.sha256_of(path, watch) == sha256
            except OSError as error:
                return _damaged(stored, WeightsTexts.unreadable(error=error))
            if not right:
                return _damaged(stored, WeightsTexts.wrong_hash(file=path.name))
            self._verified.add(key)
        return stored

    def fetch(
        self,
        identifier: str,
        progress: Optional[StepCallback] = None,
        cancelled: Optional[CancelledCallback] = None,
        network: Optional[Network] = None,
    ) -> Stored:
        """Download an entry unless it is present; resume an interrupted download.

        Args:
            identifier: id of the entry.
            progress: called with every step.
            cancelled: called often, also while a server does not answer; True cancels.
            network: proxy and certificates; None for those of the environment.

        Raises:
            WeightsError: see :func:`.fetch.fetch`; or the SHA-256 of the entry is unknown.
            OutputError: the folder is not writable, or the disk is full.
            CancelledError: the user cancelled; what has arrived is kept.
        """
        entry, watch = self.entry(identifier), Watch(progress, cancelled)
        if not entry.can_be_fetched:
            raise WeightsError(WeightsTexts.cannot_verify(title=entry.title), how_to_get(entry))
        with self._writing(entry):
            stored = self.verify(identifier, watch)
            if stored.state == PRESENT:
                return stored
            self._write_record(entry, {"": (entry.size, entry.sha256)}, str(entry.url))
            fetch(
                Download(
                    str(entry.url),
                    self.location(entry),
                    str(entry.sha256),
                    entry.size,
                    network or Network(),
                    watch,
                )
            )
        return self.state(identifier)

    def import_from(
        self,
        source: Union[str, Path],
        identifiers: Optional[Sequence[str]] = None,
        progress: Optional[StepCallback] = None,
        cancelled: Optional[CancelledCallback] = None,
    ) -> tuple[Stored, ...]:
        """Copy weights from a file or a folder, without the network.

        Files are recognised by their names; in a folder, they may lie in subfolders named by id, as
        in another store. The folder of a training run is recognised by the metadata of its weights.
        With a single id, a file may have any name. The SHA-256 is checked if the catalogue has it.

        Args:
            source: a file or a folder.
            identifiers: ids of the entries to look for; None for all.
            progress: called with every step.
            cancelled: called between blocks; True cancels.

        Raises:
            WeightsError: no file of the entries was found, or a file is not the expected one.
            OutputError: the folder is not writable, or the disk is full.
            CancelledError: the user cancelled.
        """
        source, watch = Path(source), Watch(progress, cancelled)
        sought = [self.entry(name) for name in (identifiers or self.entries)]
        found = [(entry, path) for entry in sought for path in candidates(source, entry, sought)]
        if not found:
            names = ", ".join(entry.file for entry in sought[:_MAX_LISTED])
            more = ", ..." if len(sought) > _MAX_LISTED else ""
            raise WeightsError(WeightsTexts.nothing_to_import(source=source, names=names + more))
        wrong: list[WeightsError] = []
        done: list[Stored] = []
        for entry, path in found:
            try:
                if source.is_dir():
                    _check_link(path, source)
                done.append(self._import(entry, path, watch))
            except WeightsError as error:
                wrong.append(error)
        if wrong:
            first = wrong[0]
            titles = ", ".join(stored.entry.title for stored in done)
            imported = WeightsTexts.imported(titles=titles) if done else ""
            hint = f"{first.hint} {imported}".strip()
            details = "\n".join(f"{error} {error.details}" for error in wrong)
            raise WeightsError(first.message, hint, details)
        return tuple(done)

    def remove(self, identifier: str) -> bool:
        """Delete the files of an entry and its unfinished download.

        Returns:
            Whether there was anything to delete.

        Raises:
            OutputError: a file is in use, or the folder is not writable.
        """
        entry = self.entry(identifier)
        folder = self.folder / entry.id
        if not folder.exists():
            return False
        with self._writing(entry):
            try:
                shutil.rmtree(folder)
            except OSError as error:
                raise could_not_write(self.location(entry), error) from error
        return True

    def _import(self, entry: Entry, source: Path, watch: Watch) -> Stored:
        with self._writing(entry):
            target = self.location(entry)
            part = target.with_name(f"{target.name}.import")
            _delete(part)
            try:
                known = (
                    _copy_folder(source, part, watch)
                    if entry.is_folder
                    else {"": (source.stat().st_size, files.copy(source, part, watch))}
                )
                _check(entry, source, known)
                check_system(entry, source, part)
                # The record first: a file without one counts as damaged.
                self._write_record(entry, known, f"imported from {source.name}")
                _delete(target)
                os.replace(part, target)
            except OSError as error:
                raise could_not_write(target, error) from error
            finally:
                _delete(part)
            _delete(target.with_name(f"{target.name}.part"))
            _delete(target.with_name(f"{target.name}.part.json"))
        return self.state(entry.id)

    def _writing(self, entry: Entry) -> Any:
        """Create the folder of an entry and hold its lock."""
        files.make_folder(self.folder / entry.id)
        return files.locked(self.folder / f"{entry.id}.lock", entry.title)

    def _expected(self, entry: Entry) -> dict[str, tuple[Optional[int], str]]:
        """Return expected size and SHA-256 of the files of an entry; "" is the file itself."""
        if entry.sha256 is not None:
            return {"": (entry.size, entry.sha256)}
        try:
            text = (self.folder / entry.id / RECORD).read_text(encoding="utf-8")
            rows = json.loads(text)["files"]
            known: dict[str, tuple[Optional[int], str]] = {
                str(n): (int(row["size"]), str(row["sha256"])) for n, row in rows.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return known if entry.is_folder or "" in known else {}

    def _write_record(
        self, entry: Entry, known: Mapping[str, tuple[Optional[int], Optional[str]]], origin: str
    ) -> None:
        path = self.folder / entry.id / RECORD
        content = {
            "id": entry.id,
            "files": {name: {"size": size, "sha256": sha} for name, (size, sha) in known.items()},
            "origin": origin,
            "revision": entry.revision,
            "added": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        try:
            files.write_text(path, json.dumps(content, indent=1))
        except OSError as error:
            raise could_not_write(path, error) from error


def how_to_get(entry: Entry) -> str:
    """Return how the user gets the file of an entry into the store, and its terms of use."""
    if entry.can_be_fetched:
        text = WeightsTexts.how_to_fetch(id=entry.id)
    elif entry.url:
        text = WeightsTexts.how_to_import(id=entry.id, url=entry.url)
    else:
        text = WeightsTexts.how_to_import_unpublished(id=entry.id)
    return f"{text} {WeightsTexts.terms(terms=entry.terms)}" if entry.terms else text


def _size(path: Path, name: str) -> int:
    """Return the size of a file in a folder, 0 if missing; for "" that of the path itself."""
    try:
        return (path / name).stat().st_size
    except OSError:
        return 0


def _damaged(stored: Stored, reason: str) -> Stored:
    return Stored(stored.entry, DAMAGED, stored.path, stored.size, None, reason)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _copy_folder(source: Path, target: Path, watch: Watch) -> dict[str, tuple[int, str]]:
    """Copy the required files of a folder; return size and SHA-256 by name."""
    names = sorted(p.name for p in source.iterdir() if p.is_file())
    names = [name for name in names if Path(name).suffix.lower() in _FOLDER_SUFFIXES]
    if any(name.endswith(".safetensors") for name in names):
        names = [name for name in names if not name.endswith(".bin")]
    for name in names:
        _check_link(source / name, source)
        if name.endswith(".index.json"):
            _check_shards(source / name, names)
    files.check_room(target.parent, sum((source / name).stat().st_size for name in names))
    target.mkdir()
    known = {}
    for name in names:
        sha256 = files.copy(source / name, target / name, watch)
        known[name] = ((target / name).stat().st_size, sha256)
    return known


def _check_link(path: Path, folder: Path) -> None:
    """Raise WeightsError for a link to something outside a folder that the user chose.

    In the cache of the Hugging Face hub, ``snapshots/REVISION`` links to files in ``blobs``.
    """
    blobs = folder.parent.parent / "blobs" if folder.parent.name == "snapshots" else folder
    inside = (path.resolve(), *path.resolve().parents)
    if folder.resolve() not in inside and blobs.resolve() not in inside:
        raise WeightsError(WeightsTexts.link_outside(file=path))


def _check_shards(index: Path, names: Sequence[str]) -> None:
    """Raise WeightsError if an index names other files than those of its folder."""
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        shards = {""}
    if not shards.issubset(names):
        raise WeightsError(WeightsTexts.other_shards(file=index))


def _check(entry: Entry, source: Path, known: dict[str, tuple[int, str]]) -> None:
    """Raise WeightsError if size or SHA-256 of a copied file contradict the catalogue."""
    if entry.is_folder:
        return
    size, sha256 = known[""]
    right = sha256 == entry.sha256 if entry.sha256 else sha256.startswith(entry.sha256_prefix or "")
    if right and entry.size in (None, size):
        return
    expected = entry.sha256 or f"{entry.sha256_prefix}..."
    raise WeightsError(
        WeightsTexts.wrong_file(source=source, title=entry.title),
        details=f"SHA-256 {sha256}, expected {expected}\n{size} bytes, expected {entry.size}",
    )
