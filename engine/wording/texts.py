# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user: clauses of factual captions, and reports about written ones."""

from __future__ import annotations

from ..messages import Message


class WordingTexts:
    """What the guard reports about written captions."""

    one_replaced = Message(
        "1 of {checked} written captions was replaced by the facts of the detection."
    )
    replaced = Message(
        "{count} of {checked} written captions were replaced by the facts of the detection."
    )
    reasons = Message("What was wrong: {reasons}.")
    empty = Message("nothing in it that can be checked")
    unknown = Message("words or characters that do not belong in a sentence")
    length = Message("too short, too long or broken off")
    repetition = Message("repeated words")
    presence = Message("whether anything changed")
    direction = Message("what appeared and what was removed")
    object = Message("an object that was not found there")
    region = Message("not about the region")
    count = Message("the number of objects")


class CaptionTexts:
    """Clauses of factual captions: about one region, then about the scene."""

    new = Message("New {noun}")
    happened = Message("{noun} {verb}")
    length = Message("{length} long")
    one_pixel = Message("1 pixel")
    pixels = Message("{count:,} pixels")
    at = Message("in the {position}")
    along_one = Message("along a new {line}")
    along_many = Message("along new {line}")
    replacing = Message("replacing {classes}")
    now = Message("now {classes}")
    from_to = Message("from {before} to {after}")

    counted = Message("{count:,} {noun} {verb}")
    in_one_place = Message("{noun} {verb} in 1 place")
    in_places = Message("{noun} {verb} in {count:,} places")
    some_of_them = Message("{count:,} of them {along}")
    all_at = Message("all in the {position}")
    most_at = Message("most in the {position}")
    replaced = Message("replaced {others}")
    replaced_by = Message("replaced by {others}")
    absent = Message("no {noun} {verb}")
    one_more = Message("1 smaller change of another kind")
    more = Message("{count:,} smaller changes of other kinds")
    nothing = Message("No change was found in the area analysed.")
    nothing_matching = Message('No change matching "{prompt}" was found in the area analysed.')
    nothing_so_far = Message("No change was found in the part that was analysed.")
    nothing_matching_so_far = Message(
        'No change matching "{prompt}" was found in the part that was analysed.'
    )
    nothing_in_part = Message(
        "No change was found in the part that was analysed ({share} of the area)."
    )
    nothing_matching_in_part = Message(
        'No change matching "{prompt}" was found in the part that was analysed ({share} of the '
        "area)."
    )
    part = Message("{caption} Analysed: {share} of the area.")
    one_percent = Message("less than 1%")
    percent = Message("{percent:.0f}%")
    stopped = Message("{caption} The run was stopped before it was finished.")
