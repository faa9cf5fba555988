# SPDX-License-Identifier: GPL-3.0-or-later
"""States of the land-cover classes by label code: present, absent, or unknown.

A *state* is an array (H, W, 6) uint8 with 1 where the class is present, 0 where
it is absent and 255 where it is unknown. The change of a class follows from
the states of two dates.
"""

from __future__ import annotations

import numpy as np

from ...classes import CLASSES

UNKNOWN = 255
#: Change of this class or of another with this code here; the labels do not specify which.
SOME = 254
NUM_CLASSES = len(CLASSES)
BUILDING, ROAD, TREE, GRASS, WATER, BARE = range(NUM_CLASSES)

#: Codes of the label images beyond the classes 1 to 6.
OTHER, VEGETATION, GROUND, NOT_LABELLED, IGNORE = 0, 7, 10, 254, 255


def state_table(labelled: tuple[int, ...]) -> np.ndarray:
    """Return a table (256, 6) of the states for each label code.

    Args:
        labelled: classes that the data set labels. With only roads labelled, a road pixel is no
            building and no water, but may lie under a tree; any other pixel is no road.
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
    """Return where a class is present on the later date and absent on the earlier one.

    Returns:
        Same shape: 1 appeared; 0 did not, because the class is absent after or present before;
        255 unknown.
    """
    result = np.full_like(state_before, UNKNOWN)
    result[(state_after == 0) | (state_before == 1)] = 0
    result[(state_after == 1) & (state_before == 0)] = 1
    return result
