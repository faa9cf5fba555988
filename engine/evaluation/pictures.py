# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture sheets: before, after, truth, score, errors, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

#: Colours of hits, false alarms and misses, distinct for colour-blind readers.
HIT, FALSE_ALARM, MISS = (255, 255, 255), (255, 90, 40), (40, 130, 255)
COLUMNS = ("before", "after", "truth", "score", "white: found, orange: too much, blue: missed")
#: Side of a picture and height of a line of text, in pixels.
SIDE, LINE = 384, 16


def row_of_pictures(
    before: np.ndarray,
    after: np.ndarray,
    score: np.ndarray,
    truth: np.ndarray | None,
    title: str,
    found: np.ndarray | None = None,
    reach: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Return one row of the sheet, (SIDE + LINE, 5 SIDE, 3) uint8.

    Args:
        before: (H, W, 3) uint8.
        after: (H, W, 3) uint8.
        score: (H, W) in [0, 1].
        truth: (H, W), > 0 is change; None if unknown: detections then overlay the later date.
        title: text above the row.
        found: (H, W) bool; None is a score of at least 0.5.
        reach: tolerance in pixels between detection and truth.
    """
    if found is None:
        found = score >= 0.5
    grey = np.repeat((np.clip(score, 0, 1) * 255).astype(np.uint8)[..., None], 3, 2)
    if truth is None:
        white = np.full_like(before, 127)
        errors = after.copy()
        errors[found] = errors[found] // 2 + np.array([127, 0, 90], np.uint8)
    else:
        changed = np.asarray(truth) > 0
        white = np.repeat((changed * np.uint8(255))[..., None], 3, 2)
        errors = np.zeros_like(before)
        errors[found & ~_near(changed, reach[0])] = FALSE_ALARM
        errors[changed & ~_near(found, reach[1])] = MISS
        errors[found & _near(changed, reach[0])] = HIT
    images = [np.ascontiguousarray(image) for image in (before, after, white, grey, errors)]
    small = [np.asarray(Image.fromarray(image).resize((SIDE, SIDE))) for image in images]
    return np.concatenate([_text_line((title,)), np.concatenate(small, 1)])


def write_sheet(rows: Sequence[np.ndarray], path: Path) -> None:
    """Write rows under the names of the columns, as a JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.part.jpg")
    Image.fromarray(np.concatenate([_text_line(COLUMNS), *rows])).save(part, quality=88)
    part.replace(path)


def _near(mask: np.ndarray, reach: int) -> np.ndarray:
    """Return the pixels within ``reach`` of a mask."""
    if not reach or not mask.any():
        return mask
    return ndimage.distance_transform_edt(~mask) <= reach


def _text_line(texts: Sequence[str]) -> np.ndarray:
    """Return a line of text, one text per column."""
    picture = Image.new("RGB", (SIDE * len(COLUMNS), LINE), (30, 30, 30))
    pen = ImageDraw.Draw(picture)
    for column, text in enumerate(texts):
        pen.text((4 + column * SIDE, 2), text, fill=(235, 235, 235))
    return np.asarray(picture)
