# SPDX-License-Identifier: GPL-3.0-or-later
"""Suggests a prompt without its misspelt words.

Nothing is corrected: "buldings demolished" is looked for as written, and "buildings demolished"
is suggested. A word in the vocabulary of the text encoder is taken as right, so that "trucks"
does not become "tracks".
"""

from __future__ import annotations

import functools
import operator
import re
from difflib import get_close_matches
from typing import Optional

from ..lexicon import prompt_words
from ..text.tokenizer import VOCABULARY_PATH

_WORD = re.compile(r"[^\W\d_]+")
#: In shorter words one wrong letter makes too many other words.
_MIN_LETTERS = 4


def suggestion(text: str) -> str:
    """Return a prompt with its misspelt words put right; "" if there are none."""
    fixed = _WORD.sub(lambda match: _meant(match.group().lower()) or match.group(), text)
    return "" if fixed == text else " ".join(fixed.split())


@functools.lru_cache(maxsize=1024)
def _meant(word: str) -> Optional[str]:
    """Return the word with one letter wrong, missing, added or moved; None if there is none."""
    if len(word) < _MIN_LETTERS or word in prompt_words() or word in _vocabulary():
        return None
    known = [k for n in (-1, 0, 1) for k in _by_start().get((word[0], len(word) + n), ())]
    # The ratio of one wrong letter; one that is missing or added has a higher ratio.
    near = get_close_matches(word, known, n=len(known) or 1, cutoff=1 - 1 / len(word) - 1e-9)
    near = [other for other in near if len(other) != len(word) or _one_wrong(word, other)]
    # A letter in the wrong place is likelier than a wrong letter.
    return min(near, key=lambda other: sorted(other) != sorted(word), default=None)


def _one_wrong(word: str, other: str) -> bool:
    """Whether words of one length differ in one letter, or in the place of one."""
    return sorted(word) == sorted(other) or sum(map(operator.ne, word, other)) == 1


@functools.lru_cache(maxsize=1)
def _by_start() -> dict[tuple[str, int], list[str]]:
    """Return the words of the lexicon by first letter and length."""
    groups: dict[tuple[str, int], list[str]] = {}
    for word in sorted(prompt_words()):
        if len(word) >= _MIN_LETTERS and word.isalpha():
            groups.setdefault((word[0], len(word)), []).append(word)
    return groups


@functools.lru_cache(maxsize=1)
def _vocabulary() -> frozenset[str]:
    """Words of the text encoder; none where its file is missing, which the system reports."""
    try:
        return frozenset(VOCABULARY_PATH.read_text(encoding="utf-8").split())
    except OSError:
        return frozenset()
