# SPDX-License-Identifier: GPL-3.0-or-later
"""Translates the usual words of prompts in other languages into English.

A word list, not a translation: "neue Gebäude" becomes "new buildings". Words that are not
listed stay as they are. Accents may be left out, and umlauts written as two letters.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..lexicon.nouns import CLASS_NOUNS
from ..lexicon.verbs import EVENT_WORDS, PROMPT_VERBS
from ..paths import LANGUAGES
from .texts import PromptTexts

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
#: Where a language puts the verb last, as German does.
_VERB_LAST = re.compile(r"\bby\s+(.+?)\s+replaced\b")


@dataclass(frozen=True, eq=False)
class Language:
    """The words of one language.

    Attributes:
        words: foreign word or phrase -> English, "" where it means nothing in a prompt; also
            without accents, where that is no other word.
        telling: words that show that a prompt is in this language.
    """

    words: dict[str, str]
    telling: frozenset[str]

    @functools.cached_property
    def phrases(self) -> tuple[str, ...]:
        """Those of ``words`` with a space."""
        return tuple(word for word in self.words if " " in word)

    def english(self, word: str) -> str:
        """Return a word in English, or as it is where it is not listed."""
        return self.words.get(word, self.words.get(_plain(word), word))

    def tells(self, word: str) -> bool:
        """Whether a word shows that a prompt is in this language."""
        return word in self.telling or _plain(word) in self.telling


def in_english(text: str, folder: Path = LANGUAGES) -> str:
    """Return a prompt in English; "" where it is English already, or no listed word is in it."""
    known = languages(folder)
    lower = " ".join(text.lower().replace("\u2019", "'").split())
    lower = _elisions(known).sub("", lower)
    words = _WORD.findall(lower)
    counts = [sum(map(language.tells, words)) for language in known]
    most = max(counts, default=0)
    if not most or most < sum(word in _english_words() for word in words):
        return ""
    language = known[counts.index(most)]
    for phrase in language.phrases:
        lower = lower.replace(phrase, language.words[phrase])
    english = _WORD.sub(lambda match: language.english(match.group()), lower)
    english = _VERB_LAST.sub(r"replaced by \1", " ".join(english.split()))
    return re.sub(r"\s+(?=[,;.?!])", "", english).strip(" ?!.,;\u00bf\u00a1")


@functools.lru_cache(maxsize=4)
def languages(folder: Path = LANGUAGES) -> tuple[Language, ...]:
    """Read the languages of a folder, in the order of the names of the files."""
    return tuple(read_language(path) for path in sorted(folder.glob("*.txt")))


def read_language(path: Path) -> Language:
    """Read the words of a language from lines such as ``route*, rue* = road``.

    Raises:
        InputError: a line has another form, or gives a word a second meaning.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors write a byte order mark
    except ValueError as error:
        raise InputError(PromptTexts.language_not_utf8(file=path.name)) from error
    words: dict[str, str] = {}
    ambiguous = set(_english_words())
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        foreign, equals, english = line.lower().partition("=")
        for entry in map(str.strip, foreign.split(",")):
            word = entry.rstrip("*")
            if word != entry:
                ambiguous.add(word)
            if not equals or not word:
                raise InputError(PromptTexts.language_line(file=path.name, line=number))
            if word in words:
                raise InputError(PromptTexts.language_word(file=path.name, line=number, word=word))
            words[word] = english.strip()
    for word, meaning in tuple(words.items()):
        words.setdefault(_plain(word), meaning)
        two_letters = re.sub("[\u00e4\u00f6\u00fc]", lambda m: f"{_plain(m.group())}e", word)
        words.setdefault(_plain(two_letters), meaning)
    telling = {word for word, meaning in words.items() if meaning and word not in ambiguous}
    return Language(words, frozenset(telling))


@functools.lru_cache(maxsize=4)
def _elisions(known: tuple[Language, ...]) -> re.Pattern[str]:
    """Return what stands before a noun without a space, such as the French "l'"."""
    found = sorted({word for language in known for word in language.words if word.endswith("'")})
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, found))})(?=\w)" if found else r"(?!)")


def _plain(word: str) -> str:
    """Return a word without accents."""
    if word.isascii():
        return word
    apart = unicodedata.normalize("NFKD", word.replace("\u00df", "ss"))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


@functools.lru_cache(maxsize=1)
def _english_words() -> frozenset[str]:
    """English words that do not show another language; a prompt with more of them is English."""
    nouns = {word for phrases in CLASS_NOUNS.values() for noun in phrases for word in noun.split()}
    return frozenset(PROMPT_VERBS) | frozenset(EVENT_WORDS) | nouns
