# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranking of changed and unchanged crops by score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from ...request import APPEARED, REMOVED, Query
from ...training.metrics import f1
from ...wording.reading import crop_truth

#: Share of a crop's highest pixels whose mean is the crop's score.
TOP_SHARE = 0.01
#: With fewer positive crops, the opposite direction is used with the dates swapped.
MIN_POSITIVES = 10
#: Class names and their words in prompts.
ASKED = {"road": "roads", "building": "buildings", "tree": "trees"}
_OTHER = {APPEARED: REMOVED, REMOVED: APPEARED}


def roc_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the probability that a positive scores above a negative (ties 1/2), or NaN."""
    truth = np.asarray(truth, bool)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def bootstrap_auc(
    scores: np.ndarray, truth: np.ndarray, rounds: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of :func:`roc_auc`.

    Positives and negatives are resampled separately, so that every round has both.
    """
    rng = np.random.default_rng(seed)
    kinds = [np.flatnonzero(truth), np.flatnonzero(~np.asarray(truth, bool))]
    if not all(len(kind) for kind in kinds):
        return float("nan"), float("nan")
    areas = []
    for _ in range(rounds):
        drawn = np.concatenate([rng.choice(kind, len(kind)) for kind in kinds])
        areas.append(roc_auc(scores[drawn], truth[drawn]))
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)


def crop_score(score: np.ndarray, share: float = TOP_SHARE) -> float:
    """Return the mean of the highest ``share`` of a crop's pixels (H, W), at least one."""
    flat = score.ravel()
    count = max(1, round(share * flat.size))
    return float(np.partition(flat, flat.size - count)[-count:].mean())


def _captioned_crops(
    captions: list[dict], tile: str, event: tuple[str, str]
) -> Iterator[tuple[tuple[slice, slice], bool]]:
    """Yield window and truth of a tile's crops, unless their sentences are ambiguous."""
    for caption in captions:
        truth = crop_truth(caption["captions"], event) if caption["tile"] == tile else None
        if truth is not None:
            left, top, right, bottom = caption["box"]
            yield np.s_[top:bottom, left:right], truth


class ScoredCrop(NamedTuple):
    """A captioned crop.

    Attributes:
        score: see :func:`crop_score`.
        found: share of its pixels with a score of 0.5 or more.
        truth: whether its sentences report the change.
    """

    score: float
    found: float
    truth: bool

    @classmethod
    def of(cls, score: np.ndarray, truth: bool) -> ScoredCrop:
        """Measure the scores (H, W) of a crop."""
        return cls(crop_score(score), float((score >= 0.5).mean()), truth)


class CropsFound:
    """Detection of changed crops: a crop is found if enough of its pixels are."""

    def __init__(self, event: tuple[str, str], captions: list[dict]) -> None:
        self.event, self.captions = event, captions
        self.passed: list[float] = []
        self.truth: list[bool] = []

    def add(self, tile: str, score: np.ndarray) -> None:
        """Take the crops of a tile."""
        for window, truth in _captioned_crops(self.captions, tile, self.event):
            self.truth.append(truth)
            # TOP_SHARE of the pixels pass this threshold and all lower ones.
            self.passed.append(float(np.quantile(score[window], 1 - TOP_SHARE)))

    def f1_at(self, thresholds: np.ndarray) -> np.ndarray:
        """Return F1 of the crops at thresholds (N,)."""
        truth = np.array(self.truth, bool)
        found = np.array(self.passed) >= np.asarray(thresholds)[:, None]
        return f1(*(part.sum(1) for part in (found & truth, found & ~truth, ~found & truth)))


@dataclass
class CropRanking:
    """Scores and truths of captioned crops, accumulated tile by tile.

    Attributes:
        captions: rows of ``captions.json``: tile, box, captions.
        rows: crops by class and direction.
        swapped: the same for swapped dates.
    """

    captions: list[dict]
    rows: dict[tuple[str, str], list[ScoredCrop]] = field(default_factory=dict)
    swapped: dict[tuple[str, str], list[ScoredCrop]] = field(default_factory=dict)

    def add(
        self, tile: str, forward: dict[Query, np.ndarray], backward: dict[Query, np.ndarray]
    ) -> None:
        """Take the crops of a tile."""
        for (name, word), (direction, other) in product(ASKED.items(), _OTHER.items()):
            for window, truth in _captioned_crops(self.captions, tile, (name, direction)):
                for rows, scores, way in (
                    (self.rows, forward, direction),
                    (self.swapped, backward, other),
                ):
                    crop = ScoredCrop.of(scores[Query(word, way)][window], truth)
                    rows.setdefault((name, way), []).append(crop)

    def figures(self) -> dict[str, dict]:
        """Return, per ``object|direction``, AUC, its interval, counts, and whether swapped.

        ``found`` is the mean share of detected pixels, in positive and negative crops. Changes
        without positive or without negative crops are left out.
        """
        result = {}
        for name, word in ASKED.items():
            for direction in _OTHER:
                rows = self.rows.get((name, direction), [])
                swap = sum(crop.truth for crop in rows) < MIN_POSITIVES
                if swap:
                    rows = self.swapped.get((name, direction), [])
                scores = np.array([crop.score for crop in rows])
                found = np.array([crop.found for crop in rows])
                truth = np.array([crop.truth for crop in rows], bool)
                if truth.all() or not truth.any():
                    continue
                interval = bootstrap_auc(scores, truth)
                result[f"{word}|{direction}"] = {
                    "auc": round(roc_auc(scores, truth), 4),
                    "interval": [round(end, 4) for end in interval],
                    "positive": int(truth.sum()),
                    "negative": int((~truth).sum()),
                    "found": [round(float(found[kind].mean()), 6) for kind in (truth, ~truth)],
                    "dates_swapped": swap,
                }
        return result
