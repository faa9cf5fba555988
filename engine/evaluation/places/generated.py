# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated scenes outside the training set: every class, both directions, exact labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ...classes import CLASSES
from ...request import APPEARED, REMOVED, Query
from ...synthesis.scenes import ScenePair, synthesise
from ...systems.base import ChangeSystem
from ...training.metrics import BinaryCounts
from ..masks.calibration import RawCounts, raw_scores
from .whole_image import score_pair

#: Seeds of evaluation and calibration; training uses 100,000 and above.
EVALUATION_SEEDS = range(900_000, 900_016)
CALIBRATION_SEEDS = range(800_000, 800_016)
SIDE, PIXEL_SIZE = 512, 0.5
#: Every class in both directions.
QUERIES = tuple(Query(c.plural, way) for c in CLASSES for way in (APPEARED, REMOVED))


@dataclass(frozen=True)
class ScoredScene:
    """Scores and truths of a generated scene.

    Attributes:
        scores: (12, H, W), in the order of :data:`QUERIES`.
        truths: (12, H, W) bool.
    """

    scores: np.ndarray
    truths: np.ndarray


def scored_scenes(
    system: ChangeSystem, seeds: Iterable[int], log: Callable[[str], None]
) -> Iterator[ScoredScene]:
    """Generate and score scenes."""
    for seed in seeds:
        log(f"generated scene {seed}")
        scene = synthesise(seed, SIDE, PIXEL_SIZE)
        scores = score_pair(system, scene.before, scene.after, QUERIES, PIXEL_SIZE)
        yield ScoredScene(scores, _truths(scene))


def _truths(scene: ScenePair) -> np.ndarray:
    """Return, for each query, where its class appeared or was removed."""
    planes = []
    for code in range(1, len(CLASSES) + 1):
        was, is_now = scene.labels_before == code, scene.labels_after == code
        planes += [is_now & ~was, was & ~is_now]
    return np.stack(planes)


class GeneratedFigures:
    """Counts of generated scenes by query, and raw scores by class."""

    def __init__(self, calibration: dict[str, dict[str, float]]) -> None:
        self.counts = {str(query): BinaryCounts() for query in QUERIES}
        self.raw = {c.name: RawCounts() for c in CLASSES}
        self._calibration = calibration

    def add(self, scene: ScoredScene) -> None:
        """Count a scene."""
        planes = zip(QUERIES, scene.scores, scene.truths, strict=True)
        for number, (query, score, truth) in enumerate(planes):
            self.counts[str(query)].add(score >= 0.5, truth)
            name = CLASSES[number // 2].name
            self.raw[name].add(raw_scores(score, **self._calibration[name]), truth)

    def figures(self) -> dict[str, dict[str, float]]:
        """Return the figures by query."""
        return {name: counts.figures() for name, counts in self.counts.items()}
