# SPDX-License-Identifier: GPL-3.0-or-later
"""A training pair, and the queries that are asked about it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import augment
from .labels import NUM_CLASSES, UNKNOWN, appeared
from .phrases import ABSENT, PhraseBank

#: Indices of a direction: the order in which the head is given the dates.
APPEARED, REMOVED = 0, 1


@dataclass
class PairSample:
    """Two aligned crops and what is known of them.

    Attributes:
        before: (H, W, 3) uint8.
        after: (H, W, 3) uint8.
        state_before: (H, W, 6) uint8, see :mod:`.labels`.
        state_after: the same of the later date.
        changes: (H, W, 6, 2) uint8: per class, appeared and removed (0, 1, unknown).
        weak: pairs (class, direction) of which some pixels are positive, though nobody
            knows which.
    """

    before: np.ndarray
    after: np.ndarray
    state_before: np.ndarray
    state_after: np.ndarray
    changes: np.ndarray
    weak: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def from_states(
        cls, before: np.ndarray, after: np.ndarray, was: np.ndarray, is_now: np.ndarray
    ) -> PairSample:
        """Build a pair whose change follows from the labels of its dates."""
        changes = np.stack([appeared(was, is_now), appeared(is_now, was)], -1)
        return cls(before, after, was, is_now, changes)

    def swapped(self) -> PairSample:
        """The same pair with its dates exchanged: appeared is removed and vice versa."""
        return PairSample(
            self.after, self.before, self.state_after, self.state_before,
            self.changes[..., ::-1], [(c, 1 - d) for c, d in self.weak],
        )

    def augmented(self, rng: np.random.Generator) -> PairSample:
        """Flip, turn, recolour each date by itself, misregister, exchange the dates."""
        arrays = [self.before, self.after, self.state_before, self.state_after, self.changes]
        before, after, was, is_now, changes = augment.symmetry(arrays, rng)
        if rng.random() < 0.5:
            after = augment.shift(after, rng)
        strength = float(rng.choice([0.3, 0.7, 1.0]))
        before = augment.photometric(before, rng, strength)
        after = augment.photometric(after, rng, strength)
        pair = PairSample(before, after, was, is_now, changes, self.weak)
        return pair.swapped() if rng.random() < 0.5 else pair


@dataclass
class Asked:
    """One query about a pair.

    Attributes:
        phrase: row of the phrase bank.
        direction: :data:`APPEARED` or :data:`REMOVED`.
        target: (H, W) uint8.
        weak: some pixels are positive, ``target`` does not say which.
    """

    phrase: int
    direction: int
    target: np.ndarray
    weak: bool = False


def ask(
    pair: PairSample, count: int, bank: PhraseBank, rng: np.random.Generator
) -> list[Asked]:
    """Choose queries about a pair: a change that happened, others, an absent thing.

    Args:
        pair: what is asked about.
        count: number of queries.
        bank: phrases.
        rng: source of randomness.
    """
    sparse = pair.changes[1::3, 1::3]  # every ninth pixel is enough to see what is there
    positive = (sparse == 1).mean((0, 1))
    known = (sparse != UNKNOWN).mean((0, 1))
    happened = [tuple(p) for p in np.argwhere(positive > 0.001)]
    answerable = [tuple(p) for p in np.argwhere(known > 0.05)]
    chosen: list[tuple[int, int]] = []
    if happened:
        chosen.append(happened[rng.integers(len(happened))])
    if pair.weak and rng.random() < 0.6:
        chosen.append(pair.weak[rng.integers(len(pair.weak))])
    if chosen and rng.random() < 0.5:
        opposite = (chosen[0][0], 1 - chosen[0][1])
        if opposite in answerable:
            chosen.append(opposite)
    queries = []
    weak = set(pair.weak)
    for index, direction in chosen[:count]:
        target = pair.changes[..., index, direction]
        is_weak = (index, direction) in weak and known[index, direction] < 0.5
        queries.append(Asked(bank.sample(int(index), rng), int(direction), target, is_weak))
    while len(queries) < count:
        if answerable and rng.random() < 0.6:
            index, direction = answerable[rng.integers(len(answerable))]
            target = pair.changes[..., index, direction]
            queries.append(Asked(bank.sample(int(index), rng), int(direction), target))
        else:
            nothing = np.zeros(pair.before.shape[:2], np.uint8)
            queries.append(Asked(bank.sample(ABSENT, rng), int(rng.integers(2)), nothing))
    return queries


def nothing_known(height: int, width: int) -> np.ndarray:
    """Return a state (H, W, 6) that says nothing."""
    return np.full((height, width, NUM_CLASSES), UNKNOWN, np.uint8)
