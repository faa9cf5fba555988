# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the clauses of a prompt: a noun phrase, its verb, and what says where or when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from ..classes import class_of
from ..lexicon.nouns import NOUN_COMPOUNDS
from ..lexicon.small_words import ANYTHING, EMPTY, FILLER, NEGATIONS, PLACE, QUALITIES
from ..lexicon.verbs import EVENT_WORDS, EVENT_WORDS_ALONE, WEAK
from ..lexicon.verbs import PROMPT_VERBS as VERBS
from ..request import CHANGED, Query

#: A word, with hyphens and apostrophes.
WORD = re.compile(r"[^\W_][\w'.-]*")
_SEPARATOR = re.compile(r"\s*(?:[,;/+&|]|\band\b|\bor\b|\bplus\b|\bthen\b)\s*")
_COMPARATIVE = re.compile(r"\w+er|more|less")


@dataclass
class Clause:
    """Noun phrase ("" for none), direction, whether the verb stood first, events queries.

    ``placed``: it ends in saying where, when or how large.
    """

    noun: str
    direction: Optional[str]
    verb_first: bool
    events: tuple[Query, ...]
    placed: bool = False


def read_clauses(text: str, aside: list[str]) -> list[Clause]:
    """Read the clauses; one that goes on saying where ("and in the forest") is set aside."""
    clauses: list[Clause] = []
    for part in (part for part in _SEPARATOR.split(text) if part.strip()):
        words = part.split()
        placed = bool(clauses) and clauses[-1].placed
        if placed and (words[0] in PLACE or words[0] == "the") and not set(words) & set(VERBS):
            aside.append(part)
        else:
            clauses.append(_clause(part, aside))
    return clauses


def nouns_of(text: str, aside: list[str]) -> list[str]:
    """Return the nouns of a part of a prompt; where and when is added to ``aside``."""
    clauses = read_clauses(without_unwanted(text, aside), aside)
    return [noun for clause in clauses for noun in names_of(clause)]


def names_of(clause: Clause) -> list[str]:
    """Return the nouns of a clause: its own, or those of "urbanisation"."""
    return [clause.noun] if clause.noun else [query.object for query in clause.events]


def without_unwanted(clean: str, aside: list[str]) -> str:
    """Leave out what a negation says is not wanted, up to the next comma."""
    kept = []
    for part in re.split(r"\s*[,;]\s*", clean):
        words = part.split()
        at = next((i for i, word in enumerate(words) if word in NEGATIONS), None)
        if at is None:
            kept.append(part)
        elif any(word not in FILLER and word not in VERBS for word in words[at + 1 :]):
            kept.append(" ".join(words[:at]))  # "roads built but not sheds" keeps the roads
            aside.append(" ".join(words[at:]))
        # else "roads not built": the whole clause is negated
    return ", ".join(part for part in kept if part.strip())


def _clause(part: str, aside: list[str]) -> Clause:
    """Read a clause; where, when and beside what it happened is added to ``aside``."""
    words = _compounds([word.rstrip(".'-") for word in WORD.findall(part)])
    content = _content(words)
    noun: list[str] = []
    verbs: list[str] = []
    events: tuple[Query, ...] = ()
    qualifier: list[str] = []
    verb_first, link = False, ""
    for index, word in enumerate(words):
        settled = qualifier[:1] == ["where"] and bool(verbs)
        goes_on = bool(qualifier) and (settled or not _is_main_verb(words, index))
        if goes_on or _opens_qualifier(words, index, bool(noun or events)):
            qualifier.append(word)
        elif word in EVENT_WORDS and (word not in EVENT_WORDS_ALONE or len(content) == 1):
            events += tuple(Query(*event) for event in EVENT_WORDS[word])
        elif word in VERBS:
            verbs.append(word)
            verb_first = verb_first or not noun
            aside += _finished(qualifier)
        elif word in ("of", "with"):
            link = word if noun else ""
        elif word in QUALITIES or word.isdigit():
            aside.append(word)
        elif word in FILLER or word in PLACE or word in ANYTHING:
            continue
        else:
            noun += [link, word] if link else [word]
            link = ""
    placed = bool(qualifier)
    aside += _finished(qualifier)
    # "urban sprawl", "flooding of fields": the event word says it all.
    phrase = "" if events else " ".join(noun)
    if phrase and all(word in EMPTY or _is_letter(word) for word in noun):
        aside.append(phrase)
        phrase = ""
    if phrase and {"flooded", "inundated"} & set(verbs):
        land_cover = class_of(phrase)
        phrase = phrase if land_cover is not None and land_cover.name == "water" else "water"
    return Clause(phrase, _strongest(verbs), verb_first, events, placed)


def _content(words: list[str]) -> list[str]:
    """Return the words that say what and how, without where and when."""
    place = next((i for i, word in enumerate(words) if word in PLACE and i > 0), len(words))
    return [w for w in words[:place] if w not in FILLER and w not in WEAK and w not in QUALITIES]


def _opens_qualifier(words: list[str], index: int, named: bool) -> bool:
    """Tell whether from here on the clause says where, when or how large."""
    following = words[index + 1] if index + 1 < len(words) else ""
    if following == "than" and _COMPARATIVE.fullmatch(words[index]):
        return True
    return named and bool(following) and (words[index] in PLACE or words[index] == "where")


def _is_main_verb(words: list[str], index: int) -> bool:
    """Tell a clause's verb ("trees along the river cleared") from "near the cleared forest"."""
    if words[index] not in VERBS:
        return False
    rest = [word for word in words[index + 1 :] if word not in FILLER and word not in VERBS]
    return not rest or rest[0] in PLACE


def _finished(qualifier: list[str]) -> list[str]:
    """Return a qualifier as one text, if it says anything, and empty it."""
    says = any(word not in FILLER and word not in PLACE for word in qualifier)
    while qualifier and qualifier[-1] in FILLER:
        qualifier.pop()
    text = " ".join(qualifier)
    qualifier.clear()
    return [text] if says else []


def _is_letter(word: str) -> bool:
    return len(word) == 1 and word.isascii()


def _compounds(words: list[str]) -> list[str]:
    """Join words that are one noun though one looks like a verb; part "tree-felling"."""
    joined: list[str] = []
    for word in words:
        pieces = word.split("-")
        if (
            len(pieces) > 1
            and word not in NOUN_COMPOUNDS
            and class_of(word) is None
            and not any(piece in FILLER or piece in PLACE for piece in pieces)
        ):
            joined.extend(pieces)  # "tree-felling", "swimming-pools"
            continue
        if joined and f"{joined[-1]} {word}" in NOUN_COMPOUNDS:
            joined[-1] += f" {word}"
        else:
            joined.append(word)
    return joined


def _strongest(verbs: list[str]) -> Optional[str]:
    """Rank verbs: what happened outranks "new", and both outrank "changed"."""
    ranked = [(VERBS[verb] != CHANGED, verb not in WEAK, i) for i, verb in enumerate(verbs)]
    return VERBS[verbs[max(ranked)[2]]] if ranked else None
