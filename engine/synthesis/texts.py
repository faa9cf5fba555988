# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user about generated scenes."""

from __future__ import annotations

from ..messages import Message


class SynthesisTexts:
    """Errors of this package; see :mod:`changescribe.engine.messages`."""

    bad_crs = Message(
        'Scenes cannot be generated in "{crs}".',
        "Choose a projected coordinate reference system in metres, such as EPSG:32614.",
    )
    outline_fails = Message("The changes of a scene could not be outlined.")
    bad_count = Message("The number of scenes must be at least 1.")
    bad_seed = Message("The seed of a scene must be at least 0.")
    bad_size = Message("The size of a scene must be between 64 and 4096 pixels.")
    bad_pixel_size = Message("The pixel size must be between 0.2 and 10 metres.")
    no_layout = Message('There is no layout "{layout}".', "Choose one of: {known}.")
    cannot_write = Message(
        '"{path}" could not be written.',
        "Check the free space and that you may write to the folder.",
    )
    cancelled = Message(
        'Cancelled: {done} of {total} pairs are in "{folder}", without a list of scenes.'
    )
