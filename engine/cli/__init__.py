# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, ``changescribe``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from ..console import CANCELLED, ConsoleTexts, say

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line and return its exit code."""
    try:
        # The imports take a second in which Ctrl+C must not print a traceback either.
        from .app import main as run

        return run(argv)
    except KeyboardInterrupt:
        say(ConsoleTexts.cancelled())
        return CANCELLED
