# SPDX-License-Identifier: GPL-3.0-or-later
"""States of the land-cover classes by label code: present, absent, or unknown.

A *state* is an array (H, W, 6) uint8 with 1 where the class is present, 0 where
it is absent and 255 where nothing is known. The change of a class follows from
the states of two dates, and is unknown wherever they leave it open.
"""

from __future__ import annotations

import numpy as np

from ...classes import CLASSES

UNKNOWN = 255
#: Of a change: this class or another one with the same code here; the labels do not say which.
SOME = 254
NUM_CLASSES = len(CLASSES)
BUILDING, ROAD, TREE, GRASS, WATER, BARE = range(NUM_CLASSES)

#: Codes of the label images beyond 1 to 6, which are the classes.
OTHER, VEGETATION, GROUND, NOT_LABELLED, IGNORE = 0, 7, 10, 254, 255


def state_table(labelled: tuple[int, ...]) -> np.ndarray:
    """Return a table (256, 6): the state that each label code means.

    Args:
        labelled: classes that the data set labels. A set that labels roads alone says
            of a road pixel that it is no building or water, but not that no tree hangs
            over it; of any other pixel only that it is no road.
    """
    table = np.full((256, NUM_CLASSES), UNKNOWN, np.uint8)
    dense = len(labelled) > 2
    for index in range(NUM_CLASSES):
        row = table[index + 1]
        row[:] = 0
        if index == ROAD and not dense:
            row[[TREE, GRASS, BARE]] = UNKNOWN
        row[index] = 1
    table[VEGETATION] = 0
    table[VEGETATION, [TREE, GRASS]] = UNKNOWN
    table[GROUND] = 0
    table[GROUND, [ROAD, GRASS, BARE]] = UNKNOWN
    table[OTHER, [BUILDING, TREE, GRASS]] = 0
    table[NOT_LABELLED, list(labelled)] = 0
    return table


def appeared(state_before: np.ndarray, state_after: np.ndarray) -> np.ndarray:
    """Where a class is on the later date and was not on the earlier one.

    Returns:
        Same shape: 1 appeared; 0 did not, known as soon as the class is absent after
        or was present before; 255 unknown.
    """
    result = np.full_like(state_before, UNKNOWN)
    result[(state_after == 0) | (state_before == 1)] = 0
    result[(state_after == 1) & (state_before == 0)] = 1
    return result
