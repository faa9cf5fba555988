# SPDX-License-Identifier: GPL-3.0-or-later
"""Text to queries: what was asked for, as (object, direction) pairs.

The grammar is small and generous. A prompt is cut into clauses (commas, "and",
"or"). A clause is a noun phrase with a verb on either side, a noun phrase alone,
which takes the verb of its neighbours ("roads and buildings built", "new roads
and buildings"), or a verb alone, which goes to the nouns before it ("roads built
or removed"). "X replaced by Y" and its kin are X removed and Y appeared, each where the
other is.

Decisions that are not obvious:

- Nothing is corrected. A misspelt noun is passed on as it is written and shown in
  the parse, where the user sees it; a misspelt verb becomes part of the noun.
- A negation ("no roads", "buildings but not sheds") names what is *not* wanted,
  up to the next comma: that is left out. A prompt with nothing else is an error.
- Where something happened, when and how large it is ("along the river", "since 2015",
  "larger than 1 ha") is set aside and told: the area analysed says where, the layers
  when, the minimum area how large.
- "Flooded fields" are water that appeared, not fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from .classes import class_of
from .errors import InputError
from .prompt_words import (
    ANYTHING,
    ASIDES,
    BESIDE,
    EMPTY,
    EXCHANGES,
    FILLER,
    FUSED,
    FUSED_ALONE,
    NEGATIONS,
    NOUN_COMPOUNDS,
    PLACE,
    PRONOUNS,
    REPLACING,
    REWRITES,
    VERBS,
    WEAK,
)
from .request import APPEARED, CHANGED, REMOVED, ParsedPrompt, Query

EXAMPLES = ("roads built", "buildings demolished", "trees cleared", "grass replaced by buildings")

_SEPARATOR = re.compile(r"\s*(?:[,;/+&|]|\band\b|\bor\b|\bplus\b|\bthen\b)\s*")
_WORD = re.compile(r"[^\W_][\w'.-]*")
_COMPARATIVE = re.compile(r"\w+er|more|less")
_BARE_EXCHANGE = re.compile(r"^(?:from\s+)?(.+?)\s+(?:in)?to\s+(.+)$")


def parse(text: str) -> ParsedPrompt:
    """Read a prompt.

    Args:
        text: what the user typed, in English.

    Returns:
        The queries in the order of the prompt, without duplicates; or ``anything``.

    Raises:
        InputError: the prompt is empty, or names nothing that could be looked for.
    """
    clean = _normalise(text)
    if not _WORD.search(clean):
        raise _error("The prompt is empty.")
    rest, aside = _without_asides(clean)
    anything = _anything(rest, aside)
    if anything is not None:
        words = "any change" if anything == CHANGED else f"anything, {anything}"
        unused = _in_order(aside, clean)
        return ParsedPrompt(text, (), True, _explained(f"looks for: {words}", unused), unused)
    queries = _unique(_read(rest, aside))
    if not queries:
        raise _error(f'The prompt "{text.strip()}" does not say what to look for.')
    unused = _in_order([part for part in aside if _matters(part, queries)], clean)
    return ParsedPrompt(text, queries, False, _explained(explain(queries), unused), unused)


def resolve(parsed: ParsedPrompt, class_plurals: Sequence[str]) -> ParsedPrompt:
    """Put a system's classes in the place of "anything".

    Args:
        parsed: a parsed prompt.
        class_plurals: names of the classes that the system knows, as used in captions.

    Returns:
        ``parsed`` itself unless it asks for anything; else a query for each class and
        direction (one direction for prompts such as "what was built?").

    Raises:
        InputError: the prompt asks for anything and the system knows no classes.
    """
    if not parsed.anything:
        return parsed
    if not class_plurals:
        raise InputError(
            "This system has no classes of its own, so it cannot look for any change.", _hint()
        )
    direction = _anything(_without_asides(_normalise(parsed.text))[0], [])
    ways = (direction,) if direction in (APPEARED, REMOVED) else (APPEARED, REMOVED)
    queries = tuple(Query(name, way) for name in class_plurals for way in ways)
    words = "any change" if len(ways) > 1 else f"anything, {direction}"
    listed = f"looks for: {words} ({', '.join(class_plurals)})"
    return replace(parsed, queries=queries, explanation=_explained(listed, parsed.unused))


def explain(queries: Iterable[Query]) -> str:
    """Return one line for the user: ``"looks for: roads, appeared; trees, removed"``.

    Of an exchange it begins with "buildings replaced trees".
    """
    queries = tuple(queries)
    listed = "; ".join(f"{query.object}, {query.direction}" for query in queries)
    come = next((q for q in queries if q.partners and q.direction == APPEARED), None)
    gone = next((q for q in queries if q.partners and q.direction == REMOVED), None)
    if come is None or gone is None:
        return f"looks for: {listed}"
    what, instead = (" and ".join(query.partners) for query in (gone, come))
    return f"looks for: {what} replaced {instead} ({listed})"


def compose(queries: Sequence[Query]) -> str:
    """Return a prompt that is read as these queries, "" for none: the inverse of :func:`parse`."""
    gone = [query.object for query in queries if query.direction == REMOVED and query.partners]
    come = [query.object for query in queries if query.direction == APPEARED and query.partners]
    if gone and come:
        return f"{' and '.join(gone)} replaced by {' and '.join(come)}"
    return ", ".join(f"{query.object} {query.direction}" for query in queries)


def notes(parsed: ParsedPrompt) -> tuple[str, ...]:
    """Return warnings for the user about what a prompt says and nobody acts upon."""
    if not parsed.unused:
        return ()
    where_else = (
        "The area analysed says where, the minimum area how large, and the layers when."
    )
    return (f"Not used of the prompt: {'; '.join(parsed.unused)}. {where_else}",)


def _explained(explanation: str, unused: Sequence[str]) -> str:
    return f"{explanation} (not used: {'; '.join(unused)})" if unused else explanation


def _hint() -> str:
    quoted = ", ".join(f'"{example}"' for example in EXAMPLES)
    return f'Say what changed and how, such as {quoted} or "anything changed".'


def _error(message: str) -> InputError:
    return InputError(message, _hint())


def _unique(queries: Iterable[Query]) -> tuple[Query, ...]:
    return tuple(dict.fromkeys(queries))


def _normalise(text: str) -> str:
    """Lower case, plain apostrophes, full stops as commas, two-word verbs as one word."""
    clean = text.lower().replace("\u2019", "'").replace("\u2018", "'").replace("\u2192", "->")
    clean = re.sub(r"\b(that|what|where|which|who|there|it)'s\b", r"\1 is", clean)
    clean = re.sub(r"[^\w\s'.,;/+&|<>=%-]", " ", clean)
    clean = re.sub(r"\.(?=\s|$)", " , ", clean)
    clean = re.sub(r"(?<!\w)-(?!>)|-(?![\w>])", " ", clean)
    clean = " ".join(clean.split())
    for pattern, instead in REWRITES:
        clean = pattern.sub(instead, clean)
    return " ".join(clean.split()).strip(" ,;.")


def _without_asides(clean: str) -> tuple[str, list[str]]:
    """Part the prompt from what it says of size, time and compass directions."""
    aside: list[str] = []
    for pattern in ASIDES:
        aside += [" ".join(match.group().split()) for match in pattern.finditer(clean)]
        clean = pattern.sub(" ", clean)
    return " ".join(clean.split()).strip(" ,;"), aside


def _in_order(aside: Sequence[str], clean: str) -> tuple[str, ...]:
    """Return parts of the prompt without duplicates, in its order."""
    return tuple(sorted(dict.fromkeys(aside), key=clean.find))


def _matters(aside: str, queries: Sequence[Query]) -> bool:
    """Tell whether leaving out a part of the prompt can change what is found.

    "Roads, no buildings" looks for roads; "houses, no sheds" finds sheds too, since the model
    knows them as buildings.
    """
    words = aside.split()
    if words[0] not in NEGATIONS or any(character.isdigit() for character in aside):
        return True
    kinds = [class_of(noun) for noun in _nouns(" ".join(words[1:]), [])]
    wanted = [class_of(query.object) for query in queries]
    return any(kind is None or kind in wanted for kind in kinds)


def _anything(clean: str, aside: list[str]) -> Optional[str]:
    """Return the direction in which anything at all was asked for; None for a real target.

    Where it was asked for is added to ``aside``.
    """
    words = _WORD.findall(clean)
    if NEGATIONS & set(words):
        return None
    asks = bool(PRONOUNS & set(words))
    found: list[str] = []
    for index, word in enumerate(words):
        if word in FILLER or word in ANYTHING:
            continue
        if word in PLACE and asks and found and (found[-1] != CHANGED or word in BESIDE):
            aside.append(" ".join(words[index:]))  # "what was built in the forest?"
            break
        if word not in VERBS:
            if word not in PLACE:
                return None
            continue
        found.append(VERBS[word])
    directed = {direction for direction in found if direction != CHANGED}
    if asks and len(directed) == 1:
        return directed.pop()
    # "built" alone says nothing; "changes" and "everything" do.
    return CHANGED if (found and not directed) or asks else None


def _read(clean: str, aside: list[str]) -> list[Query]:
    """Read the queries; what none of them says is added to ``aside``."""
    exchange = _exchange(clean, aside)
    if exchange:
        return exchange
    parts = [part for part in _SEPARATOR.split(_wanted(clean, aside)) if part.strip()]
    return _distribute([_clause(part, aside) for part in parts])


def _exchange(clean: str, aside: list[str]) -> list[Query]:
    """Read "X replaced by Y", "Y replacing X", "from X to Y", "X -> Y"; else nothing."""
    for pattern, swapped in ((EXCHANGES, False), (REPLACING, True)):
        match = pattern.search(clean)
        if match is not None:
            left, right = clean[: match.start()], clean[match.end() :]
            gone, come = (right, left) if swapped else (left, right)
            return _exchanged(_nouns(re.sub(r"^from\s", "", gone), aside), _nouns(come, aside))
    match = _BARE_EXCHANGE.match(clean)
    if match is None or any(VERBS.get(word, CHANGED) != CHANGED for word in clean.split()):
        return []
    extra: list[str] = []
    gone_nouns, come_nouns = (_nouns(match.group(side), extra) for side in (1, 2))
    if not gone_nouns or not come_nouns:
        return []
    aside += extra
    return _exchanged(gone_nouns, come_nouns)


def _exchanged(gone: Sequence[str], come: Sequence[str]) -> list[Query]:
    """Return what went and what came, each bound to the other."""
    removed = [Query(noun, REMOVED, partners=tuple(come)) for noun in gone]
    return removed + [Query(noun, APPEARED, partners=tuple(gone)) for noun in come]


def _nouns(text: str, aside: list[str]) -> list[str]:
    nouns = [_clause(part, aside).noun for part in _SEPARATOR.split(_wanted(text, aside))]
    return [noun for noun in nouns if noun]


def _wanted(clean: str, aside: list[str]) -> str:
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


@dataclass
class _Clause:
    """Noun phrase ("" for none), direction, whether the verb stood first, fused queries."""

    noun: str
    direction: Optional[str]
    verb_first: bool
    fused: tuple[Query, ...]


def _clause(part: str, aside: list[str]) -> _Clause:
    """Read a clause; where, when and beside what it happened is added to ``aside``."""
    words = _compounds([word.rstrip(".'-") for word in _WORD.findall(part)])
    content = [word for word in words if word not in FILLER]
    noun: list[str] = []
    verbs: list[str] = []
    fused: tuple[Query, ...] = ()
    qualifier: list[str] = []
    verb_first, link = False, ""
    for index, word in enumerate(words):
        goes_on = bool(qualifier) and not _is_main_verb(words, index)
        if goes_on or _opens_qualifier(words, index, bool(noun or fused)):
            qualifier.append(word)
        elif word in FUSED and (word not in FUSED_ALONE or len(content) == 1):
            fused += FUSED[word]
        elif word in VERBS:
            verbs.append(word)
            verb_first = verb_first or not noun
            link = ""
            aside += _finished(qualifier)
        elif word in ("of", "with"):
            link = word if noun else ""
        elif word in FILLER or word in PLACE or word in ANYTHING or word.isdigit():
            continue
        else:
            noun += [link, word] if link else [word]
            link = ""
    aside += _finished(qualifier)
    # "urban sprawl", "flooding of fields": the fused noun says it all.
    phrase = "" if fused else " ".join(noun)
    if phrase and all(word in EMPTY or _is_letter(word) for word in noun):
        aside.append(phrase)
        phrase = ""
    if phrase and {"flooded", "inundated"} & set(verbs):
        land_cover = class_of(phrase)
        phrase = phrase if land_cover is not None and land_cover.name == "water" else "water"
    return _Clause(phrase, _strongest(verbs), verb_first, fused)


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
            and any(piece in VERBS for piece in pieces)
        ):
            joined.extend(pieces)  # "tree-felling"
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


def _distribute(clauses: list[_Clause]) -> list[Query]:
    """Give every noun its verb, and a verb that stands alone the nouns before it."""
    queries: list[Query] = []
    group: list[str] = []  # nouns that a verb alone would go to
    pending: list[str] = []  # verbs alone before any noun: "built and demolished roads"
    for index, clause in enumerate(clauses):
        queries.extend(clause.fused)
        if clause.noun:
            before = clauses[index - 1] if index else None
            if before is not None and before.direction is not None and before.noun:
                group = []
            group.append(clause.noun)
            for direction in [*pending, clause.direction or _borrowed(clauses, index)]:
                queries.extend(_both(clause.noun, direction))
            pending = []
        elif clause.direction is not None and not clause.fused:
            if not group:
                pending.append(clause.direction)
            for noun in group:
                queries.extend(_both(noun, clause.direction))
    return queries


def _borrowed(clauses: list[_Clause], index: int) -> str:
    """Direction for a noun without verb: of the verb after it, else of the one before it."""
    for clause in clauses[index + 1 :]:
        if clause.direction is not None:
            if not clause.verb_first or not clause.noun:
                return clause.direction
            break
    for clause in reversed(clauses[:index]):
        if clause.direction is not None:
            return clause.direction
    return CHANGED


def _both(noun: str, direction: str) -> list[Query]:
    ways = (APPEARED, REMOVED) if direction == CHANGED else (direction,)
    return [Query(noun, way) for way in ways]
