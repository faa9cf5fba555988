# SPDX-License-Identifier: GPL-3.0-or-later
"""What every command does with an error: a sentence and a hint in place of a traceback."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Optional

from .errors import CancelledError, ChangeScribeError, ExistsError

if TYPE_CHECKING:
    from collections.abc import Callable

CANCELLED = 130


def say(text: str) -> None:
    """Print a line to standard error."""
    print(text, file=sys.stderr, flush=True)


def exit_code_of(command: Callable[[], Optional[int]], *, verbose: bool = False) -> int:
    """Run a command; say on standard error what went wrong.

    Args:
        command: returns its exit code; None is 0.
        verbose: also print the technical details of an error.

    Returns:
        The exit code of the command, or that of its error: 2 for bad input or something missing,
        130 for a cancelled command, 1 for anything else.
    """
    try:
        return int(command() or 0)
    except ChangeScribeError as error:
        # Who cancelled has made no error.
        say(error.message if isinstance(error, CancelledError) else f"Error: {error.message}")
        if isinstance(error, ExistsError):
            say("Choose another name, or add --overwrite.")
        elif error.hint:
            say(error.hint)
        if error.details and verbose:
            say(error.details)
        return error.exit_code
    except KeyboardInterrupt:
        say("Cancelled.")
        return CANCELLED
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        if error.filename is None:  # not from opening a file that somebody named
            return _unexpected()
        say(f"Error: Cannot use {error.filename}: {str(error.strerror).lower()}.")
        if verbose:
            say(traceback.format_exc())
        return 2
    except Exception:  # noqa: BLE001 - the last resort of the command line
        return _unexpected()


def _unexpected() -> int:
    """Print the error that is being handled, with its traceback; return its exit code."""
    say("An unexpected error occurred; please report it with the lines below.")
    say(traceback.format_exc())
    return 1
