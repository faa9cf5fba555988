# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a file could not be written, said in one way by all that write."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Union

from .errors import ChangeScribeError, InputError, OutputError

#: With less free space in bytes the disk is full: the block that failed is no larger. GDAL
#: often reports only that a write failed.
_FULL_BYTES = 1 << 20
_FULL_ERRNO = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
#: What GDAL, SQLite and the C library (Linux and macOS, Windows) say of a full disk.
_FULL_WORDS = ("no space left", "disk is full", "disk full", "quota exceeded", "free disk space")
_IN_USE_ERRNO = {errno.EACCES, errno.EPERM, errno.EBUSY}


def could_not_write(
    path: Union[str, os.PathLike], problem: Union[str, OSError]
) -> ChangeScribeError:
    """Say that a file could not be written, and why where that is known.

    Call it before what was written so far is removed, while a full disk is still full.

    Args:
        path: final name of the file, which the user knows; never a temporary one.
        problem: what GDAL or SQLite reported, or the error of the system.

    Returns:
        InputError where the folder is missing or not writable; OutputError where the disk is
        full, the file is in use, or the reason is not known.
    """
    folder = os.path.dirname(os.path.abspath(path))
    details = str(problem)
    if not os.path.isdir(folder):
        return InputError(
            f'The folder "{folder}" does not exist.', "Create it or choose another.", details
        )
    if _is_full(folder, problem):
        return OutputError(
            f'"{path}" could not be written.',
            "The disk is full: free some space, or choose a folder on another disk.",
            details,
        )
    if not os.access(folder, os.W_OK):
        return _not_writable(folder, details)
    if isinstance(problem, OSError) and problem.errno in _IN_USE_ERRNO:
        names = [name for name in (problem.filename, problem.filename2) if name is not None]
        if any(os.path.isfile(name) for name in names):
            return OutputError(
                f'"{path}" is in use.',
                "Remove its layer from the project, or choose another name.",
                details,
            )
        # Windows tells by the attempt only: os.access does not ask for its permissions.
        return _not_writable(folder, details)
    return OutputError(
        f'"{path}" could not be written.', "Choose another name or another folder.", details
    )


def _not_writable(folder: str, details: str) -> InputError:
    return InputError(
        f'The folder "{folder}" cannot be written to.',
        "Choose an output folder where you may write.",
        details,
    )


def _is_full(folder: str, problem: Union[str, OSError]) -> bool:
    if isinstance(problem, OSError) and problem.errno is not None:
        return problem.errno in _FULL_ERRNO
    said = str(problem).lower()
    if any(words in said for words in _FULL_WORDS):
        return True
    try:
        return shutil.disk_usage(folder).free < _FULL_BYTES
    except OSError:
        return False
