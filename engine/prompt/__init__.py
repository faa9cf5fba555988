# SPDX-License-Identifier: GPL-3.0-or-later
"""Text to queries: objects and the direction of their change."""

from __future__ import annotations

from .parsing import compose, notes, parse, resolve

__all__ = ["compose", "notes", "parse", "resolve"]
