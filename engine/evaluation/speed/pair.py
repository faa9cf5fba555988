# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds for a pair, and bytes on disk."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...request import APPEARED, Query
from ...systems.base import ChangeSystem
from ..places.whole_image import score_pair

ROUNDS = 5
MEGABYTE = 1_000_000


def measure_speed(system: ChangeSystem, before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Time one query on one pair, in the plugin's tiles, after a warm-up run."""
    query = [Query("buildings", APPEARED)]
    pixel_size = system.info.pixel_sizes[0]
    score_pair(system, before, after, query, pixel_size)
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        score_pair(system, before, after, query, pixel_size)
        seconds.append(time.perf_counter() - start)
    return {
        "seconds_median": round(statistics.median(seconds), 3),
        "seconds_all": [round(s, 3) for s in sorted(seconds)],
        "pixels": list(before.shape[:2]),
        "device": system.device,
    }


def measure_size(folder: Path) -> dict[str, float]:
    """Return the size of each model file and the total, in megabytes (10^6 bytes)."""
    names = ("encoder.onnx", "head.onnx", "text.onnx", "vocab.txt", "manifest.json")
    sizes = {n: (folder / n).stat().st_size / MEGABYTE for n in names if (folder / n).exists()}
    return {**{n: round(s, 2) for n, s in sizes.items()}, "total": round(sum(sizes.values()), 2)}
