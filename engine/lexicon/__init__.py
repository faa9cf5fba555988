# SPDX-License-Identifier: GPL-3.0-or-later
"""English words that prompts and sentences are made of, and prompt words of other languages.

One place for the prompt parser, the sentence reader and the caption guard. The folder
``languages`` holds one text file per language.
"""

from __future__ import annotations

import functools

from . import nouns, small_words, verbs


@functools.lru_cache(maxsize=1)
def prompt_words() -> frozenset[str]:
    """Return every English word that the prompt parser has a use for."""
    phrases = (phrase for known in nouns.CLASS_NOUNS.values() for phrase in known)
    return frozenset(word for phrase in phrases for word in phrase.split()).union(
        verbs.PROMPT_VERBS,
        verbs.EVENT_WORDS,
        nouns.LINE_NOUNS,
        nouns.OTHER_NOUNS,
        nouns.PHRASE_PARTS,
        *small_words.OF_PROMPTS,
    )
