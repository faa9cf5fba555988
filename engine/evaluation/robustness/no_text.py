# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled network without its text.

A class name gives the head one fixed vector per class, so it acts as a class index; the gap to
synonyms is the cost of free wording. The encoder also scores six classes per date without any text:
``p_after (1 - p_before)`` of its class branch detects change with neither text nor a comparison of
the dates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...classes import CLASS_NAMES
from ...training.metrics import BinaryCounts
from ..masks.calibration import RawCounts, raw_scores
from ..masks.road_lines import LineMatch
from ..places.levir import LevirTile

#: Thresholds tried for the plain difference.
_THRESHOLDS = np.arange(0.05, 0.96, 0.05)


class ClassDifference:
    """Change from the class scores of two dates alone."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        self._session: Any = onnxruntime.InferenceSession(
            str(folder / "encoder.onnx"), providers=["CPUExecutionProvider"]
        )

    def score(self, tile: LevirTile, name: str) -> np.ndarray:
        """Return p_after (1 - p_before) of a class, (H, W) float32; sides multiples of 32."""
        images = np.stack([tile.before, tile.after])
        raw = self._session.run(["classes"], {"images": images})[0][:, CLASS_NAMES.index(name)]
        was, is_now = 1 / (1 + np.exp(-raw))
        picture = Image.fromarray((is_now * (1 - was)).astype(np.float32))
        return np.asarray(picture.resize(tile.label.shape[::-1], Image.Resampling.BILINEAR))


class DifferenceFigures:
    """The plain difference on LEVIR: buildings by pixel, roads by centre line."""

    def __init__(self, difference: ClassDifference) -> None:
        self._difference = difference
        self._at_half = BinaryCounts()
        self._raw = RawCounts()
        self._roads: list[LineMatch] = []

    def add(self, tile: LevirTile) -> None:
        """Measure a tile."""
        score = self._difference.score(tile, "building")
        self._at_half.add(score >= 0.5, tile.label)
        self._raw.add(raw_scores(score), tile.label > 0)
        self._roads.append(tile.road_match(self._difference.score(tile, "road")))

    def figures(self) -> dict[str, Any]:
        """Return the figures at 0.5, and the best over thresholds, which is optimistic."""
        roads = LineMatch.together(self._roads)
        f1 = self._raw.f1_at(raw_scores(_THRESHOLDS))
        f = [roads.at(float(threshold)).f for threshold in _THRESHOLDS]
        return {
            "buildings": self._at_half.figures(),
            "buildings_best_f1": round(float(f1.max()), 4),
            "roads": roads.at(0.5).figures(),
            "roads_best_f": round(float(np.max(f)), 4),
        }
