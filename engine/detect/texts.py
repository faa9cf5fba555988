# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the detection, for the user."""

from __future__ import annotations

from ..messages import Message


class DetectTexts:
    """Errors and warnings of a run."""

    threshold = Message(
        "The threshold {threshold:g} is not between 0 and 1.", "The default is 0.5."
    )
    negative_min_area = Message(
        "The minimum area {min_area:g} is negative.", "Enter an area in square metres, or 0."
    )
    no_competing = Message(
        "The list of competing classes is empty.",
        "Name at least one class, or leave the list to the system.",
    )
    no_date = Message('"{date}" is not a date.', "Write it as 2019, 2019-06 or 2019-06-12.")
    bad_choice = Message('"{value}" is not a value of "{option}".', "Choose one of: {known}.")

    resumed = Message("This run was continued: {share:.0%} of it had been finished before.")
    nothing_to_resume = Message(
        "There was nothing to continue, so this run started from the beginning."
    )
    not_resumed = Message(
        "An earlier run of this result was not complete. It was not continued: this run started "
        "from the beginning."
    )
    can_resume = Message("What is finished is kept for a week, and this run can be continued.")
    other_run = Message(
        'The run that would write "{path}" and is not complete differs from this one.',
        "Repeat it with the same rasters, prompt, area and options, or start from the beginning.",
    )

    hidden_before = Message("{share:.1%} of the earlier raster is left out: hidden by its mask.")
    hidden_after = Message("{share:.1%} of the later raster is left out: hidden by its mask.")
    clouds_before = Message(
        "Left out of the earlier raster: clouds ({clouds:.1%}) and their shadows ({shadows:.1%})."
    )
    clouds_after = Message(
        "Left out of the later raster: clouds ({clouds:.1%}) and their shadows ({shadows:.1%})."
    )
    dark_before = Message(
        "{share:.0%} of the earlier raster is in deep shadow and bright in the later one. It can "
        "look like change."
    )
    dark_after = Message(
        "{share:.0%} of the later raster is in deep shadow and bright in the earlier one. It can "
        "look like change."
    )
    competing = Message("{explanation}; competing classes: {names}")
    competing_ignored = Message('The system "{system}" ignores competing classes.')
    wrong_scores = Message(
        'The system "{name}" returned {found}, not scores of the shape {expected}.',
        "This is a fault of that system, not of the rasters or the prompt.",
    )
    too_little_disk = Message(
        "{width:,} x {height:,} pixels need about {needed:,.1f} GB of disk space, but only "
        "{free:,.1f} GB are free.",
        "Choose a smaller area to analyse, or a folder on a larger disk.",
    )
    too_little_memory = Message(
        "{width:,} x {height:,} pixels need about {needed:,.1f} GB of memory, but only "
        "{free:,.1f} GB are free.",
        "Close other programs, or choose a smaller area to analyse.",
    )
    less_memory = Message(
        "Memory was short, so fewer or smaller tiles were computed at a time: at the edges of "
        "tiles, changes may be cut off or missed."
    )
    no_cuda = Message("The graphics card was not used: {device}.")
    raster_changed = Message(
        '"{name}" changed while it was being read: the results may mix its old and new pixels. '
        "Run again."
    )
    collar = Message(
        '{share} of "{name}" is black or white without a nodata value, at its edge or in a gap of '
        'straight sides, and is left out. To keep it, set the invalid pixels (--nodata) to "mask".'
    )
    one_value = Message('"{name}" has the same value everywhere in the area to analyse.')
    nothing_valid = Message(
        "No pixel in the area to analyse is valid on both dates.",
        "Check that the rasters have data there. If valid pixels are taken for invalid ones, "
        'choose another way to find these: --nodata, or "Invalid pixels".',
    )
    part_analysed = Message(
        "Analysed: {share} of the requested area. Elsewhere, a raster has no valid pixels."
    )
    reversed_dates = Message("The dates seem to be reversed: before is {before}, after is {after}.")
    min_area_ignored = Message(
        "The minimum area in square metres is ignored: without a coordinate reference system, "
        "areas are in pixels, even if a pixel size is set."
    )
    noisy = Message(
        "The scores are noisy: parts of changes narrower than {pixels} pixels are left out. Raise "
        "the threshold, or make the prompt more specific."
    )
    too_many = Message(
        "There are too many changes: those smaller than {pixels} pixels are left out. Raise the "
        "threshold or the minimum area."
    )
    too_short = Message(
        "Roads and other lines shorter than {metres:.0f} m are left out ({count}). Set the minimum "
        "area to 0 to keep them."
    )
    cut = Message("A change with millions of corners is split into several. Its scores are noisy.")
