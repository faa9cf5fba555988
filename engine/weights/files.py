# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store does with files: hash, copy, lock, look for room. Standard library only."""

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

_CHUNK = 1 << 20
#: Bytes that stay free on the disk besides the file.
_SPARE = 50_000_000


@dataclass(frozen=True)
class Step:
    """Progress of a download, an import or a check.

    Attributes:
        text: one line for the user.
        done: bytes.
        total: bytes, or None where it is not known.
    """

    text: str
    done: int
    total: Optional[int]


StepCallback = Callable[[Step], None]
CancelledCallback = Callable[[], bool]


@dataclass(frozen=True)
class Watch:
    """Who is told of the progress, and who may stop it.

    Attributes:
        progress: called with every step.
        cancelled: asked between two blocks.
    """

    progress: Optional[StepCallback] = None
    cancelled: Optional[CancelledCallback] = None

    def step(self, text: str, done: int, total: Optional[int]) -> None:
        """Report a step.

        Raises:
            CancelledError: the user does not want to go on.
        """
        if self.cancelled is not None and self.cancelled():
            raise CancelledError("Cancelled.")
        if self.progress is not None:
            self.progress(Step(text, done, total))


def sha256_of(path: Path, watch: Optional[Watch] = None) -> str:
    """Return the SHA-256 of a file, in lower-case hexadecimal digits.

    Raises:
        OSError: it cannot be read.
        CancelledError: the user does not want to go on.
    """
    watch = watch or Watch()
    digest = hashlib.sha256()
    text = f"checking {path.name.removesuffix('.part')}"
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
        CancelledError: the user does not want to go on.
    """
    digest = hashlib.sha256()
    try:
        reader = source.open("rb")
    except OSError as error:
        raise WeightsError(f'"{source}" cannot be read.', "", str(error)) from error
    with reader:
        total, done = os.fstat(reader.fileno()).st_size, 0
        check_room(target.parent, total)
        try:
            with target.open("wb") as writer:
                while block := reader.read(_CHUNK):
                    writer.write(block)
                    digest.update(block)
                    done += len(block)
                    watch.step(f"copying {source.name}", done, total)
        except OSError as error:
            raise could_not_write(target, error) from error
    return digest.hexdigest()


def check_room(folder: Path, needed: int) -> None:
    """Refuse what does not fit.

    Args:
        folder: an existing one.
        needed: bytes.

    Raises:
        OutputError: the disk has not that much room.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise OutputError(
            f'{megabytes(needed)} are needed in "{folder}", {megabytes(free)} are free.',
            "Free some disk space, or choose another folder with CHANGESCRIBE_WEIGHTS.",
        )


def make_folder(folder: Path) -> None:
    """Make a folder where it is missing.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f'The folder of weights "{folder}" cannot be made.',
            "Choose another with CHANGESCRIBE_WEIGHTS.",
            str(error),
        ) from error


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file; the system lets go of it if this process dies.

    The file stays where it is: to delete it would let two processes lock two files.

    Args:
        path: of the lock file, in an existing folder.
        what: for the message, such as "SAM 2.1 Hiera tiny".

    Raises:
        WeightsError: another process, or another thread of this one, has it.
        OutputError: the file cannot be made.
    """
    try:
        stream = path.open("a+b")
    except OSError as error:
        raise could_not_write(path, error) from error
    with stream:
        if not _try_lock(stream):
            raise WeightsError(
                f"{what} is being downloaded or imported by another ChangeScribe.",
                "Wait until that is done, then try again.",
            )
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
