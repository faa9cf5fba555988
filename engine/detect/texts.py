# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the detection for the user."""

from __future__ import annotations

from ..messages import Message


class DetectTexts:
    """Errors, warnings and stages of a run."""

    threshold = Message(
        "The threshold {threshold:g} is not between 0 and 1.", "0.5 is the default."
    )
    negative_min_area = Message(
        "The minimum area {min_area:g} is negative.", "Give it in square metres."
    )
    no_competing = Message(
        "The list of competing classes is empty.", "Name some, or leave it to the system."
    )
    no_date = Message('"{date}" is not a date.', "Write it as 2019, 2019-06 or 2019-06-12.")
    no_device = Message('There is no device "{device}".', "Choose one of: {devices}.")

    competing = Message("{explanation}; told apart from: {names}")
    competing_ignored = Message('The system "{system}" has no use for competing classes.')
    no_cuda = Message("The graphics card was not used: {device}.")
    same_raster = Message("Both dates are the same raster.")
    reversed_dates = Message("The dates seem to be reversed: before is {before}, after is {after}.")
    min_area_ignored = Message(
        "The minimum area in square metres is not used: without a coordinate reference "
        "system areas are in pixels, whatever pixel size is told."
    )
    noisy = Message(
        "The scores are noisy: parts of changes narrower than {pixels} pixels "
        "were left out. Raise the threshold, or say less generally what to look for."
    )
    too_many = Message(
        "There were too many changes: those of less than {pixels} pixels were "
        "left out. Raise the threshold or the minimum area."
    )
    too_short = Message(
        "Pieces shorter than {metres:.0f} m were left out ({count}). Set "
        "the minimum area to 0 to keep them."
    )
    cut = Message("A change with millions of corners was cut into several; its scores are noisy.")

    reading = Message("reading")
    loading = Message("loading")
    detecting = Message("detecting")
    resampling = Message("resampling")
    outlining = Message("outlining")
    writing = Message("writing")
    done = Message("done")
