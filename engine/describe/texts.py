# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts about captions for the user."""

from __future__ import annotations

from ..messages import Message


class DescribeTexts:
    """Captions, errors and warnings."""

    captioning = Message("captioning")

    no_data = Message("There is no data here on one of the dates.")

    area_outside = Message(
        "The area to describe lies outside the area that both rasters cover.",
        "Choose one within the overlap of the two rasters, and check its CRS.",
    )
    box_outside = Message(
        "The box {box} lies outside the raster of {width} x {height} pixels.",
        "Give boxes as [x0, y0, x1, y1] in pixels of BEFORE.",
    )
    not_checked = Message(
        "The written captions were not checked against a detection: the system that would make "
        "one cannot be used here."
    )
    tiles_left_out = Message(
        "Only the first {described:,} of {tiles:,} tiles with changes have a caption."
    )
