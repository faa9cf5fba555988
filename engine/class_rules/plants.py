# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for regions of trees and grass."""

from __future__ import annotations

from .base import ClassRules


class GrassRules(ClassRules):
    """Grass looks like trees in coarse pixels."""

    coarse_kind = "plants"


class TreeRules(GrassRules):
    """Trees are cleared."""

    gone = "cleared"
