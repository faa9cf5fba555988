# SPDX-License-Identifier: GPL-3.0-or-later
"""CIDEr-D as a reward: similarity of a sentence to human ones (Vedantam et al. 2015).

Reported figures come from pycocoevalcap. This is the same measure, precomputed for many answers
to the same groups. The end of a sentence counts as a word; otherwise a rewarded decoder learns
to stop early.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import exp, log, sqrt

from ...wording.reading import words

Words = Sequence[str]
_END = "<end>"
_LONGEST = 4
#: Standard deviation of the length penalty, in words.
_SIGMA = 6.0


def grams(sentence: Words) -> Counter:
    """Count the n-grams of one to four words, including the sentence's end."""
    marked = (*sentence, _END)
    return Counter(
        marked[at : at + n] for n in range(1, _LONGEST + 1) for at in range(len(marked) - n + 1)
    )


def cider_d(answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return the mean CIDEr-D of answers, in per cent.

    Args:
        answers: N sentences.
        references: for each, the sentences of people.
    """
    scores = Consensus([[words(text) for text in group] for group in references])
    return sum(10 * scores.score(words(text), row) for row, text in enumerate(answers)) / len(
        answers
    )


class Consensus:
    """Scores answers against groups of references."""

    def __init__(self, groups: Iterable[Sequence[Words]]) -> None:
        counted = [[grams(sentence) for sentence in group] for group in groups]
        self._frequency = Counter(
            gram for group in counted for gram in {gram for one in group for gram in one}
        )
        self._total = log(max(2, len(counted)))
        self._references = [[self._vector(one) for one in group] for group in counted]

    def _vector(self, counts: Counter) -> tuple[dict, list[float], int]:
        """Return tf-idf by n-gram, its norm for each n, and the number of words."""
        vector, squares = {}, [0.0] * _LONGEST
        for gram, count in counts.items():
            value = count * (self._total - log(max(1, self._frequency.get(gram, 0))))
            vector[gram] = value
            squares[len(gram) - 1] += value * value
        length = sum(count for gram, count in counts.items() if len(gram) == 1)
        return vector, [sqrt(value) for value in squares], length

    def score(self, answer: Words, group: int, leave_out: int | None = None) -> float:
        """Return CIDEr-D of an answer, 0 to 10.

        Args:
            answer: words.
            group: index of the references.
            leave_out: index of a reference to ignore, such as the answer itself.
        """
        vector, norms, length = self._vector(grams(answer))
        references = [
            reference
            for number, reference in enumerate(self._references[group])
            if number != leave_out
        ]
        total = 0.0
        for theirs, their_norms, their_length in references:
            parts = [0.0] * _LONGEST
            for gram, value in vector.items():
                other = theirs.get(gram)
                if other:
                    parts[len(gram) - 1] += min(value, other) * other
            like = sum(
                part / (one * two)
                for part, one, two in zip(parts, norms, their_norms, strict=True)
                if one and two
            )
            total += like * exp(-((length - their_length) ** 2) / (2 * _SIGMA**2))
        return 10 * total / _LONGEST / len(references)

    def siblings(self, group: int, sentences: Sequence[Words]) -> list[float]:
        """Return the similarity of each sentence of a group to the others."""
        return [self.score(sentence, group, number) for number, sentence in enumerate(sentences)]
