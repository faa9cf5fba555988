# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user about captions."""

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
