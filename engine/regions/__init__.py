# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores to polygons, with the facts of each."""

from __future__ import annotations

from .bands import ClassMaps
from .components import Components
from .exchange import bind
from .extraction import MaskSummary, build_mask, extract
from .separation import Separator
from .sieve import min_area_used

__all__ = [
    "ClassMaps",
    "Components",
    "MaskSummary",
    "Separator",
    "bind",
    "build_mask",
    "extract",
    "min_area_used",
]
