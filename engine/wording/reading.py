# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads sentences like those of LEVIR-CC: which objects appeared, and which were removed.

The sentences are short and their grammar is loose ("trees are removed and a turning road with
villas built along appears"), so they are read word by word: nouns wait for a verb, and nouns
behind a preposition of place do not count.

- "houses are built along the road" says nothing about roads, "along a new road" does.
- "villas replace the woods", "woods are replaced by villas", "the woods have turned into villas"
  and "villas appear in place of woods" mean the same two events.
- "rebuilt" or "widened" only *hint* at an event: there is a new surface in an old place.
- "plants" and "vegetation" are trees: where one annotator writes them, another writes "trees" of
  the same crop. Shrubs only hint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from ..lexicon.nouns import SCRUB, SENTENCE_NOUNS
from ..lexicon.small_words import NEW, SENTENCE_PLACE
from ..lexicon.verbs import ACTIVE, ADJECTIVES, HINTS, REPLACE, SENTENCE_VERBS
from ..request import APPEARED, REMOVED

#: LEVIR-CC's sentences for pairs without changes.
NO_CHANGE = (
    "the scene is the same as before",
    "there is no difference",
    "the two scenes seem identical",
    "no change has occurred",
    "almost nothing has changed",
)
#: Beginnings of factual captions where nothing was found.
_FACTUAL_NO_CHANGE = (["no", "change", "matching"], ["no", "change", "was"])
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")

#: (class name, direction).
Event = tuple[str, str]

#: Word -> class, of the classes that LEVIR-CC's sentences are about.
_CLASS_OF = {word: name for name in ("building", "road", "tree") for word in SENTENCE_NOUNS[name]}

_UNCHANGED = re.compile(
    r"\b(no (?:\w+ ){0,2}(?:differen\w*|chang\w*)|nothing|identical|same as|unchanged|"
    r"not changed|scenes? (?:is|are|seems?|remains?) (?:the )?same)\b"
)
#: Phrases as one word; applied in this order.
_REWRITES = tuple(
    (re.compile("|".join(patterns)), instead)
    for instead, *patterns in (
        ("site", r"\bconstruction sites?\b"),
        ("houses", r"\bresidential (?:area|district|quarter|zone|communit|block|neighbo\w+)\w*"),
        (
            "replaces",
            r"\b(?:takes?|taking|took) (?:up )?(?:the )?place of\b",
            r"\btaken the place of\b",
        ),
        (
            "instead-of",
            r"\bin (?:the )?place of\b",
            r"\bin(?:stead| lieu) of\b",
            r"\bto (?:replace|take the place of)\b",
        ),
        (
            "changed",
            (
                r"\b(?:turn|becom|became)(?:s|e|es|ed|ing)? "
                r"(?:more \w+|\w+er\b|short|green|yellow|lush|vibrant|sparse)"
            ),
        ),
        ("and", r"\bas well as\b", r"\b(?:together|along) with\b"),
        (
            "removed",
            r"\b(?:cut|pulled|torn|knocked|chopped) (?:down|off|up|out)\b",
            r"\bno longer\b",
        ),
        (
            "appear",
            r"\b(?:shows?|showed|showing|com(?:es?|ing)|springs?|sprang|pops?|popped) up\b",
            r"\b(?:set|put) up\b",
            r"\bcom(?:es?|ing) (?:out|into being)\b",
        ),
        (
            "becomes",
            r"\b(?:turn|chang|transform|convert|develop)(?:s|e|es|ed|ing)? (?:into|to|as)\b",
            r"\b(?:becomes?|became|becoming)\b",
            r"\b(?:gives?|gave|giving|makes?|made|making) way (?:to|for)\b",
            r"\b(?:is|are) now\b",
        ),
        (
            "replaced-by",
            (
                r"\b(?:replaced|covered|filled|occupied|taken(?: up| over)?|substituted|superseded)"
                r" (?:by|with)\b"
            ),
        ),
        ("", r"\bcross (?=roads?\b)"),
    )
)

_REMOVE = frozenset(verb for verb, way in SENTENCE_VERBS.items() if way == REMOVED)
_VERBS = SENTENCE_VERBS.keys() | HINTS
#: After these verbs, these words introduce what came: "removed by houses".
_FOLLOWING = {"into": HINTS, "by": _REMOVE, "for": _REMOVE}
_AND = {"and", ",", ";", "while", "but", "then", "ans"}
_WITH = ("with", "including", "plus")

#: Words before a noun that may belong to it: "a large number of new houses".
_MAX_BEFORE = 6

# What the next nouns are: subject of a verb to come, what came, what went, or a place.
_SUBJECT, _COME, _GONE, _IN_PLACE = range(4)


@dataclass(frozen=True)
class Claim:
    """One statement of a sentence.

    Attributes:
        event: class and direction.
        noun: the word for the object.
        before: words that describe it, such as "two", "new".
    """

    event: Event
    noun: str
    before: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """The meaning of a sentence.

    Attributes:
        events: events that it states.
        hints: further events that it may mean.
        unchanged: whether it says that nothing changed.
        claims: the statements behind ``events``, in order.
    """

    events: frozenset[Event]
    hints: frozenset[Event]
    unchanged: bool = False
    claims: tuple[Claim, ...] = ()


def read_sentence(sentence: str, nouns: Optional[Mapping[str, str]] = None) -> Reading:
    """Read one English sentence about the change between two images.

    ``nouns`` maps further words in lower case to a class or another name.
    """
    text = " ".join(sentence.lower().replace("\u2019", "'").split())
    if _UNCHANGED.search(text):
        return Reading(frozenset(), frozenset(), unchanged=True)
    for pattern, instead in _REWRITES:
        text = pattern.sub(instead, text)
    words = re.findall(r"[a-z]+(?:-[a-z]+)*|[0-9]+|[,;]", text)
    return _Reader(words, {**(nouns or {}), **_CLASS_OF}).read()


def crop_truth(sentences: Sequence[str], event: Event, min_count: int = 3) -> Optional[bool]:
    """Return whether a crop's sentences, usually five, report an event.

    True if ``min_count`` of them state it; False if none states it or hints at it; None in between.
    """
    readings = [read_sentence(sentence) for sentence in sentences]
    if sum(event in reading.events for reading in readings) >= min_count:
        return True
    if any(event in reading.events | reading.hints for reading in readings):
        return None
    return False


@dataclass
class _Noun:
    """A noun: its class, whether it only hints, and its index."""

    name: str
    unsure: bool
    at: int


@dataclass
class _Reader:
    """Reads the words of a sentence in one pass."""

    words: list[str]
    nouns: Mapping[str, str]
    claims: list[Claim] = field(default_factory=list)
    hints: set[Event] = field(default_factory=set)
    waiting: list[_Noun] = field(default_factory=list)
    in_place: list[_Noun] = field(default_factory=list)
    mode: int = _SUBJECT
    last_verb: str = ""
    after_place: bool = False
    place_first: bool = False  # the clause begins with a place: "in the forest houses appear"
    pairs: bool = False  # an "and" after "between" ends nothing

    def read(self) -> Reading:
        """Return the meaning of the sentence."""
        for at, word in enumerate(self.words):
            if word in self.nouns or word in SCRUB:
                self._noun(at, word)
            elif word in _AND:
                self._and(at)
            elif word in ("instead-of", *REPLACE):
                self._exchange(APPEARED, _GONE)
            elif word in ("replaced-by", "becomes"):
                self._exchange(REMOVED, _COME)
            elif word in ACTIVE:
                self.mode = _COME
            elif word in _WITH:
                self._with(at)
            elif self._is_verb(at):
                self._verb(word)
            elif word in _FOLLOWING and self.last_verb in _FOLLOWING[word]:
                self.mode = _COME
            elif word in SENTENCE_PLACE:
                self.place_first = at == 0 or self.words[at - 1] in _AND
                self.mode, self.pairs = _IN_PLACE, word == "between"
        self._end()
        events = frozenset(claim.event for claim in self.claims)
        return Reading(events, frozenset(self.hints - events), claims=tuple(self.claims))

    def _noun(self, at: int, word: str) -> None:
        rebuilt = bool(HINTS & set(self.words[max(0, at - 1) : at]))
        noun = _Noun(self.nouns.get(word, "tree"), word in SCRUB or rebuilt, at)
        new = bool(NEW & set(self.words[max(0, at - 3) : at]))
        if self.mode == _SUBJECT:
            self.waiting.append(noun)
        elif self.mode == _IN_PLACE and not new:
            self.in_place.append(noun)
        else:
            self._state([noun], REMOVED if self.mode == _GONE else APPEARED)

    def _is_verb(self, at: int) -> bool:
        """Whether a word is a verb, not an adjective as in "a completed villa"."""
        word = self.words[at]
        if word not in _VERBS:
            return False
        before_noun = bool(self.nouns.keys() & set(self.words[at + 1 : at + 2]))
        return not (before_noun and word in ADJECTIVES)

    def _verb(self, word: str) -> None:
        """Apply a verb to the waiting nouns."""
        if self.place_first and not self.waiting:
            self.waiting = self.in_place[-1:]  # "in the open space three houses are built"
        direction = REMOVED if word in _REMOVE else APPEARED
        if word in HINTS:
            self.hints |= {(noun.name, APPEARED) for noun in self.waiting}
        else:
            self._state(self.waiting, direction)
        self.last_verb, self.mode, self.after_place = word, _IN_PLACE, False
        self.waiting, self.in_place = [], []

    def _exchange(self, direction: str, mode: int) -> None:
        """Read "replaces", "replaced by" and similar verbs."""
        self._state(self.waiting, direction)
        self.waiting, self.mode, self.last_verb = [], mode, "replaces"

    def _and(self, at: int) -> None:
        """Decide whether the next nouns go with the last ones or are the subject of a verb."""
        if self.pairs:
            self.pairs = False
            return
        if self.mode in (_COME, _GONE) and not self._verb_follows(at):
            return
        if self.mode == _IN_PLACE and self.in_place and self.waiting and not self.place_first:
            return  # "a house between trees and roads is built"
        self.after_place = self.mode == _IN_PLACE
        self.mode, self.in_place, self.place_first = _SUBJECT, [], False

    def _with(self, at: int) -> None:
        """Read "a road with houses": they share its verb."""
        if self.mode == _SUBJECT and self.waiting:
            return
        if self._verb_follows(at):
            self.mode = _SUBJECT
        elif self.mode != _GONE:
            self.mode = _COME

    def _verb_follows(self, at: int) -> bool:
        """Whether there is a verb before the next "and"."""
        for ahead in range(at + 1, len(self.words)):
            if self.words[ahead] in _AND:
                return False
            if self._is_verb(ahead) or self.words[ahead] in ("becomes", "replaced-by"):
                return True
        return False

    def _state(self, nouns: list[_Noun], direction: str) -> None:
        for noun in nouns:
            if noun.unsure:
                self.hints.add((noun.name, direction))
            else:
                self._claim((noun.name, direction), noun.at)

    def _claim(self, event: Event, at: int) -> None:
        start = at
        while start and at - start < _MAX_BEFORE and self._describes(self.words[start - 1]):
            start -= 1
        self.claims.append(Claim(event, self.words[at], tuple(self.words[start:at])))

    def _describes(self, word: str) -> bool:
        """Whether a word before a noun can describe it."""
        ends = word in _AND or word in _VERBS or word in SENTENCE_PLACE or word in _WITH
        return not ends and word not in self.nouns

    def _end(self) -> None:
        """Take nouns without a verb as new, unless they may belong to a place."""
        for noun in self.waiting:
            noun.unsure |= self.after_place or self.last_verb in _REMOVE
        self._state(self.waiting, APPEARED)


def words(sentence: str) -> list[str]:
    """Return the words of a sentence, lower-case, without punctuation."""
    return _WORD.findall(sentence.lower())


def says_no_change(sentence: str) -> bool:
    """Whether a sentence is one of :data:`NO_CHANGE` or a factual caption for no change."""
    found = words(sentence)
    return " ".join(found) in NO_CHANGE or found[:3] in _FACTUAL_NO_CHANGE
