# SPDX-License-Identifier: GPL-3.0-or-later
"""Detected roads against centre lines drawn by eye.

Recall is the share of the lines, by length, with a detection within 8 pixels. Precision is the
share of the detected pixels within 16 pixels of a line. Detections within 16 pixels of doubtful
lines only are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...training.metrics import precision, recall
from ...training.scenes.roads import Line, distance_to

#: In pixels.
RECALL_REACH, PRECISION_REACH = 8, 16


@dataclass(frozen=True)
class LineFigures:
    """Figures of one or more tiles at one threshold."""

    precision: float
    recall: float
    f: float
    line_px: int

    def figures(self) -> dict[str, float]:
        """Return all figures, rounded to four places."""
        return {
            "line_px": self.line_px,
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "f": round(self.f, 4),
        }


@dataclass(frozen=True)
class LineMatch:
    """Scores for computing the figures at any threshold.

    Attributes:
        on_line: (N,) highest score near each point of the lines, one pixel apart.
        near: (M,) scores of the pixels near a line.
        far: (K,) scores of the pixels far from all lines, doubtful ones included.
    """

    on_line: np.ndarray
    near: np.ndarray
    far: np.ndarray

    @classmethod
    def of(cls, score: np.ndarray, lines: list[Line], doubts: list[Line]) -> LineMatch:
        """Compare a score with lines."""
        reach = ndimage.maximum_filter(score, footprint=_disc(RECALL_REACH), mode="nearest")
        rows, columns = _points(lines, score.shape)
        near = distance_to(lines, score.shape) <= PRECISION_REACH
        unsure = ~near & (distance_to(doubts, score.shape) <= PRECISION_REACH)
        return cls(reach[rows, columns], score[near], score[~near & ~unsure])

    @classmethod
    def together(cls, matches: Sequence[LineMatch]) -> LineMatch:
        """Pool several tiles."""
        parts = ((m.on_line, m.near, m.far) for m in matches)
        return cls(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def at(self, threshold: float) -> LineFigures:
        """Return the figures for scores of at least ``threshold``."""
        on_line, near, far = (
            int((scores >= threshold).sum()) for scores in (self.on_line, self.near, self.far)
        )
        right = float(precision(near, far))
        reached = float(recall(on_line, len(self.on_line) - on_line))
        f = 2 * right * reached / (right + reached) if right + reached else 0.0
        return LineFigures(right, reached, f, len(self.on_line))


def _disc(radius: int) -> np.ndarray:
    """Return a disc of radius r, (2 r + 1, 2 r + 1) bool."""
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return rows**2 + columns**2 <= radius**2


def _points(lines: list[Line], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of points on lines, one pixel apart, inside ``shape``."""
    points = [np.zeros((0, 2))]
    for line in lines:
        corners = np.array(line, float)
        lengths = np.hypot(*np.diff(corners, axis=0).T)
        along = np.concatenate([[0], np.cumsum(lengths)])
        steps = np.arange(0, along[-1], 1.0)
        points.append(np.stack([np.interp(steps, along, c) for c in corners.T], 1))
    columns, rows = np.floor(np.concatenate(points)).astype(int).T
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return rows[inside], columns[inside]
