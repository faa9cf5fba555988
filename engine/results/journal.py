# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear together or not at all, even if the process is killed.

Each file to be written has a hidden folder beside it, named after it, which one process at a time
holds by a lock. :func:`commit` puts the new files on disk there, writes a journal, moves the old
files into the folders and the new ones to their names. :func:`recover` finishes what a killed
process left: every step can be repeated.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from ..errors import ExistsError, InputError
from ..writing import could_not_write, in_use
from .texts import ResultsTexts

if TYPE_CHECKING:
    from collections.abc import Sequence

_HIDDEN = re.compile(r"\.changescribe-[0-9a-f]{16}")
_LOCK, _JOURNAL, _NEW, _OLD, _WORK = "lock", "journal.json", "new", "old", "work"
#: What :mod:`..detect.resume` keeps of a cancelled or killed run, and for how many seconds.
UNFINISHED = "unfinished"
_KEPT_S = 7 * 86400.0
_ASIDE, _PLACE, _UNDO = "aside", "place", "undo"
#: Files that SQLite keeps beside a database, and would apply to another one of that name.
_OF_SQLITE = ("-wal", "-shm", "-journal")
#: Those, and files that GDAL keeps beside a raster, and would use for another one of that name.
_SIDECARS = (*_OF_SQLITE, ".aux.xml", ".ovr", ".msk")
_MAX_JOURNAL_BYTES = 1 << 20
#: On a file system without locks, a lock file of this age in seconds is that of a killed process.
_STALE_S = 86400.0


class Claim:
    """The right to write a file and those beside it; a context manager.

    Leaving it removes what has not been committed.

    Args:
        final: the file.
        overwrite: replace an existing file.
        parts: names of all files in its folder that a new one replaces; None for the file itself.
            The files that GDAL and SQLite keep beside a file go with it.

    Raises:
        ExistsError: the file exists, and ``overwrite`` is off.
        InputError: a folder has its name, or its folder is missing or not writable. When entered:
            another run is writing the file.
        OutputError: another program has the file open.
    """

    def __init__(self, final: Path, overwrite: bool, parts: Sequence[str] = ()) -> None:
        self.final = Path(os.path.abspath(final))
        self.folder = _folder_of(self.final)
        self.new = self.folder / _NEW  #: for the new files, by their final names
        self.work = self.folder / _WORK  #: for files that are removed at the end
        self._parts = parts or (self.final.name,)
        self.parts = [part + suffix for part in self._parts for suffix in ("", *_SIDECARS)]
        self._overwrite = overwrite
        self._lock: Optional[int] = None
        if not self.final.parent.is_dir() or not os.access(self.final.parent, os.W_OK):
            raise could_not_write(self.final, "")
        sweep(self.final.parent)
        self.check()

    def __enter__(self) -> Claim:
        try:
            self._lock = _hold(self.folder)
            if self._lock is None:
                raise InputError(ResultsTexts.being_written(path=self.final))
            if _pending(self.folder):  # what it replaces is in use
                raise in_use(self.final)
            _clear(self.folder)
            for folder in (self.new, self.folder / _OLD, self.work):
                folder.mkdir()
        except BaseException as error:
            self.__exit__()
            if isinstance(error, OSError):
                raise could_not_write(self.final, error) from error
            raise
        return self

    def __exit__(self, *error: object) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            _let_go(self.folder, lock)

    def check(self) -> None:
        """Check that the file can be written now; see the class for the errors."""
        for part in self._parts:
            path = self.final.with_name(part)
            if os.path.isdir(path):
                raise InputError(ResultsTexts.is_a_folder(path=path))
            if os.path.lexists(path) and not self._overwrite:
                raise ExistsError(path)
        if os.path.exists(self.final):
            try:
                self.final.replace(self.final)  # fails on Windows while the file is open
            except OSError as error:
                raise could_not_write(self.final, error) from error
            if self.final.suffix.lower() == ".gpkg":
                _check_unlocked(self.final)

    def stage(self, path: Path) -> None:
        """Take a finished file, and those beside it, as the new ones."""
        try:
            for suffix in ("", *_SIDECARS):
                source = path.with_name(path.name + suffix)
                if source.exists():
                    # It may be on another file system.
                    shutil.move(source, self.new / (self.final.name + suffix))
        except OSError as error:
            raise could_not_write(self.final, error) from error


