# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses of the bundled model: eq. 9 of LG-CD, and the per-date class loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Weights of cross-entropy, IoU and Dice in eq. 9 (alpha 0.2, beta 0.1).
CE_WEIGHT, IOU_WEIGHT, DICE_WEIGHT = 0.7, 0.2, 0.1
#: Target value of a pixel about which nothing is known.
UNKNOWN = 255


def map_loss(logits: Tensor, target: Tensor) -> Tensor:
    """0.7 CE + 0.2 IoU + 0.1 Dice of one output map (a term of eq. 9).

    IoU and Dice are soft, and taken per query, over those queries whose object
    did change: summed over the batch, wide roads would drown small houses.

    Args:
        logits: (B, 1, H, W).
        target: (B, H, W) uint8: 0, 1, or :data:`UNKNOWN`, which does not count.

    Returns:
        A scalar.
    """
    logits = logits[:, 0].float()
    known = (target != UNKNOWN).float()
    truth = (target == 1).float()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, known, reduction="sum")
    entropy = entropy / known.sum().clamp(min=1)
    score = logits.sigmoid() * known
    overlap = (score * truth).sum((1, 2))
    total = score.sum((1, 2)) + truth.sum((1, 2))
    changed = (truth.sum((1, 2)) > 0).float()
    iou = 1 - (overlap + 1) / (total - overlap + 1)
    dice = 1 - (2 * overlap + 1) / (total + 1)
    region = ((IOU_WEIGHT * iou + DICE_WEIGHT * dice) * changed).sum() / changed.sum().clamp(min=1)
    return CE_WEIGHT * entropy + region


def total_loss(similarity: Tensor, side_maps: list[Tensor], target: Tensor) -> Tensor:
    """Eq. 9: the mean over the six output maps.

    The similarity map, which is what the product uses, is compared at full
    resolution; the five others at stride 4, to save time.

    Args:
        similarity: (B, 1, H/4, W/4) logits.
        side_maps: five maps of logits (B, 1, h_i, w_i).
        target: (B, H, W) uint8.
    """
    full = F.interpolate(similarity.float(), scale_factor=4, mode="bilinear", align_corners=False)
    terms = [map_loss(full, target)]
    coarse = target[:, 2::4, 2::4]
    for side in side_maps:
        resized = F.interpolate(
            side.float(), size=coarse.shape[1:], mode="bilinear", align_corners=False
        )
        terms.append(map_loss(resized, coarse))
    return torch.stack(terms).mean()


def steady_loss(before: Tensor, after: Tensor, steady: Tensor) -> Tensor:
    """Mean squared difference of the class scores where a class did not change.

    It teaches the class branch, on pairs whose classes nobody labelled, that
    season, light and haze are no change.

    Args:
        before: (B, 6, h, w) logits.
        after: the same of the later date.
        steady: (B, 6, h, w) bool.
    """
    difference = before.float().sigmoid() - after.float().sigmoid()
    return (difference.square() * steady).sum() / steady.sum().clamp(min=1)


def class_loss(logits: Tensor, state: Tensor) -> Tensor:
    """Binary cross-entropy + Dice per land-cover class, where the class is known.

    Args:
        logits: (B, 6, H/4, W/4).
        state: (B, 6, H, W) uint8: 0 absent, 1 present, :data:`UNKNOWN`.
    """
    state = state[:, :, 2::4, 2::4]
    logits = logits.float()
    known = (state != UNKNOWN).float()
    truth = (state == 1).float()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, known, reduction="none")
    per_class = known.sum((0, 2, 3))
    entropy = entropy.sum((0, 2, 3)) / per_class.clamp(min=1)
    score = logits.sigmoid() * known
    overlap = (score * truth).sum((0, 2, 3))
    dice = 1 - (2 * overlap + 1) / (score.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)
    seen = (per_class > 0).float()
    return ((entropy + 0.5 * dice) * seen).sum() / seen.sum().clamp(min=1)
