# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks written captions against what a detection found.

A language model writes fluent sentences, some of which are wrong. Each is read (:mod:`.reading`)
and compared with the facts of the same place. A sentence that claims more than is known, repeats
itself or breaks off is replaced by the factual caption, and the user sees how many and why.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from ..class_rules import rules_of
from ..classes import class_of
from ..lexicon.nouns import OTHER_NOUNS, SENTENCE_NOUNS, SENTENCE_PHRASES
from ..lexicon.small_words import AND, DENIALS, MANY, NUMBERS, ONE, SENTENCE_PLACE, SOME
from ..messages import Message
from ..request import APPEARED, CHANGED, REMOVED
from .reading import Claim, Event, read_sentence
from .texts import WordingTexts

#: Why a sentence is replaced, each with a text for the user.
REASONS: dict[str, Message] = {
    kind: getattr(WordingTexts, kind)
    for kind in ("empty unknown length repetition presence direction object region count".split())
}
_MIN_WORDS, _MAX_WORDS, _MAX_LETTERS = 3, 45, 300
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*|\d+(?:[.,]\d+)*")
#: Characters and words that come from broken tokens, not from English sentences.
_NOT_ENGLISH = re.compile(
    r"[^A-Za-z0-9À-ɏ\s.,;:'’()%²/-]|\b(?:unk|https?|www)\b|\w{26,}", re.IGNORECASE
)
#: An English sentence does not end with these.
_LOOSE_ENDS = frozenset(
    "a an the and or but with of in on at by for to from near along into are is was were has have "
    "been being some many several two three new which that while where".split()
)
_AN = rf"(?:(?:the|new|more|{'|'.join(sorted({*ONE, *SOME, *MANY, *NUMBERS}))}) )*"
_LINK = rf"s? (?:(?:of|with|{'|'.join(sorted(AND | SENTENCE_PLACE))}) {_AN})+"
#: A noun that comes three times without a verb or an adjective in between ("a road with a road and
#: a road"), or twice where "and" cannot join two clauses: at the start or the end of a sentence.
_CHAINS = (
    re.compile(rf"\b(\w{{3,}}?)(?:{_LINK}(?:\w{{3,}}?{_LINK})?\1){{2}}s?\b"),
    re.compile(rf"^{_AN}(?!more|fewer)(\w{{3,}}) (?:and|or|with) {_AN}\1\b"),
    re.compile(rf"\b(?!more|fewer)(\w{{3,}}) (?:and|or|with) {_AN}\1$"),
)
#: Places within the image; on a map its frame is not visible.
_FRAME = re.compile(
    r",? ?\b(?:in|at|on|to|near|from) the "
    r"(?:(?:upper|lower|top|bottom|left|right|middle|cent(?:er|re)|central)[ -]?)+"
    r"(?:hand |part|side|corner|edge|half|area|section|end)*"
    r"(?: of the (?:scene|image|picture|photo|area))?(?=$|[.,;]| and\b| while\b| but\b)",
    re.IGNORECASE,
)
#: "on the bareland on the bareland": rewarded captioners write this.
_PLACE_TWICE = re.compile(
    rf"\b((?:{'|'.join(sorted(SENTENCE_PLACE))}) (?:the |an? )?\w+)(?: \1)+\b", re.IGNORECASE
)
#: Denials, which the reader does not understand: "the house has not been removed".
_DENIAL = re.compile(rf"\b(?:{'|'.join(sorted(DENIALS))}|\w+n't)\b")
#: Word -> its class, or itself if it has none.
_NOUNS = {
    **{word: name for name, words in SENTENCE_NOUNS.items() for word in words},
    **{word: word for word in OTHER_NOUNS},
}
#: A region may hold several objects that touch; a building has at least this area, in m2.
_MIN_BUILDING_M2 = 50.0
_FEW, _MIN_MANY = 3, 5


@dataclass(frozen=True)
class Found:
    """What a detection found of one kind in an area; ``area_m2`` is None without georeference."""

    count: int
    area_m2: Optional[float] = None

    @property
    def max_objects(self) -> int:
        """Largest plausible number of objects."""
        if self.area_m2 is None:
            return 10 * self.count
        return max(self.count, int(self.area_m2 / _MIN_BUILDING_M2))


@dataclass(frozen=True)
class Facts:
    """What is known of an area.

    Attributes:
        found: by event; its name is a class, or the noun of the prompt if it has no class.
            Classes known only from an exchange ("replacing trees") count with 0 regions and no
            area, regions that lie mostly outside with 0 regions and the area inside.
        own: event of the region that the sentence must be about; None for tiles and scenes.
        queried: classes and nouns of the prompt; the nouns are read in sentences even if nothing
            was found.
    """

    found: Mapping[Event, Found] = field(default_factory=dict)
    own: Optional[Event] = None
    queried: frozenset[str] = frozenset()

    @property
    def anything(self) -> bool:
        """Whether any change was found."""
        return any(found.count for found in self.found.values())

    def of(self, event: Event) -> Optional[Found]:
        """Return what was found of an event, also by a system without directions."""
        name, way = event
        return self.found.get((name, way)) or self.found.get((name, CHANGED))


