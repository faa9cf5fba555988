# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in a forked child that is killed, or fails, at a step of the file system."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Any, Callable

import pytest

#: Events of Python's audit hooks: what changes names and opens files.
STEPS = {"open", "os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}
#: Exit codes of the child.
DONE, RAISED = 0, 3

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def forked(work: Callable[[], object]) -> int:
    """Return the exit code of a forked child that does the work: DONE, RAISED or -9."""
    child = os.fork()
    if not child:
        code = RAISED
        try:
            work()
            code = DONE
        except Exception:  # noqa: BLE001 - the parent looks at the files
            code = RAISED
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(step: int, fail_at: int = 0) -> None:
    """Kill this process before a step, counted from 1; let a renaming fail before (0: none)."""
    counts = {"all": 0, "os.rename": 0}

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event not in STEPS:
            return
        counts["all"] += 1
        if counts["all"] == step:
            os.kill(os.getpid(), signal.SIGKILL)
        if event == "os.rename":
            counts[event] += 1
            if counts[event] == fail_at:
                raise OSError(errno.EIO, "made to fail")

    sys.addaudithook(hook)