def commit(*claims: Claim) -> None:
    """Move the new files of all claims to their names, all of them or none; the last one last.

    Raises:
        ExistsError: a file appeared in the meantime, and overwriting is off.
        ChangeScribeError: a file could not be moved, or one to be replaced is in use.
    """
    final = claims[-1].final
    journal = claims[-1].folder / _JOURNAL
    files = []
    try:
        for claim in claims:
            claim.check()
            # The file that programs open comes after its parts.
            names = os.listdir(claim.new)
            names.sort(key=claim.final.name.__eq__)
            for path in (*(claim.new / name for name in names), claim.new, claim.folder):
                _sync(path)
            place = _relative(claim.final, final)
            files.append({"final": place, "parts": claim.parts, "new": names})
            if claim is not claims[-1]:
                _write(claim.folder / _JOURNAL, {"owner": _relative(final, claim.final)})
        _write(journal, {"phase": _ASIDE, "files": files})
    except OSError as error:
        raise could_not_write(final, error) from error
    try:
        _finish(journal)
    except OSError as error:
        problem = could_not_write(error.filename2 or final, error)
        with contextlib.suppress(OSError):  # else the next start undoes it
            _write(journal, {"phase": _UNDO, "files": files})
            _undo(journal)
        raise problem from error


def recover(final: Path) -> bool:
    """Finish or undo the commit of a file that a killed process left; return if there was one."""
    final = Path(os.path.abspath(final))
    return bool(final.name) and _recover(_folder_of(final))


def sweep(parent: Path) -> None:
    """Finish interrupted commits in a folder, and remove what else killed processes left there."""
    folders: list[Path] = []
    with contextlib.suppress(OSError):
        folders = [path for path in parent.iterdir() if _HIDDEN.fullmatch(path.name)]
    for folder in folders:
        with contextlib.suppress(OSError, ValueError):  # such as those of another user
            _recover(folder)
            lock = _hold(folder) if folder.exists() else None
            if lock is not None:
                _let_go(folder, lock)


def _recover(folder: Path) -> bool:
    journal = _decisive(folder)
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError, ValueError):
        for file in _read(journal).get("files", []):
            other = _folder_of(_final_of(journal, file))
            lock = _hold(other) if _decisive(other) == journal else None
            if lock is None:
                return False  # its process is alive
            stack.callback(_let_go, other, lock)
        found = _read(journal)
        if "files" in found:
            (_undo if found["phase"] == _UNDO else _finish)(journal)
            return True
    return False


def _finish(journal: Path) -> None:
    """Do what is left of a commit."""
    found = _read(journal)
    if found["phase"] == _ASIDE:
        for file in found["files"]:
            final = _final_of(journal, file)
            for name in file["parts"]:
                if file["new"]:
                    _set_aside(final.with_name(name), _folder_of(final) / _OLD / name, final)
        _write(journal, {**found, "phase": _PLACE})
    for file in found["files"]:
        final = _final_of(journal, file)
        for name in file["new"]:
            source = _folder_of(final) / _NEW / name
            if source.exists():
                # Readers may have made some since.
                for suffix in _OF_SQLITE:
                    _remove(final.with_name(name + suffix))
                source.replace(final.with_name(name))
        _sync(final.parent)
    _end(journal)


def _undo(journal: Path) -> None:
    """Put the old files back. The new ones stay in their folder, so that it can be repeated."""
    for file in reversed(_read(journal)["files"]):
        final = _final_of(journal, file)
        folder = _folder_of(final)
        for name in file["new"]:
            if not (folder / _NEW / name).exists() and os.path.lexists(final.with_name(name)):
                final.with_name(name).replace(folder / _NEW / name)
        for name in os.listdir(folder / _OLD):
            (folder / _OLD / name).replace(final.with_name(name))
        _sync(final.parent)
    _end(journal)


def _set_aside(path: Path, kept: Path, final: Path) -> None:
    if not os.path.lexists(path):
        return
    if os.path.lexists(kept):
        if not os.path.samefile(path, kept):  # made by a reader since
            _remove(path)
        return
    if path == final:
        with contextlib.suppress(OSError):  # a file system without links
            os.link(path, kept)  # the name is never missing
            return
    path.replace(kept)


def _end(journal: Path) -> None:
    journal.unlink()
    _sync(journal.parent)


