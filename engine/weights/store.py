# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that model weights are kept in: list, fetch, import, verify, remove.

    FOLDER/ID/FILE          the file, or a folder of files; only ever whole and verified
    FOLDER/ID/record.json   SHA-256 of every file, where it came from, when
    FOLDER/ID/FILE.part     what has arrived of a download
    FOLDER/ID.lock          held while the entry is written

For an entry whose SHA-256 the catalogue does not know, the record holds the one
that was computed at the import, so that later damage is noticed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
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

#: Environment variable that names the folder.
VARIABLE = "CHANGESCRIBE_WEIGHTS"
RECORD = "record.json"
PRESENT = "present"
ABSENT = "absent"
DAMAGED = "damaged"
#: Of a transformers folder: what is copied. Code is never needed, since none is run.
_FOLDER_SUFFIXES = {".json", ".txt", ".model", ".safetensors", ".bin", ".jinja", ".tiktoken"}
#: So many files are named where none was found.
_NAMED = 6
_chosen: Optional[Path] = None


def use_folder(folder: Optional[Union[str, Path]]) -> None:
    """Keep weights in this folder from now on, as the plugin's settings say; None undoes that."""
    global _chosen  # noqa: PLW0603 - the setting of this process
    _chosen = Path(folder) if folder else None


