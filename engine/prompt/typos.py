# SPDX-License-Identifier: GPL-3.0-or-later
"""Suggests the prompt that may have been meant, where a word has one wrong letter.

Nothing is corrected: "buldings demolished" is looked for as it is written, and
"buildings demolished" is suggested. A word that the vocabulary of the text tower holds is
never doubted, so that "trucks" are not taken for "tracks".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Optional

from ..lexicon import prompt_words
from ..text.tokenizer import VOCABULARY_PATH

_WORD = re.compile(r"[^\W\d_]+")
#: Shorter words are not doubted: one letter makes too many others of them.
_MIN_LETTERS = 4


def suggestion(text: str) -> str:
    """Return a prompt with its misspelt words put right; "" where none is known to be wrong.

    Args:
        text: what the user typed.
    """
    fixed = _WORD.sub(lambda match: _meant(match.group().lower()) or match.group(), text)
    return "" if fixed == text else " ".join(fixed.split())


@functools.lru_cache(maxsize=1024)
def _meant(word: str) -> Optional[str]:
    """Return the one word that was meant; None where the word is right, or nobody knows."""
    if len(word) < _MIN_LETTERS or word in prompt_words() or word in _vocabulary():
        return None
    near = [known for known in _one_letter_off(word) if known in prompt_words()]
    near = [known for known in near if len(known) >= _MIN_LETTERS and known[0] == word[0]]
    # Letters exchanged are likelier than a wrong one.
    return min(near, key=lambda known: sorted(known) != sorted(word), default=None)


def _one_letter_off(word: str) -> Iterator[str]:
    """Yield what one exchanged, missing, wrong or additional letter can have been."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    for i in range(len(word)):
        if i + 1 < len(word):
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        yield word[:i] + word[i + 1 :]
        for letter in letters:
            yield word[:i] + letter + word[i + 1 :]
            yield word[:i] + letter + word[i:]
    for letter in letters:
        yield word + letter


@functools.lru_cache(maxsize=1)
def _vocabulary() -> frozenset[str]:
    """Words of the language model; none where its file is missing, which the system tells."""
    try:
        return frozenset(VOCABULARY_PATH.read_text(encoding="utf-8").split())
    except OSError:
        return frozenset()
