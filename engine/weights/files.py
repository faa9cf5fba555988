# SPDX-License-Identifier: GPL-3.0-or-later
"""File operations of the store: hash, copy, lock, check free space."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Optional

from ..errors import CancelledError, OutputError, WeightsError
from ..writing import could_not_write
from .catalogue import megabytes
from .texts import WeightsTexts

_CHUNK = 1 << 20
#: Bytes that must stay free on the disk.
_SPARE = 50_000_000


@dataclass(frozen=True)
class Step:
    """Progress of a download, an import or a check."""

    text: str
    done: int
    total: Optional[int]


StepCallback = Callable[[Step], None]
CancelledCallback = Callable[[], bool]


@dataclass(frozen=True)
class Watch:
    """Callbacks of a long operation.

    Attributes:
        progress: called with every step.
        cancelled: called between blocks; True cancels.
    """

    progress: Optional[StepCallback] = None
    cancelled: Optional[CancelledCallback] = None

    def step(self, text: str, done: int, total: Optional[int]) -> None:
        """Report a step; raise CancelledError if the user cancelled."""
        if self.cancelled is not None and self.cancelled():
            raise CancelledError(WeightsTexts.cancelled())
        if self.progress is not None:
            self.progress(Step(text, done, total))


def sha256_of(path: Path, watch: Optional[Watch] = None) -> str:
    """Return the SHA-256 of a file, in lower-case hexadecimal digits.

    Raises:
        OSError: it cannot be read.
        CancelledError: the user cancelled.
    """
    watch = watch or Watch()
    digest = hashlib.sha256()
    text = WeightsTexts.checking(file=path.name.removesuffix(".part"))
    with path.open("rb") as stream:
        total, done = os.fstat(stream.fileno()).st_size, 0
        while block := stream.read(_CHUNK):
            digest.update(block)
            done += len(block)
            watch.step(text, done, total)
    return digest.hexdigest()


def copy(source: Path, target: Path, watch: Watch) -> str:
    """Copy a file and return the SHA-256 of what was written.

    Raises:
        OutputError: the target cannot be written.
        WeightsError: the source cannot be read.
        CancelledError: the user cancelled.
    """
    digest = hashlib.sha256()
    try:
        reader = source.open("rb")
    except OSError as error:
        text = WeightsTexts.source_unreadable(source=source)
        raise WeightsError(text, details=str(error)) from error
    with reader:
        total, done = os.fstat(reader.fileno()).st_size, 0
        check_room(target.parent, total)
        try:
            with target.open("wb") as writer:
                while block := reader.read(_CHUNK):
                    writer.write(block)
                    digest.update(block)
                    done += len(block)
                    watch.step(WeightsTexts.copying(file=source.name), done, total)
        except OSError as error:
            raise could_not_write(target, error) from error
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file, which gets its name once it is complete; make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def check_room(folder: Path, needed: int) -> None:
    """Raise OutputError if a file does not fit on the disk."""
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise OutputError(
            WeightsTexts.no_room(folder=folder, needed=megabytes(needed), free=megabytes(free))
        )


def make_folder(folder: Path) -> None:
    """Create a folder if it is missing; raise OutputError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = WeightsTexts.folder_fails(folder=folder)
        raise OutputError(text, details=str(error)) from error


@contextlib.contextmanager
def locked(path: Path, title: str) -> Iterator[None]:
    """Hold a lock file. The operating system releases the lock if this process dies.

    The file is never deleted, since two processes could then lock two files of the same name.

    Raises:
        WeightsError: another process or thread holds the lock.
        OutputError: the file cannot be created.
    """
    try:
        stream = path.open("a+b")
    except OSError as error:
        raise could_not_write(path, error) from error
    with stream:
        if not _try_lock(stream):
            raise WeightsError(WeightsTexts.busy(title=title))
        try:
            yield
        finally:
            _unlock(stream)


def _try_lock(stream: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unlock(stream: Any) -> None:
    if sys.platform == "win32":
        import msvcrt

        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(stream.fileno(), fcntl.LOCK_UN)
