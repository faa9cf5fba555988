# SPDX-License-Identifier: GPL-3.0-or-later
"""Buildings, roads, trees between two places of one set, as if they were two dates of one place.

Labelled imagery of single dates says what is on each image; two of its images give a pair whose
every object appeared or was removed (Zheng et al., ChangeStar, 2021). No such pair looks like a
real one, but colours, roofs and streets are those of the place, so the figures tell whether
a model knows what it sees there.

``changescribe evaluate places``
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...classes import CLASS_NAMES, CLASSES
from ...paths import MODELS
from ...request import APPEARED, Query
from ...systems.base import ChangeSystem
from ...systems.bundled import BundledSystem
from ...training.scenes.datasets import open_labelled
from ...training.scenes.labels import BARE, BUILDING, ROAD, TREE, UNKNOWN, WATER
from ...training.scenes.sample import APPEARED as APPEARED_PLANE
from ..masks.calibration import Calibration, RawCounts, raw_scores, read_calibration

#: Sets of ``segmentation`` and the classes measured on each.
SETS: dict[str, tuple[int, ...]] = {
    "penang": (BUILDING, ROAD, WATER),
    "eth_cil2022": (ROAD,),
    "vegas_roads": (ROAD,),
    "campo_grande_trees": (TREE,),
    "dubai": (BUILDING, ROAD, WATER, BARE),
    "dronedeploy": (BUILDING, TREE),
    "epfl_roads": (ROAD,),
}
#: Raw scores tried as thresholds.
_THRESHOLDS = np.arange(-8, 8.01, 0.1)


@dataclass
class ClassOnSet:
    """Scores of one class on one set.

    Attributes:
        at_half: right, found, and changed pixels at the model's own threshold.
        raw: counts by raw score.
    """

    raw: RawCounts = field(default_factory=RawCounts)
    right: int = 0
    found: int = 0
    changed: int = 0

    def add(self, score: np.ndarray, truth: np.ndarray, calibration: dict[str, float]) -> None:
        """Count pixels: calibrated score and truth (0, 1, unknown), of one shape."""
        known = truth != UNKNOWN
        score, changed = score[known], truth[known] == 1
        self.raw.add(raw_scores(score, **calibration), changed)
        found = score >= 0.5
        self.right += int((found & changed).sum())
        self.found += int(found.sum())
        self.changed += int(changed.sum())

    def figures(self) -> dict[str, float]:
        """Return F1, precision, recall, the best F1 and the raw score that gives it."""
        best = self.raw.f1_at(_THRESHOLDS)
        return {
            "f1": round(2 * self.right / max(1, self.found + self.changed), 4),
            "precision": round(self.right / max(1, self.found), 4),
            "recall": round(self.right / max(1, self.changed), 4),
            "best_f1": round(float(best.max()), 4),
            "best_raw": round(float(_THRESHOLDS[best.argmax()]), 1),
        }


def measure_two_places(
    system: ChangeSystem,
    data: Path,
    calibration: Calibration,
    log: Callable[[str], None],
    *,
    names: Sequence[str] = tuple(SETS),
    pairs: int = 40,
    seed: int = 5,
) -> dict[str, dict[str, dict[str, float]]]:
    """Measure "class appeared" between random pairs of images of each set.

    Args:
        system: the loaded model.
        data: the folder of real data; sets that are not there are left out.
        calibration: scale and bias by class name, of the model.
        log: called with a line of progress.
        names: the sets, of :data:`SETS`.
        pairs: crops per set, of 256 x 256 pixels of about the model's pixel size.
        seed: of the crops.

    Returns:
        Figures by set and class, see :meth:`ClassOnSet.figures`.
    """
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name in names:
        if not (data / "segmentation" / name).is_dir():
            continue
        log(f"two places: {name}")
        source = open_labelled(name, data)
        rng = np.random.default_rng(seed)
        counts = {index: ClassOnSet() for index in SETS[name]}
        queries = [Query(CLASSES[index].plural, APPEARED) for index in counts]
        for _ in range(pairs):
            pair = source.two_scenes(rng)
            scores = system.predict(pair.before[None], pair.after[None], queries).scores[0]
            for score, (index, count) in zip(scores, counts.items(), strict=True):
                truth = pair.changes[..., index, APPEARED_PLANE]
                count.add(score, truth, calibration[CLASS_NAMES[index]])
        result[name] = {CLASS_NAMES[index]: c.figures() for index, c in counts.items()}
    return result


def measure(data: Path, folder: Path | None = None, *, pairs: int = 40) -> dict[str, Any]:
    """Load the model of a folder (None: the shipped one) and measure it on every set.

    Raises:
        WeightsError: the model cannot be read.
    """
    folder = folder or MODELS
    system = BundledSystem(folder)
    system.load("cpu")
    return measure_two_places(
        system,
        data,
        read_calibration(folder),
        lambda text: sys.stderr.write(text + "\n"),
        pairs=pairs,
    )
