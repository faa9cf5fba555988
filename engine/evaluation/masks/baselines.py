# SPDX-License-Identifier: GPL-3.0-or-later
"""Baseline: change vector analysis with Otsu's threshold."""

from __future__ import annotations

import numpy as np

#: Bins of the histogram for Otsu's threshold.
OTSU_BINS = 256


def change_magnitude(
    before: np.ndarray, after: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """Return the change vector's length per pixel of (H, W, C); 0 where not ``valid``.

    Each band of each date is standardised (mean 0, standard deviation 1) over the valid
    pixels, which removes differences of sun and sensor.
    """
    if valid is None:
        valid = np.ones(before.shape[:2], bool)
    scores = []
    for image in (before.astype(np.float64), after.astype(np.float64)):
        pixels = image[valid]
        spread = pixels.std(0)
        scores.append((image - pixels.mean(0)) / np.where(spread > 0, spread, 1))
    return np.linalg.norm(scores[1] - scores[0], axis=2) * valid


def otsu_threshold(values: np.ndarray) -> float:
    """Return Otsu's threshold of a sample (Otsu 1979).

    It maximises the variance between the two classes, w0 w1 (m0 - m1)^2, over the edges of a
    histogram of :data:`OTSU_BINS` bins; the middle one of equal maxima.
    """
    counts, edges = np.histogram(values, OTSU_BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
        between = np.nan_to_num(below * above * difference**2)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(edges[1:-1][best].mean())


def cva_otsu(before: np.ndarray, after: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Return the change found by change vector analysis with Otsu's threshold, (H, W) bool."""
    magnitude = change_magnitude(before, after, valid)
    inside = magnitude if valid is None else magnitude[valid]
    return magnitude > otsu_threshold(inside)
