# SPDX-License-Identifier: GPL-3.0-or-later
"""How commands report errors: a sentence and a hint in place of a traceback."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Optional

from .errors import (
    CancelledError,
    ChangeScribeError,
    ExistsError,
    OutOfMemoryError,
    is_out_of_memory,
)
from .messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable

CANCELLED = 130


class ConsoleTexts:
    """Texts of the errors that a command prints."""

    error = Message("Error: {message}")
    exists = Message("Choose another name, or add --overwrite.")
    cancelled = Message("Cancelled.")
    cannot_use = Message("Cannot use {path}: {reason}.")
    unexpected = Message("An unexpected error occurred; please report it with the lines below.")


def say(text: str) -> None:
    """Print a line to standard error."""
    print(text, file=sys.stderr, flush=True)


def exit_code_of(command: Callable[[], Optional[int]], *, verbose: bool = False) -> int:
    """Run a command, report its errors on standard error, and return the exit code.

    The command returns its own (None is 0). An error is 2 for bad input or something missing, 130
    for a cancelled command, 1 for anything else. ``verbose`` also prints an error's details.
    """
    try:
        return int(command() or 0)
    except ChangeScribeError as error:
        cancelled = isinstance(error, CancelledError)
        say(error.message if cancelled else ConsoleTexts.error(message=error.message))
        hint = ConsoleTexts.exists() if isinstance(error, ExistsError) else error.hint
        if hint:
            say(hint)
        if error.details and verbose:
            say(error.details)
        return error.exit_code
    except KeyboardInterrupt:
        say(ConsoleTexts.cancelled())
        return CANCELLED
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        if error.filename is None:  # not from opening a file that the user named
            return _unexpected()
        reason = str(error.strerror).lower()
        say(ConsoleTexts.error(message=ConsoleTexts.cannot_use(path=error.filename, reason=reason)))
        if verbose:
            say(traceback.format_exc())
        return 2
    except Exception as error:  # noqa: BLE001 - the last resort of the command line
        if is_out_of_memory(error):
            problem = OutOfMemoryError(details=str(error))
            say(ConsoleTexts.error(message=problem.message))
            say(problem.hint)
            return problem.exit_code
        return _unexpected()


def _unexpected() -> int:
    """Print the error being handled, with its traceback; return its exit code."""
    say(ConsoleTexts.unexpected())
    say(traceback.format_exc())
    return 1
