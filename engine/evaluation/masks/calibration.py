# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration: reliability of scores, and the map from raw to calibrated scores.

0.5 should be the best threshold of every class, and a score of 0.7 should be right seven times in
ten. The map is ``sigmoid(s raw + b)``, with the scale and threshold of the highest likelihood
among the thresholds whose F1 is practically the best.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...classes import CLASS_NAMES
from ...systems.bundled import MANIFEST
from ...training.metrics import f1_by_threshold

#: Scale and bias by class name.
Calibration = dict[str, dict[str, float]]

#: Bins of the reliability curve.
BINS = 10
#: Bin width for raw scores, and their limit to either side.
WIDTH, LIMIT = 0.05, 16.0
#: Tolerance below the best F1.
AS_GOOD = 0.002
#: Raw scores tried as thresholds. The range around the network's own 0 is limited, because the best
#: threshold for generated water, -3.2, finds false water on real imagery.
_THRESHOLDS = np.arange(-1.5, 1.501, WIDTH)
_SCALES = np.geomspace(0.25, 4.0, 49)


def raw_scores(score: np.ndarray, scale: float = 1.0, bias: float = 0.0) -> np.ndarray:
    """Undo ``sigmoid(scale raw + bias)``."""
    clipped = np.clip(np.asarray(score, np.float64), 1e-7, 1 - 1e-7)
    return (np.log(clipped / (1 - clipped)) - bias) / scale


def calibrated(raw: np.ndarray, scale: float, bias: float) -> np.ndarray:
    """Return ``sigmoid(scale raw + bias)``."""
    return 1 / (1 + np.exp(-np.clip(scale * raw + bias, -30, 30)))


@dataclass
class RawCounts:
    """Counts of correct and wrong pixels by raw score, accumulated over images.

    Attributes:
        right: pixels with the change, by bin of the raw score.
        wrong: pixels without the change, by bin.
    """

    right: np.ndarray = field(default_factory=lambda: np.zeros(_bins(), np.int64))
    wrong: np.ndarray = field(default_factory=lambda: np.zeros(_bins(), np.int64))

    def add(self, raw: np.ndarray, truth: np.ndarray) -> None:
        """Count pixels."""
        index = np.clip(((raw + LIMIT) / WIDTH).astype(np.int64), 0, _bins() - 1)
        self.right += np.bincount(index[truth], minlength=_bins())
        self.wrong += np.bincount(index[~truth], minlength=_bins())

    def f1_at(self, thresholds: np.ndarray) -> np.ndarray:
        """Return F1 at raw thresholds (N,), rounded to bin edges."""
        index = np.clip(np.rint((thresholds + LIMIT) / WIDTH).astype(int), 0, _bins() - 1)
        return f1_by_threshold(self.right, self.wrong)[index]

    def reliability(self, scale: float = 1.0, bias: float = 0.0) -> dict[str, object]:
        """Compare calibrated scores with the observed frequency of change.

        Returns:
            ``ece``, the expected calibration error: sum over the bins of their share of the
            pixels times |share changed - mean score|; ``ece_unsure``, the same over the
            pixels with scores from 0.1 to 0.9, since most pixels are unchanged and score near 0;
            and ``bins``: ``[mean score, share changed, pixels]`` or None.
        """
        scores = calibrated(_centres(), scale, bias)
        index = np.minimum((scores * BINS).astype(int), BINS - 1)
        pixels = np.bincount(index, self.right + self.wrong, BINS)
        right = np.bincount(index, self.right, BINS) / np.maximum(1, pixels)
        mean = np.bincount(index, scores * (self.right + self.wrong), BINS) / np.maximum(1, pixels)
        gaps = np.abs(right - mean) * pixels
        inner = slice(1, BINS - 1)
        return {
            "ece": round(float(gaps.sum() / max(1, pixels.sum())), 5),
            "ece_unsure": round(float(gaps[inner].sum() / max(1, pixels[inner].sum())), 4),
            "bins": [
                [round(float(m), 4), round(float(r), 4), int(n)] if n else None
                for m, r, n in zip(mean, right, pixels, strict=True)
            ],
        }


def fit_map(
    counts: RawCounts, quality: Callable[[np.ndarray], np.ndarray] | None = None
) -> dict[str, float]:
    """Fit scale and bias.

    Args:
        counts: counts by raw score.
        quality: returns F at raw thresholds (N,); None is the F1 of ``counts``.

    Returns:
        ``{"scale": s, "bias": b}``; a raw score of ``-b / s`` becomes 0.5. Scale 1 and bias 0
        without any changed pixel.
    """
    if not counts.right.sum():
        return {"scale": 1.0, "bias": 0.0}
    qualities = (quality or counts.f1_at)(_THRESHOLDS)
    good = _THRESHOLDS[qualities >= qualities.max() - AS_GOOD]
    inner = _SCALES[:, None, None] * (_centres() - good[:, None])
    # -log sigmoid(x) = log(1 + e^-x); (scales, thresholds, bins) summed over the bins
    loss = np.logaddexp(0, -inner) @ counts.right + np.logaddexp(0, inner) @ counts.wrong
    scale_index, good_index = np.unravel_index(int(loss.argmin()), loss.shape)
    scale = float(_SCALES[scale_index])
    return {"scale": round(scale, 4), "bias": round(-scale * float(good[good_index]), 4)}


def read_calibration(folder: Path) -> Calibration:
    """Return scale and bias by class name, from the manifest of a model."""
    table = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["calibration"]
    return {name: table.get(name, table["other"]) for name in CLASS_NAMES}


def _bins() -> int:
    """Return the number of bins of raw scores."""
    return round(2 * LIMIT / WIDTH)


def _centres() -> np.ndarray:
    """Return the raw score at the centre of each bin."""
    return (np.arange(_bins()) + 0.5) * WIDTH - LIMIT
