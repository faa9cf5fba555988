# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the clauses of a prompt: a noun phrase, its verb, and places, times or sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from ..classes import class_of
from ..lexicon.nouns import NOUN_COMPOUNDS
from ..lexicon.small_words import AND, ANYTHING, EMPTY, FILLER, NEGATIONS, PLACE, QUALITIES
from ..lexicon.verbs import EVENT_WORDS, EVENT_WORDS_ALONE, WEAK
from ..lexicon.verbs import PROMPT_VERBS as VERBS
from ..request import CHANGED, Query

#: A word, with hyphens and apostrophes.
WORD = re.compile(r"[^\W_][\w'.-]*")
_SEPARATOR = re.compile(rf"\s*(?:[,;/+&|]|\b(?:{'|'.join(sorted(AND))})\b)\s*")
_COMPARATIVE = re.compile(r"\w+er|more|less")


@dataclass
class Clause:
    """One clause.

    Attributes:
        noun: noun phrase; "" if there is none.
        direction: of its verb; None without a verb.
        verb_first: whether the verb comes before the noun.
        events: queries of a word such as "urbanisation".
        placed: whether it ends in a place, time or size.
    """

    noun: str
    direction: Optional[str]
    verb_first: bool
    events: tuple[Query, ...]
    placed: bool = False


def read_clauses(text: str, ignored: list[str]) -> list[Clause]:
    """Read the clauses; one that adds a place ("and in the forest") goes to ``ignored``."""
    clauses: list[Clause] = []
    for part in (part for part in _SEPARATOR.split(text) if part.strip()):
        words = part.split()
        placed = bool(clauses) and clauses[-1].placed
        if placed and (words[0] in PLACE or words[0] == "the") and not set(words) & set(VERBS):
            ignored.append(part)
        else:
            clauses.append(_clause(part, ignored))
    return clauses


def nouns_of(text: str, ignored: list[str]) -> list[str]:
    """Return the nouns of a part of a prompt; places and times are added to ``ignored``."""
    clauses = read_clauses(without_negated(text, ignored), ignored)
    return [noun for clause in clauses for noun in names_of(clause)]


def names_of(clause: Clause) -> list[str]:
    """Return the nouns of a clause: its own, or those of "urbanisation"."""
    return [clause.noun] if clause.noun else [query.object for query in clause.events]


def without_negated(clean: str, ignored: list[str]) -> str:
    """Leave out what follows a negation, up to the next comma; it is added to ``ignored``."""
    kept = []
    for part in re.split(r"\s*[,;]\s*", clean):
        words = part.split()
        at = next((i for i, word in enumerate(words) if word in NEGATIONS), None)
        if at is None:
            kept.append(part)
        elif any(word not in FILLER and word not in VERBS for word in words[at + 1 :]):
            kept.append(" ".join(words[:at]))  # "roads built but not sheds" keeps the roads
            ignored.append(" ".join(words[at:]))
        # else "roads not built": the whole clause is negated
    return ", ".join(part for part in kept if part.strip())


def _clause(part: str, ignored: list[str]) -> Clause:
    """Read a clause; places, times and sizes are added to ``ignored``."""
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
            ignored += _finished(qualifier)
        elif word in ("of", "with"):
            link = word if noun else ""
        elif word in QUALITIES or word.isdigit():
            ignored.append(word)
        elif word in FILLER or word in PLACE or word in ANYTHING:
            continue
        else:
            noun += [link, word] if link else [word]
            link = ""
    placed = bool(qualifier)
    ignored += _finished(qualifier)
    # "urban sprawl", "flooding of fields": the noun adds nothing.
    phrase = "" if events else " ".join(noun)
    if phrase and all(word in EMPTY or _is_letter(word) for word in noun):
        ignored.append(phrase)
        phrase = ""
    if phrase and {"flooded", "inundated"} & set(verbs):
        land_cover = class_of(phrase)
        phrase = phrase if land_cover is not None and land_cover.name == "water" else "water"
    return Clause(phrase, _strongest(verbs), verb_first, events, placed)


def _content(words: list[str]) -> list[str]:
    """Return the words for object and change, without places and times."""
    place = next((i for i, word in enumerate(words) if word in PLACE and i > 0), len(words))
    return [w for w in words[:place] if w not in FILLER and w not in WEAK and w not in QUALITIES]


def _opens_qualifier(words: list[str], index: int, named: bool) -> bool:
    """Whether a place, time or size begins here."""
    following = words[index + 1] if index + 1 < len(words) else ""
    if following == "than" and _COMPARATIVE.fullmatch(words[index]):
        return True
    return named and bool(following) and (words[index] in PLACE or words[index] == "where")


def _is_main_verb(words: list[str], index: int) -> bool:
    """Whether a verb is the clause's: "trees along the river cleared", but not "near new roads"."""
    if words[index] not in VERBS:
        return False
    rest = [word for word in words[index + 1 :] if word not in FILLER and word not in VERBS]
    return not rest or rest[0] in PLACE


def _finished(qualifier: list[str]) -> list[str]:
    """Empty a qualifier and return it as one text, unless it has only small words."""
    has_content = any(word not in FILLER and word not in PLACE for word in qualifier)
    while qualifier and qualifier[-1] in FILLER:
        qualifier.pop()
    text = " ".join(qualifier)
    qualifier.clear()
    return [text] if has_content else []


def _is_letter(word: str) -> bool:
    return len(word) == 1 and word.isascii()


def _compounds(words: list[str]) -> list[str]:
    """Join "building site", of which one word looks like a verb; split "tree-felling"."""
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
    """Return the direction of the strongest verb: "demolished" before "new" before "changed"."""
    ranked = [(VERBS[verb] != CHANGED, verb not in WEAK, i) for i, verb in enumerate(verbs)]
    return VERBS[verbs[max(ranked)[2]]] if ranked else None
