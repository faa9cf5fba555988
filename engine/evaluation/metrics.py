# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of binary change detection, from counts summed over a whole data set.

Precision, recall, F1 and IoU are those of the change class, not means over both
classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class BinaryCounts:
    """Counts of pixels; add pair after pair.

    Attributes:
        tp: change that was found.
        fp: no change, but found.
        fn: change that was missed.
        tn: no change, and none found.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def add(self, found: np.ndarray, truth: np.ndarray) -> None:
        """Count one pair.

        Args:
            found: (H, W), non-zero is change.
            truth: the same shape, any value > 0 is change.
        """
        found, truth = np.asarray(found) > 0, np.asarray(truth) > 0
        self.tp += int((found & truth).sum())
        self.fp += int((found & ~truth).sum())
        self.fn += int((~found & truth).sum())
        self.tn += int((~found & ~truth).sum())

    @property
    def precision(self) -> float:
        """TP / (TP + FP); 0 where nothing was found."""
        return self.tp / max(1, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); 0 where there is no change."""
        return self.tp / max(1, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return 2 * self.tp / max(1, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        return self.tp / max(1, self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> float:
        """OA: (TP + TN) / all."""
        return (self.tp + self.tn) / max(1, self.tp + self.fp + self.fn + self.tn)

    @property
    def found_share(self) -> float:
        """Share of pixels that were called change."""
        return (self.tp + self.fp) / max(1, self.tp + self.fp + self.fn + self.tn)

    def figures(self) -> dict[str, float]:
        """Return all figures, rounded to four places."""
        return {
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "f1": round(self.f1, 4),
            "iou": round(self.iou, 4),
            "accuracy": round(self.accuracy, 4),
            "found_share": round(self.found_share, 5),
        }
