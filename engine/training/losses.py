# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses of the bundled model, for the change maps and the per-date class scores."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .scenes.labels import SOME, UNKNOWN

#: Weight of Dice relative to the cross-entropy of a land-cover class.
SCENE_DICE_WEIGHT = 0.5
#: Minimum share of changed pixels in a crop whose sentences report the change.
SENTENCE_SHARE = 0.02


def change_loss(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Cross-entropy + Dice of (B, Q, h, w) per query; ``target`` is the changed share of a cell.

    Dice is computed per query over the whole batch. Like F1 summed over a data set, it penalises
    false alarms in scenes without the change, and wide roads do not outweigh small houses, as
    they would in a sum over queries.

    Returns:
        A scalar: the mean over the queries with known pixels.
    """
    return _per_map(logits, target, counted, 1.0)


def _per_map(logits: Tensor, truth: Tensor, known: Tensor, dice_weight: float) -> Tensor:
    """Return the mean over channels of cross-entropy plus soft Dice, over known pixels."""
    logits, known = logits.float(), known.float()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, known, reduction="none")
    counts = known.sum((0, 2, 3))
    entropy = entropy.sum((0, 2, 3)) / counts.clamp(min=1)
    score, truth = logits.sigmoid() * known, truth * known
    overlap, total = (score * truth).sum((0, 2, 3)), (score + truth).sum((0, 2, 3))
    dice = 1 - (2 * overlap + 1) / (total + 1)
    # Without any change, Dice would be 1 for every prediction.
    dice = dice * (truth.sum((0, 2, 3)) > 0)
    seen = (counts > 0).float()
    return ((entropy + dice_weight * dice) * seen).sum() / seen.sum().clamp(min=1)


def some_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy + Dice of "one of these changed", where labels do not specify which.

    The queries of a pair with the code :data:`.labels.SOME` anywhere count as one query there,
    with the highest of their logits.

    Args:
        logits: (B, Q, h, w) of all queries of a pair, in both directions.
        targets: the same shape, uint8, with counts of changed pixels, UNKNOWN, or SOME.

    Returns:
        A scalar, 0 where no pair has the code.
    """
    candidates = (targets == SOME).any(-1).any(-1)
    pairs = candidates.any(1)
    if not pairs.any():
        return logits.sum() * 0
    logits, targets = logits[pairs], targets[pairs]
    candidates = candidates[pairs][:, :, None, None]
    highest = logits.float().masked_fill(~candidates, -1e4).amax(1, keepdim=True)
    some = (targets == SOME).any(1, keepdim=True)
    none = ((targets == 0) | ~candidates).all(1, keepdim=True)
    return _per_map(highest, some.float(), some | none, 1.0)


def sentence_loss(logits: Tensor, reported: Tensor) -> Tensor:
    """Cross-entropy of "somewhere in this crop": the mean of a crop's highest logits.

    If sentences report that a class appeared, some pixels must be found, wherever they are; if
    none does, hardly any (multiple-instance learning with a crop as the bag).

    Args:
        logits: (B, Q, h, w).
        reported: (B, Q) uint8: 1 reported, 0 not reported, :data:`UNKNOWN`.

    Returns:
        A scalar, 0 where nothing is known.
    """
    known = reported != UNKNOWN
    if not known.any():
        return logits.sum() * 0
    crops = logits.float()[known].flatten(1)
    highest = crops.topk(max(1, round(SENTENCE_SHARE * crops.shape[1]))).values.mean(1)
    return F.binary_cross_entropy_with_logits(highest, reported[known].float())


def steady_loss(before: Tensor, after: Tensor, steady: Tensor) -> Tensor:
    """Mean squared difference of the class scores where a class is unchanged.

    It makes the class branch invariant to season, light and haze, on pairs without class labels.

    Args:
        before: (B, 6, h, w) logits.
        after: the same of the later date.
        steady: (B, 6, h, w) bool.
    """
    difference = before.float().sigmoid() - after.float().sigmoid()
    return (difference.square() * steady).sum() / steady.sum().clamp(min=1)


def class_loss(logits: Tensor, state: Tensor) -> Tensor:
    """Binary cross-entropy + Dice per land-cover class, over known pixels.

    Args:
        logits: (B, 6, H/4, W/4).
        state: (B, 6, H/4, W/4) uint8: 0 absent, 1 present, :data:`UNKNOWN`.
    """
    return _per_map(logits, (state == 1).float(), state != UNKNOWN, SCENE_DICE_WEIGHT)
