# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for regions of roads, and of other lines (railways, canals, hedges)."""

from __future__ import annotations

from .base import ClassRules

#: Shorter pieces are driveways and shadows.
MIN_LENGTH_M = 25.0


class LineRules(ClassRules):
    """Lines have a length, and a minimum of it."""

    min_length_m = MIN_LENGTH_M
    has_length = True


class RoadRules(LineRules):
    """Roads are removed. A region may be a network, and a street several regions."""

    gone = "removed"
    coarse_kind = "built"
    max_regions_of_one = 2
