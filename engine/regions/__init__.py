# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores to polygons, with the facts of each."""

from __future__ import annotations

from .components import Components
from .exchange import bind
from .extraction import ClassMaps, MaskSummary, build_mask, extract
from .sieve import min_area_used

__all__ = [
    "ClassMaps",
    "Components",
    "MaskSummary",
    "bind",
    "build_mask",
    "extract",
    "min_area_used",
]
