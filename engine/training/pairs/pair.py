# SPDX-License-Identifier: GPL-3.0-or-later
"""One labelled pair of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

#: Value of unknown labels, which count neither in a loss nor in an evaluation.
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
        captions: sentences about the change; none where the dates were exchanged.
        directions: (object phrase, ``"appeared"`` or ``"removed"``) to (H, W) uint8 mask with the
            values of ``change``. An empty mask says that the object surely did not change so; a
            missing key says nothing.
        images: paths of the two whole image files, what is cached of an image is kept under
            them; exchanged with the dates.
    """

    before: np.ndarray
    after: np.ndarray
    change: np.ndarray | None = None
    semantic_before: np.ndarray | None = None
    semantic_after: np.ndarray | None = None
    captions: tuple[str, ...] = ()
    directions: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    images: tuple[str, str] = ("", "")
