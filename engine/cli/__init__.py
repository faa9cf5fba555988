# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, ``changescribe``."""

from __future__ import annotations

from .app import main

__all__ = ["main"]
