# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn likelihoods and outlines into scores with the decision threshold 0.5.

All functions are symmetric: swapping the dates swaps "appeared" and "removed" bit by bit. A score
that depends on several conditions is the minimum of their scores.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Margin over the best competing class from which the object counts as present.
MIN_MARGIN = 0.1
#: Minimum angle in degrees between the features of both dates. AnyChange measures the angle to the
#: *negated* feature and keeps angles below 145 to 155 degrees; this is 180 minus their middle.
MIN_ANGLE = 30.0
#: Minimum change of the likelihood of stuff.
MIN_DIFFERENCE = 0.3
#: Minimum height of a peak.
MIN_PEAK = 0.1
#: Minimum distance of peaks in pixels.
PEAK_DISTANCE = 8
#: Maximum number of peaks per tile; the highest are kept.
MAX_PEAKS = 128
#: Changes that differ by less than this form a plateau.
_PLATEAU = 1e-3
#: Stuff narrower than this many pixels is noise.
OPENING = 3
#: Stuff up to this many pixels wide, next to unchanged stuff, is misregistration.
SLIVER = 6
_OTSU_BINS = 64


class Scores(NamedTuple):
    """Scores in [0, 1] of both directions; 0.5 is the threshold."""

    appeared: Tensor
    removed: Tensor


def calibrate(value: Tensor, threshold: float, top: float = 1.0) -> Tensor:
    """Map 0 to 0, ``threshold`` to 0.5 and ``top`` to 1, piecewise linear and clamped."""
    below = 0.5 * value / threshold
    above = 0.5 + 0.5 * (value - threshold) / (top - threshold)
    return torch.where(value < threshold, below, above).clamp(0, 1)


def peaks(before: Tensor, after: Tensor) -> Tensor:
    """Return (column, row) of the largest changes of likelihood (H, W), at most :data:`MAX_PEAKS`.

    The map is coarse, so many new houses may form one plateau. A plateau gets one point per cell.
    """
    change = (after - before).abs()
    height, width = change.shape
    side = 2 * PEAK_DISTANCE + 1
    highest = F.max_pool2d(change[None], side, 1, PEAK_DISTANCE)[0]
    is_peak = (change >= highest - _PLATEAU) & (change >= MIN_PEAK)
    # The highest point of a cell is kept; among equal ones the one nearest to the centre.
    cell = 2 * PEAK_DISTANCE
    y, x = (torch.arange(n, device=change.device) % cell for n in (height, width))
    middle = (cell - 1) / 2
    off = torch.hypot((y - middle)[:, None], (x - middle)[None])
    rank = torch.where(is_peak, change - _PLATEAU * off / cell, -torch.inf)
    # Padding is never chosen, since max_pool2d pads with minus infinity.
    best, index = F.max_pool2d(rank[None, None], cell, cell, ceil_mode=True, return_indices=True)
    found = index[best > -torch.inf]
    order = change.flatten()[found].argsort(descending=True, stable=True)[:MAX_PEAKS]
    found = found[order]
    return torch.stack([found % width, found // width], 1)


def mean_in(masks: Tensor, planes: Tensor) -> Tensor:
    """Return the means (M, G) of planes (G, H, W) within masks (M, H, W), none empty."""
    flat = masks.flatten(1).float()
    return flat @ planes.flatten(1).T / flat.sum(1, keepdim=True)


def margins(masks: Tensor, likelihood: Tensor) -> Tensor:
    """Return the margin (M,) of plane 0, the object, over its best rival in masks (M, H, W)."""
    mean = mean_in(masks, likelihood)
    return mean[:, 0] - mean[:, 1:].amax(1)


def centred(features: Tensor) -> Tensor:
    """Return features (C, h, w) as (h w, C), normalised per place as AnyChange does for SAM."""
    return F.layer_norm(features.flatten(1).T, (len(features),))


def angle_between(one: Tensor, other: Tensor) -> Tensor:
    """Return the angles in degrees between rows of (N, C) and (N, C); 90 if one is zero."""
    cosine = (F.normalize(one, dim=1) * F.normalize(other, dim=1)).sum(1)
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))


def change_angles(masks: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Return the angle between the mean features of the two dates within masks, in degrees.

    Args:
        masks: (M, H, W) bool, none empty.
        before: (s s, C) from :func:`centred`; SAM 2 resizes every image to a square.
        after: the same for the later date.

    Returns:
        (M,) in [0, 180].
    """
    side = math.isqrt(len(before))
    shares = F.adaptive_avg_pool2d(masks.float(), (side, side)).flatten(1)
    return angle_between(shares @ before, shares @ after)


def otsu(values: Tensor) -> float:
    """Return the threshold midway between two groups (Otsu, 1979); the maximum if all are equal."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6:
        return high
    counts = torch.histc(values.double().cpu(), _OTSU_BINS, low, high)
    step = (high - low) / _OTSU_BINS
    centres = low + step * (torch.arange(_OTSU_BINS, dtype=torch.float64) + 0.5)
    weight = counts.cumsum(0)
    total = (counts * centres).cumsum(0)
    lower, upper = total / weight.clamp(min=1), (total[-1] - total) / (weight[-1] - weight)
    variance = weight * (weight[-1] - weight) * (lower - upper) ** 2
    # The variance is constant within a gap between the groups; take its middle.
    best = (variance[:-1] >= variance[:-1].max() * (1 - 1e-9)).nonzero()[:, 0]
    return low + step * (float(best[0] + best[-1]) / 2 + 1)


def decide_masks(
    before: Tensor, after: Tensor, angle: Tensor, least_angle: float = MIN_ANGLE
) -> Scores:
    """Score each outline for an object that appeared or was removed.

    Appeared means present after and absent before, removed the reverse; both need changed features.

    Args:
        before: (M,) margin of the object on the earlier date, from :func:`margins`.
        after: (M,) margin on the later date.
        angle: (M,) from :func:`change_angles`.
        least_angle: minimum angle of changed features, in degrees.
    """
    changed = calibrate(angle, least_angle, 180.0)
    was, there = calibrate(before, MIN_MARGIN), calibrate(after, MIN_MARGIN)
    return Scores(
        torch.minimum(torch.minimum(there, 1 - was), changed),
        torch.minimum(torch.minimum(was, 1 - there), changed),
    )


def paint(masks: Tensor, scores: Tensor) -> Tensor:
    """Return (H, W): the highest score of the masks (M, H, W) at each pixel; M at least 1."""
    return (masks * scores[:, None, None]).amax(0)


def opened(plane: Tensor, side: int) -> Tensor:
    """Return the grey-value opening of (H, W) by a square; removes narrower features."""
    least = -F.max_pool2d(-plane[None], side, 1, side // 2)
    return F.max_pool2d(least, side, 1, side // 2)[0]


def decide_stuff(before: Tensor, after: Tensor) -> Scores:
    """Score pixel by pixel for classes without countable objects: trees, grass, water, roads.

    Narrow bands next to stuff present on both dates are misregistration, not change. A new narrow
    road that branches off an old one only loses the pixels next to it.
    """
    stayed = (torch.minimum(before, after) >= 0.5).float()
    reach = 2 * SLIVER + 1
    beside = F.max_pool2d(stayed[None], reach, 1, SLIVER)[0] > 0
    planes = []
    for difference in (after - before, before - after):
        score = calibrate(difference, MIN_DIFFERENCE)
        planes.append(torch.where(beside, opened(score, SLIVER + 1), opened(score, OPENING)))
    return Scores(*planes)
