# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a file could not be written, explained in the same way wherever files are written."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Union

from .errors import ChangeScribeError, InputError, OutputError
from .messages import Message

#: A disk with fewer free bytes is full: the block that failed is no larger. GDAL often reports
#: only that a write failed.
_FULL_BYTES = 1 << 20
_FULL_ERRNO = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
#: How GDAL, SQLite and the C library (Linux and macOS, Windows) report a full disk.
_FULL_WORDS = ("no space left", "disk is full", "disk full", "quota exceeded", "free disk space")
_IN_USE_ERRNO = {errno.EACCES, errno.EPERM, errno.EBUSY}


class WritingTexts:
    """Texts for the user about files that could not be written."""

    no_folder = Message(
        'The folder "{folder}" does not exist.', "Create it, or choose another folder."
    )
    not_writable = Message(
        'The folder "{folder}" cannot be written to.', "Choose a folder that you can write to."
    )
    disk_full = Message(
        '"{path}" could not be written.',
        "The disk is full: free some space, or choose a folder on another disk.",
    )
    in_use = Message(
        '"{path}" is in use.',
        "Remove its layer from the project and close it in other programs, or choose another name.",
    )
    not_written = Message(
        '"{path}" could not be written.', "Choose another name or another folder."
    )


def could_not_write(
    path: Union[str, os.PathLike], problem: Union[str, OSError]
) -> ChangeScribeError:
    """Return the error for a file that could not be written, with the reason if it is known.

    Call it before removing what has been written, while a full disk is still full. It is an
    InputError if the folder is missing or not writable, else an OutputError.

    Args:
        path: final name of the file, which the user knows; never a temporary one.
        problem: what GDAL or SQLite reported, or the operating system's error.
    """
    folder = os.path.dirname(os.path.abspath(path))
    details = str(problem)
    if not os.path.isdir(folder):
        return InputError(WritingTexts.no_folder(folder=folder), details=details)
    if _is_full(folder, problem):
        return OutputError(WritingTexts.disk_full(path=path), details=details)
    if not os.access(folder, os.W_OK):
        return InputError(WritingTexts.not_writable(folder=folder), details=details)
    if isinstance(problem, OSError) and problem.errno in _IN_USE_ERRNO:
        names = [name for name in (problem.filename, problem.filename2) if name is not None]
        if any(os.path.isfile(name) for name in names):
            return in_use(path, details)
        # On Windows os.access ignores the folder's permissions: only the attempt shows them.
        return InputError(WritingTexts.not_writable(folder=folder), details=details)
    return OutputError(WritingTexts.not_written(path=path), details=details)


def in_use(path: Union[str, os.PathLike], details: str = "") -> OutputError:
    """Return the error for a file that another program has open."""
    return OutputError(WritingTexts.in_use(path=path), details=details)


def _is_full(folder: str, problem: Union[str, OSError]) -> bool:
    if isinstance(problem, OSError) and problem.errno is not None:
        return problem.errno in _FULL_ERRNO
    report = str(problem).lower()
    if any(words in report for words in _FULL_WORDS):
        return True
    try:
        return shutil.disk_usage(folder).free < _FULL_BYTES
    except OSError:
        return False