def default_folder() -> Path:
    """Return the folder chosen with :func:`use_folder`, in the environment, or the usual one.

    A worker process gets it as its variable ``CHANGESCRIBE_WEIGHTS``.
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
    """What the store has of an entry.

    Attributes:
        entry: of the catalogue.
        state: ``"present"``, ``"absent"`` or ``"damaged"``.
        path: where the file is, or would be.
        size: bytes on disk.
        sha256: that of the record; None for a folder, or where nothing is there.
        reason: what is wrong with a damaged one.
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
        folder: None is :func:`default_folder`.
        entries: another catalogue than the shipped one, by id.
    """

    #: Files found right in this process: (path, size, time of change).
    _verified: set[tuple[str, int, int]] = set()  # noqa: RUF012 - shared on purpose

    def __init__(
        self,
        folder: Optional[Union[str, Path]] = None,
        entries: Optional[dict[str, Entry]] = None,
    ) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()
        self.entries = catalogue.entries() if entries is None else entries

    def entry(self, identifier: str) -> Entry:
        """Return the catalogue's entry of an id.

        Raises:
            InputError: there is none.
        """
        return catalogue.entry(identifier, self.entries)

    def location(self, entry: Entry) -> Path:
        """Return where the file or folder of an entry is kept; it need not exist."""
        return self.folder / entry.id / entry.file

    def stamp(self, identifier: str) -> Optional[tuple[int, int]]:
        """Return what differs once the file of an entry is replaced; None where there is none."""
        try:
            status = self.location(self.entry(identifier)).stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns

    def states(self) -> tuple[Stored, ...]:
        """Return the state of every entry, by a look at sizes; :meth:`verify` reads the files."""
        return tuple(self.state(identifier) for identifier in self.entries)

    def missing(self, identifiers: Iterable[str]) -> tuple[Stored, ...]:
        """Return those of the ids that cannot be used as they are."""
        states = (self.state(identifier) for identifier in identifiers)
        return tuple(stored for stored in states if stored.state != PRESENT)

    def state(self, identifier: str) -> Stored:
        """Return what the store has of an entry, by a look at sizes."""
        entry = self.entry(identifier)
        path = self.location(entry)
        if not path.exists():
            return Stored(entry, ABSENT, path)
        expected = self._expected(entry)
        size = sum(_size(path, name) for name in expected)
        reason = ""
        if not expected:
            reason = "nothing says which file this is: import it again"
        elif any(_size(path, name) != known for name, (known, _) in expected.items() if known):
            reason = "its size is not right"
        sha256 = None if entry.is_folder or reason else expected[""][1]
        return Stored(entry, DAMAGED if reason else PRESENT, path, size, sha256, reason)

    def path(self, identifier: str, watch: Optional[Watch] = None) -> Path:
        """Return the verified file, or folder, of an entry.

        Args:
            identifier: of the entry.
            watch: who is told while a large file is read.

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
                f'The file "{stored.path}" of {entry.title} is damaged: {stored.reason}.',
                f"Remove it and get it again. {how_to_get(entry)}",
            )
        raise WeightsError(
            f"{entry.title} is missing: {entry.file}, {entry.size_text}.", how_to_get(entry)
        )

    def require(self, title: str, identifiers: Iterable[str]) -> None:
        """See that weights are there, before hours are spent to learn that the last one is not.

        Args:
            title: of what needs them, for the message.
            identifiers: entries that it needs.

        Raises:
            WeightsError: names all that are missing, their sizes, and how to get them. What is
                damaged is told by :meth:`path`.
            InputError: there is no such entry.
        """
        lacking = [s.entry for s in self.missing(identifiers) if s.state == ABSENT]
        if lacking:
            listed = "; ".join(f"{e.title} ({e.file}, {e.size_text})" for e in lacking)
            hint = "\n".join(
                f"{e.file}: {how_to_get(e)}" if len(lacking) > 1 else how_to_get(e) for e in lacking
            )
            raise WeightsError(f"{title} lacks weights: {listed}.", hint)

    def verify(self, identifier: str, watch: Optional[Watch] = None) -> Stored:
        """Read the files of an entry and compare them with their SHA-256.

        A file that this process has found right is read again only once it has changed.

        Raises:
            CancelledError: the user does not want to go on.
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
                return _damaged(stored, f"it cannot be read ({error})")
            if not right:
                return _damaged(stored, f"the SHA-256 of {path.name} is not the one that is known")
            self._verified.add(key)
        return stored

    def fetch(
        self,
        identifier: str,
        progress: Optional[StepCallback] = None,
        cancelled: Optional[CancelledCallback] = None,
        network: Optional[Network] = None,
    ) -> Stored:
        """Download an entry where it is missing; an interrupted download is gone on with.

        Args:
            identifier: of the entry.
            progress: called with every step.
            cancelled: asked all the time, also while a server does not answer.
            network: proxy and certificates; None is what the environment says.

        Raises:
            WeightsError: see :func:`.fetch.fetch`; also where the entry's SHA-256 is not known.
            OutputError: the folder cannot be written, or has no room.
            CancelledError: the user does not want to go on; what has arrived is kept.
        """
        entry, watch = self.entry(identifier), Watch(progress, cancelled)
        if not entry.can_be_fetched:
            raise WeightsError(
                f"{entry.title} cannot be downloaded by ChangeScribe, which does not know its "
                "SHA-256 and could not verify it.",
                how_to_get(entry),
            )
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
        """Copy weights from a file or a folder, as on a machine without a network.

        Files are known by their names; those of a folder may also lie in subfolders named by
        entry, as in another store. The folder of a training run is known by what its weights
        say of themselves. With one id, a file may have any name. What the catalogue knows the
        SHA-256 of is taken only if it is right.

        Args:
            source: a file or a folder.
            identifiers: entries to look for; None is all.
            progress: called with every step.
            cancelled: asked between two blocks.

        Returns:
            What was imported, with the SHA-256 computed.

        Raises:
            WeightsError: nothing that fits was found, or a file is not the one that is known.
            OutputError: the folder cannot be written, or has no room.
            CancelledError: the user does not want to go on.
        """
        source, watch = Path(source), Watch(progress, cancelled)
        wanted = [self.entry(name) for name in (identifiers or self.entries)]
        found = [(entry, path) for entry in wanted for path in candidates(source, entry, wanted)]
        if not found:
            names = ", ".join(entry.file for entry in wanted[:_NAMED])
            more = ", ..." if len(wanted) > _NAMED else ""
            raise WeightsError(
                f'There are no weights in "{source}".',
                f"Looked for: {names}{more}. A file of another name is imported with "
                '"changescribe models import FILE --id ID".',
            )
        wrong: list[WeightsError] = []
        done: list[Stored] = []
        for entry, path in found:
            try:
                done.append(self._import(entry, path, watch))
            except WeightsError as error:
                wrong.append(error)
        if wrong:
            first = wrong[0]
            kept = ", ".join(stored.entry.title for stored in done)
            hint = f"{first.hint} Imported: {kept}.".strip() if kept else first.hint
            details = "\n".join(f"{error} {error.details}" for error in wrong)
            raise WeightsError(first.message, hint, details)
        return tuple(done)

    def remove(self, identifier: str) -> bool:
        """Delete what the store has of an entry, also what has arrived of a download.

        Returns:
            False where there was nothing.

        Raises:
            OutputError: it is in use, or the folder cannot be written.
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
                # The record first: a file without one would not be known for what it is.
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
        """Hold the entry's lock; its folder exists then."""
        files.make_folder(self.folder / entry.id)
        return files.locked(self.folder / f"{entry.id}.lock", entry.title)

    def _expected(self, entry: Entry) -> dict[str, tuple[Optional[int], str]]:
        """Return (size, SHA-256) of every file of an entry; "" is the file itself."""
        if entry.sha256 is not None:
            return {"": (entry.size, entry.sha256)}
        try:
            text = (self.folder / entry.id / RECORD).read_text(encoding="utf-8")
            rows = json.loads(text)["files"]
            known = {str(n): (int(row["size"]), str(row["sha256"])) for n, row in rows.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return known if entry.is_folder or "" in known else {}

    def _write_record(
        self, entry: Entry, known: dict[str, tuple[Optional[int], Optional[str]]], origin: str
    ) -> None:
        path = self.folder / entry.id / RECORD
        content = {
            "id": entry.id,
            "files": {name: {"size": size, "sha256": sha} for name, (size, sha) in known.items()},
            "origin": origin,
            "revision": entry.revision,
            "added": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        half = path.with_name(f"{path.name}.part")
        try:
            half.write_text(json.dumps(content, indent=1), encoding="utf-8")
            os.replace(half, path)
        except OSError as error:
            raise could_not_write(path, error) from error


def how_to_get(entry: Entry) -> str:
    """Say how the file of an entry gets into the store, and under which terms."""
    terms = f" Terms: {entry.terms}" if entry.terms else ""
    bring = f'"changescribe models import FILE --id {entry.id}"'
    if entry.can_be_fetched:
        return (
            'Press "Download" in the ChangeScribe panel, or run "changescribe models fetch '
            f'{entry.id}". Without a network: "Import from folder", or {bring}.{terms}'
        )
    origin = f"Get it from {entry.url}" if entry.url else "Get it from who made it"
    return f'{origin}, then press "Import from folder", or run {bring}.{terms}'


def _size(path: Path, name: str) -> int:
    """Return the size of a file, 0 where it is missing; "" is the path itself."""
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
    """Copy the files of a folder that are needed; return size and SHA-256 by name."""
    names = sorted(p.name for p in source.iterdir() if p.is_file())
    names = [name for name in names if Path(name).suffix.lower() in _FOLDER_SUFFIXES]
    if any(name.endswith(".safetensors") for name in names):
        names = [name for name in names if not name.endswith(".bin")]
    files.check_room(target.parent, sum((source / name).stat().st_size for name in names))
    target.mkdir()
    known = {}
    for name in names:
        sha256 = files.copy(source / name, target / name, watch)
        known[name] = ((target / name).stat().st_size, sha256)
    return known


def _check(entry: Entry, source: Path, known: dict[str, tuple[int, str]]) -> None:
    """Compare what was copied with what the catalogue knows; raise if it is another file."""
    if entry.is_folder:
        return
    size, sha256 = known[""]
    right = sha256 == entry.sha256 if entry.sha256 else sha256.startswith(entry.sha256_prefix or "")
    if right and entry.size in (None, size):
        return
    expected = entry.sha256 or f"{entry.sha256_prefix}..."
    raise WeightsError(
        f'"{source}" is not the file that is known as {entry.title}; it was not imported.',
        "It may be cut short, or of another version.",
        f"SHA-256 {sha256}, expected {expected}\n{size} bytes, expected {entry.size}",
    )
