# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the regions for the user."""

from __future__ import annotations

from ..messages import Message


class RegionsTexts:
    """Errors and warnings while regions are made from scores."""

    cannot_open = Message('"{path}" cannot be read.', "Run the detection again.")
    damaged = Message('"{path}" cannot be read.', "The file is damaged.")
    other_grid = Message('"{path}" is not on the grid of the run.', "Run the detection again.")
    too_few_bands = Message('"{path}" has too few bands.', "Run the detection again.")
    unknown_replaced = Message(
        "This system cannot tell which {object} replaced {others}. All {object} that appeared are "
        "kept."
    )
    unknown_replaced_by = Message(
        "This system cannot tell which {object} were replaced by {others}. All {object} that were "
        "removed are kept."
    )
