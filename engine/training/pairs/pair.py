# SPDX-License-Identifier: GPL-3.0-or-later
"""One labelled pair of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

#: Value of unknown labels, ignored by losses and evaluations.
UNKNOWN = 255


@dataclass
class LabelledPair:
    """One pair of a data set, whole or cropped; everything on one grid.

    Attributes:
        before: (H, W, 3) uint8 image of the earlier date.
        after: the same for the later date.
        change: (H, W) uint8: 0 unchanged, 1 changed, :data:`UNKNOWN`; None where not labelled.
        semantic_before: (H, W) uint8 index of the class on the earlier date,
            :data:`UNKNOWN` where it is not known (SECOND: where nothing changed); or None.
        semantic_after: the same for the later date.
        captions: sentences about the change; none if the dates were swapped.
        directions: (object phrase, ``"appeared"`` or ``"removed"``) to (H, W) uint8 mask with the
            values of ``change``. An empty mask means no such change, a missing key means unknown.
        images: paths of the two whole image files, used as cache keys; swapped with the dates.
    """

    before: np.ndarray
    after: np.ndarray
    change: np.ndarray | None = None
    semantic_before: np.ndarray | None = None
    semantic_after: np.ndarray | None = None
    captions: tuple[str, ...] = ()
    directions: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    images: tuple[str, str] = ("", "")
