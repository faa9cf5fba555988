# SPDX-License-Identifier: GPL-3.0-or-later
"""SECOND: the land cover of both dates where it changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import InputError
from ..texts import TrainingTexts
from .base import ImagePairs, read_image
from .pair import UNKNOWN, LabelledPair

#: Class names, as prompts, and their published colours (red, green, blue), in index order.
CLASSES: dict[str, tuple[int, int, int]] = {
    "water": (0, 0, 255),
    "bare ground": (128, 128, 128),
    "low vegetation": (0, 128, 0),
    "trees": (0, 255, 0),
    "buildings": (128, 0, 0),
    "playgrounds": (255, 0, 0),
}
UNCHANGED = (255, 255, 255)


def _code(colour: np.ndarray) -> np.ndarray:
    """Return (..., 3) uint8 colours as single numbers."""
    wide = colour.astype(np.int32)
    return (wide[..., 0] << 16) + (wide[..., 1] << 8) + wide[..., 2]


_CODES = _code(np.array([*CLASSES.values(), UNCHANGED]))
_INDICES = np.array([*range(len(CLASSES)), UNKNOWN], np.uint8)


class Second(ImagePairs):
    """SECOND: 4662 pairs of 512 x 512 pixels, 0.5 to 3 m, Chinese cities; six classes.

    ``SPLIT / im1, im2, label1, label2 / NAME.png``; the labels are coloured, white where nothing
    changed (Yang et al., TGRS 2021; captain-whu.github.io/SCD, colours as in
    github.com/ggsDing/SCanNet). 2968 pairs are public for training and 1694 for the test; "4:1"
    splits are splits of the former (``folds: 5``). Scores on the two are not comparable.

    "bare ground" is the set's "non-vegetated ground surface", roads included. Change within a
    class (a building replaced by another) has no direction.
    """

    parts = ("im1", "im2", "label1", "label2")
    classes = tuple(CLASSES)

    def _read_label(self, path: Path) -> np.ndarray:
        codes = _code(read_image(path))
        place = np.searchsorted(_SORTED, codes).clip(max=len(_SORTED) - 1)
        strange = codes[_SORTED[place] != codes]
        if len(strange):
            value = int(strange[0])
            raise InputError(
                TrainingTexts.bad_label_colour(
                    path=path, red=value >> 16, green=value >> 8 & 255, blue=value & 255
                )
            )
        return _BY_CODE[place]

    def _label(self, pair: LabelledPair, labels: list[np.ndarray], index: int) -> None:
        before, after = labels
        pair.semantic_before, pair.semantic_after = before, after
        pair.change = ((before != UNKNOWN) | (after != UNKNOWN)).astype(np.uint8)
        for number, name in enumerate(self.classes):
            was, is_now = before == number, after == number
            pair.directions[name, "appeared"] = (is_now & ~was).astype(np.uint8)
            pair.directions[name, "removed"] = (was & ~is_now).astype(np.uint8)


_ORDER = np.argsort(_CODES)
_SORTED, _BY_CODE = _CODES[_ORDER], _INDICES[_ORDER]
