# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses of the bundled model: of the change maps, and of the per-date class scores."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .scenes.labels import SOME, UNKNOWN

#: Weight of Dice beside the cross-entropy of a land-cover class.
SCENE_DICE_WEIGHT = 0.5
#: Share of a crop's pixels that change for its sentences to speak of it, at least.
SENTENCE_SHARE = 0.02


def change_loss(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Cross-entropy + Dice of (B, Q, h, w) per query; ``target`` is the changed share of a cell.

    Dice is taken per query over the whole batch: of a scene without that change
    it asks quiet, as F1 summed over a data set does, and wide roads do not
    drown small houses, as they would if the queries were summed.

    Returns:
        A scalar: the mean over the queries of which anything is known.
    """
    return _per_map(logits, target, counted, 1.0)


def _per_map(logits: Tensor, truth: Tensor, known: Tensor, dice_weight: float) -> Tensor:
    """Mean over the channels of mean cross-entropy and soft Dice, where known."""
    logits, known = logits.float(), known.float()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, known, reduction="none")
    counts = known.sum((0, 2, 3))
    entropy = entropy.sum((0, 2, 3)) / counts.clamp(min=1)
    score, truth = logits.sigmoid() * known, truth * known
    overlap, total = (score * truth).sum((0, 2, 3)), (score + truth).sum((0, 2, 3))
    dice = 1 - (2 * overlap + 1) / (total + 1)
    # Without any change to find, Dice would be 1 for every prediction.
    dice = dice * (truth.sum((0, 2, 3)) > 0)
    seen = (counts > 0).float()
    return ((entropy + dice_weight * dice) * seen).sum() / seen.sum().clamp(min=1)


def some_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy + Dice of "one of these changed", where labels do not specify which.

    The questions that have the code :data:`.labels.SOME` anywhere in a pair are one question
    there, whose answer is the highest of theirs.

    Args:
        logits: (B, Q, h, w) of all questions about a pair, whatever the direction.
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

    If sentences report that a class appeared, some unknown pixels of it must be found; if none
    does, hardly any (multiple-instance learning with a crop as the bag).

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
    """Mean squared difference of the class scores where a class did not change.

    It teaches the class branch that season, light and haze are no change, on pairs without class
    labels.

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
        state: (B, 6, H/4, W/4) uint8: 0 absent, 1 present, :data:`UNKNOWN`.
    """
    return _per_map(logits, (state == 1).float(), state != UNKNOWN, SCENE_DICE_WEIGHT)
