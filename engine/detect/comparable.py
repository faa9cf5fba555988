# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not be compared: hidden ground, shifted dates, deep shadow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Optional

import numpy as np

from ..raster.comparison.alignment import align
from ..raster.comparison.clouds import find_clouds
from ..raster.comparison.quality import hidden_share
from ..raster.radiometry import sample_windows
from .texts import DetectTexts

if TYPE_CHECKING:
    from ..raster.common_grid import CommonGrid
    from ..raster.grid import Grid
    from ..raster.reader import RasterSource
    from ..request import Alignment, ChangeRequest
    from .rasters import Pair
    from .run import Monitor

#: Levels of 255: deep shadow has no band above the first, on the other date none below the second.
DARK, BRIGHT = 12, 60
#: Share of the area in deep shadow that gives a warning.
MIN_DARK_SHARE = 0.02


def leave_out(
    request: ChangeRequest,
    before: RasterSource,
    after: RasterSource,
    grid: CommonGrid,
    monitor: Monitor,
) -> dict[str, float]:
    """Leave out clouds; return and report the share of each raster that is left out."""
    hidden = {}
    texts = DetectTexts
    for date, source, message in (
        ("before", before, texts.hidden_before),
        ("after", after, texts.hidden_after),
    ):
        if source.excluded:
            share = hidden[f"mask_{date}"] = hidden_share(source, grid.output)
            monitor.warn(message(share=share))
    if request.clouds == "off":
        return hidden
    for date, source, found, message in zip(
        ("before", "after"),
        (before, after),
        find_clouds(before, after, grid.working),
        (texts.clouds_before, texts.clouds_after),
    ):
        if found is not None:
            source.excluded.append(found.hidden)
            clouds, shadows = float(found.clouds.mean()), float(found.shadows.mean())
            hidden.update({f"clouds_{date}": clouds, f"shadows_{date}": shadows})
            monitor.warn(message(clouds=clouds, shadows=shadows))
    return hidden


def deep_shadow(pair: Pair, grid: Grid, monitor: Monitor) -> dict[str, float]:
    """Return and report the share of each raster in deep shadow that is bright on the other date.

    Shares are of windows spread over the area.
    """
    counts, total = np.zeros(2), 0
    for window in sample_windows(grid):
        *images, valid = pair.read(window)
        dark = [image.max(axis=2) <= DARK for image in images]
        bright = [image.min(axis=2) >= BRIGHT for image in images]
        counts += [(dark[date] & bright[1 - date] & valid).sum() for date in (0, 1)]
        total += int(valid.sum())
    shares = (counts / max(total, 1)).tolist()
    for share, message in zip(shares, (DetectTexts.dark_before, DetectTexts.dark_after)):
        if share >= MIN_DARK_SHARE:
            monitor.warn(message(share=share))
    return dict(zip(("dark_before", "dark_after"), shares))


def aligned(
    request: ChangeRequest, grid: CommonGrid, pair: Pair, monitor: Monitor
) -> tuple[Optional[Alignment], Pair]:
    """Measure the shift between the rasters, and make up for it where the request says so."""
    if request.align == "off":
        return None, pair
    auto = request.align == "auto"
    alignment, move = align(pair.before, pair.after, grid.output, grid.working, auto=auto)
    if alignment.state == "shifted" or (auto and alignment.state != "aligned"):
        monitor.warn(alignment.text)
    return alignment, replace(pair, move=move)
