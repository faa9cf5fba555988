# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets with one mask of change per pair, in image files: LEVIR-CD, SYSU-CD."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..recipe import DataSpec
from .base import ImagePairs, both_directions
from .pair import LabelledPair

BUILDINGS = "buildings"


class LevirCd(ImagePairs):
    """LEVIR-CD: 637 pairs of 1024 x 1024 pixels, 0.5 m; buildings that changed.

    ``train | val | test / A, B, label / NAME.png``, labels 0 and 255 (Chen and Shi, Remote
    Sensing 2020; justchenhao.github.io/LEVIR). The cut copies of the BIT repository
    (justchenhao/BIT_CD) are read as well: ``A, B, label`` and ``list/train.txt``, where ``split``
    chooses the list.

    The labels have no direction. Nearly all changed buildings are new, so all count as
    appeared.
    """

    parts = ("A", "B", "label")
    prompt = BUILDINGS

    def __init__(self, spec: DataSpec, folder: Path) -> None:
        if spec.split and not (folder / spec.split).is_dir() and (folder / "A").is_dir():
            spec.names = spec.names or f"list/{spec.split}.txt"
        super().__init__(spec, folder)

    def _base(self) -> Path:
        cut = (self.folder / "A").is_dir()
        return self.folder if cut else self.folder / self.spec.split

    def _label(self, pair: LabelledPair, labels: list[np.ndarray], index: int) -> None:
        pair.change = labels[0]
        both_directions(pair, BUILDINGS, labels[0])


class SysuCd(ImagePairs):
    """SYSU-CD: 20000 pairs of 256 x 256 pixels, 0.5 m, Hong Kong; any change.

    ``train | val | test / time1, time2, label / NAME.png``, labels 0 and 255 (Shi et al., TGRS
    2021; github.com/liumency/SYSU-CD). Neither the object (buildings, groundwork,
    vegetation, roads, reclaimed land) nor the direction is labelled.
    """

    parts = ("time1", "time2", "label")

    def _label(self, pair: LabelledPair, labels: list[np.ndarray], index: int) -> None:
        pair.change = labels[0]