def _check_unlocked(path: Path) -> None:
    """Raise OutputError if another program has a GeoPackage open."""
    try:
        with contextlib.closing(
            sqlite3.connect(path, timeout=0.5, isolation_level=None)
        ) as database:
            # Applies the -wal or -journal of a killed program, and removes it.
            database.execute("PRAGMA journal_mode=DELETE").fetchall()
            database.execute("BEGIN EXCLUSIVE")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:  # no database, a damaged one, or locked
        if "locked" in str(error):
            raise in_use(path, str(error)) from error


def hidden_folder(final: Path) -> Path:
    """Return the hidden folder of a file to be written."""
    return _folder_of(Path(os.path.abspath(final)))


def _folder_of(final: Path) -> Path:
    """Return the hidden folder of a file; file systems may take "A" and "a" for one name."""
    digest = hashlib.sha256(os.fsencode(final.name.lower())).hexdigest()
    return final.with_name(f".changescribe-{digest[:16]}")


def _relative(path: Path, beside: Path) -> str:
    """Return a path as the journal of another file has it; the folder of both may be renamed."""
    return path.name if path.parent == beside.parent else str(path)


def _final_of(journal: Path, file: dict[str, Any]) -> Path:
    return journal.parent.parent / file["final"]


def _decisive(folder: Path) -> Path:
    """Return the journal of the commit that a folder takes part in."""
    owner = _read(folder / _JOURNAL).get("owner")
    return (_folder_of(folder.parent / owner) if owner else folder) / _JOURNAL


def _pending(folder: Path) -> bool:
    """Return whether an interrupted commit needs a folder."""
    return "files" in _read(_decisive(folder))


def _read(journal: Path) -> dict[str, Any]:
    """Return a journal; nothing if there is none, or it is not one of :func:`commit`."""
    try:
        if not journal.is_file() or journal.stat().st_size > _MAX_JOURNAL_BYTES:
            return {}
        found = json.loads(journal.read_text(encoding="utf-8"))
        if "owner" in found:
            return {"owner": found["owner"]} if os.path.basename(found["owner"]) else {}
        for file in found["files"]:
            names = [os.path.basename(file["final"]), *file["parts"], *file["new"]]
            if any(not name or os.path.basename(name) != name for name in names):
                return {}
        if found["phase"] not in (_ASIDE, _PLACE, _UNDO):
            return {}
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}
    return found


def _write(journal: Path, content: dict[str, Any]) -> None:
    part = journal.with_suffix(".tmp")
    part.write_text(json.dumps(content), encoding="utf-8")
    _sync(part)
    part.replace(journal)
    _sync(journal.parent)


def _sync(path: Path) -> None:
    """Put a file, or the names in a folder, on disk."""
    folder = path.is_dir()
    if folder and sys.platform == "win32":
        return  # Windows has no such call
    file = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(file)


def _remove(path: Path) -> None:
    if os.path.lexists(path):
        path.unlink()


def _clear(folder: Path) -> None:
    """Remove all but the lock, and what a run may go on with."""
    kept = folder / UNFINISHED
    with contextlib.suppress(OSError):
        if time.time() - kept.stat().st_mtime > _KEPT_S:
            shutil.rmtree(kept, ignore_errors=True)
    for name in (_NEW, _OLD, _WORK):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (_JOURNAL, "journal.tmp"):
        _remove(folder / name)


def _hold(folder: Path) -> Optional[int]:
    """Lock a hidden folder, made if necessary; return the open lock, None if it is held."""
    while True:
        if folder.is_symlink():
            raise FileExistsError(errno.EEXIST, "a link", str(folder))
        folder.mkdir(exist_ok=True)
        path = folder / _LOCK
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except FileNotFoundError:
            continue  # the last holder has just removed the folder
        if not _locked(lock):
            os.close(lock)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        os.close(lock)  # of a folder that is gone


def _let_go(folder: Path, lock: int) -> None:
    """Unlock a hidden folder, and remove it unless an interrupted commit needs it."""
    pending = _pending(folder)
    with contextlib.suppress(OSError):
        if not pending:
            _clear(folder)
            if sys.platform != "win32":  # which removes no open file
                (folder / _LOCK).unlink()
    os.close(lock)
    with contextlib.suppress(OSError):
        if not pending:
            if sys.platform == "win32":
                (folder / _LOCK).unlink()
            folder.rmdir()


def _locked(file: int) -> bool:
    """Lock an open file until it is closed or the process ends; return False if it is locked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        # A file system without locks.
        state = os.fstat(file)
        if state.st_size and time.time() - state.st_mtime < _STALE_S:
            return False
        os.write(file, b"held")
    return True
