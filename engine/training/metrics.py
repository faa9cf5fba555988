# SPDX-License-Identifier: GPL-3.0-or-later
"""Precision, recall, F1 and IoU of the change class, from counts summed over a data set.

All figures of training and evaluation are computed here. torchmetrics gives the same results (a
test compares them), but counts a pair 40 times slower, and takes a minute per megapixel for the
640 thresholds of the calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def precision(tp: Any, fp: Any) -> Any:
    """Return TP / (TP + FP) of numbers or arrays; 0 without detections."""
    return tp / np.maximum(1, tp + fp)


def recall(tp: Any, fn: Any) -> Any:
    """Return TP / (TP + FN) of numbers or arrays; 0 without changes."""
    return tp / np.maximum(1, tp + fn)


def f1(tp: Any, fp: Any, fn: Any) -> Any:
    """Return 2 TP / (2 TP + FP + FN) of numbers or arrays; 0 without either."""
    return 2 * tp / np.maximum(1, 2 * tp + fp + fn)


def f1_by_threshold(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return F1 for thresholds at the lower edges of the bins of two score histograms."""
    tp, fp = (np.cumsum(counts[::-1])[::-1] for counts in (right, wrong))
    return f1(tp, fp, right.sum() - tp)


@dataclass
class BinaryCounts:
    """Pixel counts, accumulated pair by pair."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def add(self, found: np.ndarray, truth: np.ndarray) -> None:
        """Count one pair."""
        found, truth = np.asarray(found) > 0, np.asarray(truth) > 0
        tp, in_found, in_truth = (int(np.count_nonzero(m)) for m in (found & truth, found, truth))
        self.tp += tp
        self.fp += in_found - tp
        self.fn += in_truth - tp
        self.tn += found.size - in_found - in_truth + tp

    @property
    def precision(self) -> float:
        """See :func:`precision`."""
        return float(precision(self.tp, self.fp))

    @property
    def recall(self) -> float:
        """See :func:`recall`."""
        return float(recall(self.tp, self.fn))

    @property
    def f1(self) -> float:
        """See :func:`f1`."""
        return float(f1(self.tp, self.fp, self.fn))

    @property
    def iou(self) -> float:
        """Return TP / (TP + FP + FN)."""
        return self.tp / max(1, self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> float:
        """Return the overall accuracy, (TP + TN) / all."""
        return (self.tp + self.tn) / max(1, self.tp + self.fp + self.fn + self.tn)

    @property
    def found_share(self) -> float:
        """Return the share of pixels detected as change."""
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
