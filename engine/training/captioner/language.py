# SPDX-License-Identifier: GPL-3.0-or-later
"""Training sentences of the captioner: words, concepts, mirror images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...modules.bundled.captioner import END, PAD, SPECIAL, START, UNKNOWN
from ...wording.reading import says_no_change, words
from ..texts import TrainingTexts

#: Sentences per scene in LEVIR-CC.
GROUP = 5
#: Minimum number of occurrences of a word of the vocabulary.
MIN_COUNT = 5
#: Minimum share of the sentences about changed scenes that contain a concept.
MIN_SHARE = 0.008

#: Words to swap when an image is mirrored, left to right or top to bottom.
_MIRRORED = (
    {"left": "right", "right": "left"},
    {"top": "bottom", "bottom": "top", "upper": "lower", "lower": "upper"},
)

Group = tuple[tuple[str, ...], ...]


def read_groups(path: Path) -> list[Group]:
    """Read the groups of tokenised sentences about changed scenes.

    Raises:
        InputError: the lines do not form groups of five.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    groups = [lines[at : at + GROUP] for at in range(0, len(lines), GROUP)]
    unchanged = [sum(says_no_change(line) for line in group) for group in groups]
    if len(lines) % GROUP or set(unchanged) - {0, GROUP}:
        raise InputError(TrainingTexts.not_sentence_groups(file=path.name, size=GROUP))
    return [
        tuple(tuple(words(line)) for line in group)
        for group, count in zip(groups, unchanged, strict=True)
        if not count
    ]


class Language:
    """Vocabulary and concepts."""

    def __init__(self, vocabulary: Sequence[str], concepts: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self.concepts = tuple(concepts)
        self._number = {word: number for number, word in enumerate(vocabulary)}
        self._concept = {word: number for number, word in enumerate(concepts)}

    @classmethod
    def of(cls, groups: Sequence[Group]) -> Language:
        """Choose words and concepts by frequency."""
        counts = Counter(word for group in groups for sentence in group for word in sentence)
        known = sorted(word for word, count in counts.items() if count >= MIN_COUNT)
        has = Counter(word for group in groups for sentence in group for word in set(sentence))
        total = sum(len(group) for group in groups)
        concepts = sorted(word for word in known if has[word] >= MIN_SHARE * total)
        return cls([*SPECIAL, *known], concepts)

    def encode(self, sentences: Sequence[Sequence[str]], longest: int) -> np.ndarray:
        """Return (N, T) int64 tokens with start, end and padding, cut to ``longest``."""
        rows = [
            [START, *(self._number.get(word, UNKNOWN) for word in sentence), END][:longest]
            for sentence in sentences
        ]
        width = max(len(row) for row in rows)
        return np.array([row + [PAD] * (width - len(row)) for row in rows], np.int64)

    def decode(self, tokens: Iterable[int]) -> tuple[str, ...]:
        """Return the words of tokens, up to the end."""
        found = []
        for token in tokens:
            if token == END:
                break
            if token not in (START, PAD):
                found.append(self.vocabulary[token])
        return tuple(found)

    def shares(self, group: Group) -> np.ndarray:
        """Return (K,) float32: share of a group's sentences that contain each concept."""
        shares = np.zeros(len(self.concepts), np.float32)
        for sentence in group:
            for word in set(sentence):
                if word in self._concept:
                    shares[self._concept[word]] += 1 / len(group)
        return shares


def mirrored(sentence: Sequence[str], axis: int) -> tuple[str, ...]:
    """Return the sentence for the mirrored image."""
    table = _MIRRORED[axis]
    return tuple("-".join(table.get(part, part) for part in word.split("-")) for word in sentence)