def tidied(sentence: str) -> str:
    """Return a sentence without places in the image or repeated places, with a full stop."""
    text = _PLACE_TWICE.sub(r"\1", " ".join(_FRAME.sub("", sentence).split())).rstrip(" .,;")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def check(sentence: str, facts: Optional[Facts] = None) -> Optional[str]:
    """Return why one or more written English sentences are replaced, or None to keep them.

    The reason is a key of :data:`REASONS`. Without facts of the place, only the form is checked.
    """
    problem = _form(sentence)
    if problem is not None or facts is None:
        return problem
    text = sentence.lower()
    for pattern, instead in SENTENCE_PHRASES:
        text = pattern.sub(instead, text)
    nouns = {**_NOUNS, **_nouns_of(facts)}
    claims: list[Claim] = []
    hints: set[Event] = set()
    unchanged = False
    for part in re.split(r"[.;]\s", text):
        reading = read_sentence(part, nouns)
        claims += reading.claims
        hints |= reading.hints
        unchanged |= reading.unchanged
    if unchanged:
        problem = _absence(facts, bool(claims or hints))
    elif _DENIAL.search(text) or not (claims or hints):
        problem = "empty"
    return problem or _compare(claims, hints, facts)


def _form(sentence: str) -> Optional[str]:
    """Check characters, length and repetitions."""
    words = _WORD.findall(sentence.lower())
    if _NOT_ENGLISH.search(sentence):
        return "unknown"
    if not words:
        return "empty"
    if not _MIN_WORDS <= len(words) <= _MAX_WORDS or len(sentence) > _MAX_LETTERS:
        return "length"
    if words[-1] in _LOOSE_ENDS:
        return "length"
    return "repetition" if _loops(words) or _chains(sentence) else None


def _loops(words: list[str]) -> bool:
    """Whether a word occurs twice in a row, or 2, 3 or 4 words 4, 3 or 2 times."""
    if any(first == second for first, second in zip(words, words[1:])):
        return True
    for length, most in ((2, 3), (3, 2), (4, 1)):
        grams = Counter(zip(*(words[start:] for start in range(length))))
        if any(times > most for times in grams.values()):
            return True
    return False


def _chains(text: str) -> bool:
    """Whether prepositions or conjunctions join a noun to itself."""
    phrases = (" ".join(_WORD.findall(part)) for part in re.split(r"[.;]\s", text.lower()))
    return any(pattern.search(phrase) for phrase in phrases for pattern in _CHAINS)


def _nouns_of(facts: Facts) -> dict[str, str]:
    """Return the nouns of the prompt that have no class, in the singular and the plural."""
    nouns = {}
    for name in {name for name, _ in facts.found} | facts.queried:
        if class_of(name) is None:
            head = name.rsplit(" ", 1)[-1]
            one = head.rstrip("s")
            nouns.update(dict.fromkeys((name.replace(" ", "-"), one, f"{one}s"), name))
    return nouns


def _absence(facts: Facts, claims_more: bool) -> Optional[str]:
    """Check a sentence that says that nothing changed."""
    return "presence" if facts.anything or claims_more else None


def _compare(claims: list[Claim], hints: set[Event], facts: Facts) -> Optional[str]:
    """Compare claims with what was found."""
    for event in [claim.event for claim in claims] + sorted(hints):
        if facts.of(event) is None:
            return _unfounded(event, facts)
    events = {claim.event for claim in claims} | hints
    if facts.own is not None and events and not _about(facts.own, events):
        return "region"
    return None if all(_number_fits(claim, facts) for claim in claims) else "count"


def _unfounded(event: Event, facts: Facts) -> str:
    """Return what is wrong about an event that was not found."""
    name, way = event
    other = REMOVED if way == APPEARED else APPEARED
    if facts.of((name, other)) is not None:
        return "direction"
    return "object" if facts.anything else "presence"


def _about(own: Event, events: set[Event]) -> bool:
    """Whether a region's own change is among the events."""
    return own in events or (own[1] == CHANGED and own[0] in {name for name, _ in events})


def _number_fits(claim: Claim, facts: Facts) -> bool:
    """Whether "a", "two" or "many" fits the number of regions, roughly."""
    name, found = claim.event[0], facts.of(claim.event)
    regions_of_one = rules_of(name).max_regions_of_one
    if found is None or not regions_of_one or not (found.count or found.area_m2):
        return True
    least, most = found.count, found.max_objects
    if regions_of_one > 1:
        least, most = 1, max(found.count, regions_of_one)
    quantity = _quantity(claim)
    if quantity is None:
        return True
    low, high = quantity
    return low <= most and (high is None or least <= high)


def _quantity(claim: Claim) -> Optional[tuple[int, Optional[int]]]:
    """Return the smallest and the largest number of regions that fit a claim; None if any does."""
    words = claim.before
    if set(words) & MANY or "number" in words:
        return (_MIN_MANY if claim.event[0] == "building" else 2), None
    for word in words:
        number = NUMBERS.get(word) or (int(word) if word.isdigit() else None)
        if number is not None and number > 1:
            return -(-2 * number // 3), 2 * number + 1
    if set(words) & SOME or {"row", "line"} & set(words):
        return 2, None
    if set(words) & ONE and not claim.noun.endswith("s"):
        return 1, _FEW
    return None


class Guard:
    """Checks written sentences and counts those that are replaced."""

    def __init__(self) -> None:
        self.checked = 0
        self.replaced: Counter[str] = Counter()

    def passes(self, sentence: str, facts: Optional[Facts]) -> bool:
        """Check a sentence and count it."""
        self.checked += 1
        reason = check(sentence, facts)
        if reason is not None:
            self.replaced[reason] += 1
        return reason is None

    @property
    def warnings(self) -> tuple[str, ...]:
        """How many sentences were replaced and why; empty if none was."""
        total = sum(self.replaced.values())
        if not total:
            return ()
        reasons = ", ".join(
            f"{REASONS[reason]()} ({n})" for reason, n in self.replaced.most_common()
        )
        return (
            WordingTexts.one_replaced(checked=self.checked)
            if total == 1
            else WordingTexts.replaced(count=total, checked=self.checked),
            WordingTexts.reasons(reasons=reasons),
        )
