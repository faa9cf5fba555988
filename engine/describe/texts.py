# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the captions, for the user."""

from __future__ import annotations

from ..messages import Message


class DescribeTexts:
    """Captions, errors and warnings."""

    no_data = Message("One of the dates has no data here.")

    area_outside = Message(
        "The area to describe lies outside the overlap of the two rasters.",
        "Choose one within the overlap, and check its CRS.",
    )
    box_outside = Message(
        "The box {box} lies outside the raster of {width} x {height} pixels.",
        "Give boxes as [x0, y0, x1, y1] in pixels of the earlier raster.",
    )
    not_checked = Message(
        "The written captions are not checked against a detection: the system for it cannot be "
        "used here."
    )
    tiles_left_out = Message(
        "Only the first {described:,} of {tiles:,} tiles with changes have captions."
    )
