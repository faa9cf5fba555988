# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of semantic change, as defined by SECOND's papers."""

from __future__ import annotations

import math

import numpy as np


class SemanticCounts:
    """Confusion matrix of semantic change, pooled over both dates and accumulated over pairs.

    The metrics are those of SECOND as computed by SCanNet (Ding et al., TGRS 2024, section
    IV-B; Yang et al., TGRS 2021, equations 6 to 12).

    Args:
        classes: number K of classes.

    Attributes:
        counts: (K + 1, K + 1) int64 pixels: rows are true, columns predicted classes; 0 is
            unchanged, class k is k + 1.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes + 1, classes + 1), np.int64)

    def add(self, changed: np.ndarray, found: np.ndarray, truth: np.ndarray) -> None:
        """Count one date of a pair.

        Args:
            changed: (H, W) bool: predicted change.
            found: (H, W) index of the predicted class where ``changed``; any other number is
                unchanged.
            truth: (H, W) index of the true class; any other number is unchanged.
        """
        size = len(self.counts)
        rows, columns = (np.asarray(classes).astype(np.int64) + 1 for classes in (truth, found))
        rows[rows >= size] = 0
        columns[(columns >= size) | ~np.asarray(changed)] = 0
        pixels = np.bincount((rows * size + columns).ravel(), minlength=size * size)
        self.counts += pixels.reshape(size, size)

    @property
    def iou_changed(self) -> float:
        """IoU_c: changed in both, of any class, over all but unchanged in both."""
        counts = self.counts
        return _ratio(counts[1:, 1:].sum(), counts.sum() - counts[0, 0])

    @property
    def iou_unchanged(self) -> float:
        """IoU_n: unchanged in both over unchanged in one of them."""
        counts = self.counts
        return _ratio(counts[0, 0], counts[0].sum() + counts[:, 0].sum() - counts[0, 0])

    @property
    def miou(self) -> float:
        """Mean of IoU_c and IoU_n."""
        return (self.iou_changed + self.iou_unchanged) / 2

    @property
    def kappa(self) -> float:
        """Cohen's kappa without the pixels that are unchanged in both."""
        counts = self.counts.astype(np.float64)
        counts[0, 0] = 0
        total = counts.sum()
        agreed = _ratio(np.trace(counts), total)
        by_chance = _ratio((counts.sum(0) * counts.sum(1)).sum(), total**2)
        return _ratio(agreed - by_chance, 1 - by_chance)

    @property
    def sek(self) -> float:
        """SeK = kappa e^(IoU_c - 1), the separated kappa."""
        return self.kappa * math.exp(self.iou_changed - 1)

    @property
    def fscd(self) -> float:
        """Fscd: harmonic mean of the shares of correct classes in predicted and in true change."""
        counts = self.counts
        right = np.trace(counts) - counts[0, 0]
        precision = _ratio(right, counts[:, 1:].sum())
        recall = _ratio(right, counts[1:].sum())
        return _ratio(2 * precision * recall, precision + recall)

    @property
    def accuracy(self) -> float:
        """OA: correct pixels, including unchanged ones, over all."""
        return _ratio(np.trace(self.counts), self.counts.sum())

    def figures(self) -> dict[str, float]:
        """Return all figures, rounded to four places."""
        names = ("miou", "sek", "fscd", "accuracy", "iou_changed", "iou_unchanged", "kappa")
        return {name: round(float(getattr(self, name)), 4) for name in names}


def _ratio(part: float, whole: float) -> float:
    """Return a ratio; 0 for a denominator of 0."""
    return float(part) / float(whole) if whole else 0.0
