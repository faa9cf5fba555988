# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture sheets: before, after, truth, score, errors, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np
from PIL import Image

#: Colours of hits, false alarms and misses.
HIT, FALSE_ALARM, MISS = (255, 255, 255), (255, 60, 60), (60, 140, 255)


def row_of_pictures(
    before: np.ndarray,
    after: np.ndarray,
    score: np.ndarray,
    truth: Optional[np.ndarray] = None,
    side: int = 512,
) -> np.ndarray:
    """Return one row: before, after, score, after with what was found, errors if truth is known.

    Args:
        before: (H, W, 3) uint8.
        after: (H, W, 3) uint8.
        score: (H, W) in [0, 1].
        truth: (H, W), > 0 is change.
        side: of each picture in pixels.
    """
    found = score >= 0.5
    overlay = after.copy()
    overlay[found] = overlay[found] // 2 + np.array([127, 0, 90], np.uint8)
    grey = np.repeat((score * 255).astype(np.uint8)[..., None], 3, 2)
    pictures = [before, after, grey, overlay]
    if truth is not None:
        errors = np.zeros_like(before)
        changed = truth > 0
        errors[found & changed] = HIT
        errors[found & ~changed] = FALSE_ALARM
        errors[~found & changed] = MISS
        pictures.append(errors)
    resized = [np.asarray(Image.fromarray(p).resize((side, side))) for p in pictures]
    return np.concatenate(resized, 1)


def write_sheet(rows: Sequence[np.ndarray], path: Path) -> None:
    """Write rows below each other as a JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(list(rows))).save(path, quality=88)
