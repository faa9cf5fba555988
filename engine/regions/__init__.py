# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores to polygons, with the facts of each."""

from __future__ import annotations

from .components import Components
from .extraction import ClassMaps, MaskSummary, build_mask, extract

__all__ = ["ClassMaps", "Components", "MaskSummary", "build_mask", "extract"]
