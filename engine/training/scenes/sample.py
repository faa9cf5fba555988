# SPDX-License-Identifier: GPL-3.0-or-later
"""A training pair: two aligned crops with labels of their classes and changes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .. import augment
from .labels import NUM_CLASSES, SOME, UNKNOWN, appeared

#: Indices of the directions, by the order of the dates given to the head.
APPEARED, REMOVED = 0, 1
#: Pixels per cell of the change targets, see :meth:`PairSample.targets`.
CELL = 2


def no_sentences() -> np.ndarray:
    """Return the sentence labels of a pair without sentences, (6, 2) uint8: all unknown."""
    return np.full((NUM_CLASSES, 2), UNKNOWN, np.uint8)


@dataclass
class PairSample:
    """Two aligned crops and their labels.

    Attributes:
        before: (H, W, 3) uint8.
        after: (H, W, 3) uint8.
        state_before: (H, W, 6) uint8, see :mod:`.labels`.
        state_after: the same for the later date.
        changes: (H, W, 6, 2) uint8: per class, appeared and removed (0, 1, unknown, or
            :data:`.labels.SOME`: at least one of those with this code).
        sentences: (6, 2) uint8: whether sentences about the crop report that a class appeared or
            was removed (0, 1, unknown).
    """

    before: np.ndarray
    after: np.ndarray
    state_before: np.ndarray
    state_after: np.ndarray
    changes: np.ndarray
    sentences: np.ndarray = field(default_factory=no_sentences)

    @classmethod
    def from_states(
        cls, before: np.ndarray, after: np.ndarray, was: np.ndarray, is_now: np.ndarray
    ) -> PairSample:
        """Build a pair; its changes follow from the labels of both dates."""
        changes = np.stack([appeared(was, is_now), appeared(is_now, was)], -1)
        return cls(before, after, was, is_now, changes)

    def swapped(self) -> PairSample:
        """Return the pair with its dates and directions swapped."""
        return PairSample(
            self.after,
            self.before,
            self.state_after,
            self.state_before,
            self.changes[..., ::-1],
            self.sentences[:, ::-1],
        )

    def with_parts_of(self, other: PairSample, where: np.ndarray) -> PairSample:
        """Return this pair with another one pasted under the mask (H, W), on both dates.

        Sentences about the whole pairs are dropped, since they need not hold for the mixture.
        """
        mine = (self.before, self.after, self.state_before, self.state_after, self.changes)
        theirs = (other.before, other.after, other.state_before, other.state_after, other.changes)
        mixed = []
        for ours, new in zip(mine, theirs, strict=True):
            array = ours.copy()
            array[where] = new[where]
            mixed.append(array)
        return PairSample(*mixed)

    def augmented(
        self, rng: np.random.Generator, strength: float = 1.0, tint: float = 0.0
    ) -> PairSample:
        """Flip, rotate, misregister, recolour each date independently, swap the dates.

        Args:
            rng: source of randomness.
            strength: of the recolouring, see :func:`..augment.photometric`.
            tint: probability of :func:`..augment.tint`; half of the time both dates get the same.
        """
        arrays = [self.before, self.after, self.state_before, self.state_after, self.changes]
        pair = PairSample(*augment.symmetry(arrays, rng), self.sentences)
        if rng.random() < 0.5 * strength:
            pair = pair.misregistered(rng)
        strength *= float(rng.choice([0.3, 0.7, 1.0]))
        pair.before = augment.photometric(pair.before, rng, strength)
        pair.after = augment.photometric(pair.after, rng, strength)
        if tint and rng.random() < tint:
            seeds = rng.integers(2**32, size=2)
            second = seeds[int(rng.random() < 0.5)]
            pair.before = augment.tint(pair.before, np.random.default_rng(seeds[0]))
            pair.after = augment.tint(pair.after, np.random.default_rng(second))
        return pair.swapped() if rng.random() < 0.5 else pair

    def misregistered(self, rng: np.random.Generator) -> PairSample:
        """Shift the earlier date with its labels, those of removed objects.

        Labels of appeared objects belong to the later date and stay: a label that does not follow
        its image teaches outlines that are one or two pixels off.
        """
        moved = augment.shift([self.before, self.state_before, self.changes[..., REMOVED]], rng)
        before, was, removed = moved
        changes = np.stack([self.changes[..., APPEARED], removed], -1)
        return PairSample(before, self.after, was, self.state_after, changes, self.sentences)

    def targets(self) -> np.ndarray:
        """Return the targets of the change head, at its output resolution.

        Returns:
            (2, 6, H/2, W/2) uint8: by direction and class, the number of changed pixels of a
            cell's four; unknown or :data:`.labels.SOME` if any of them is.
        """
        height, width = self.changes.shape[:2]
        cells = self.changes.reshape(height // CELL, CELL, width // CELL, CELL, NUM_CLASSES, 2)
        count = (cells == 1).sum((1, 3), dtype=np.uint8)
        count[(cells == UNKNOWN).any((1, 3))] = UNKNOWN
        count[(cells == SOME).any((1, 3))] = SOME
        return count.transpose(3, 2, 0, 1)


def nothing_known(height: int, width: int) -> np.ndarray:
    """Return an all-unknown state (H, W, 6)."""
    return np.full((height, width, NUM_CLASSES), UNKNOWN, np.uint8)
