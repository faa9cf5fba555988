# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for regions of trees."""

from __future__ import annotations

from .base import ClassRules


class TreeRules(ClassRules):
    """Trees are cleared."""

    gone = "cleared"
