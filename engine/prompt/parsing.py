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
  the parse, where the user sees it; a misspelt verb becomes part of the noun. Where one
  letter makes it a word that is understood, the prompt that may have been meant is suggested.
- The usual words of German, French, Spanish and Portuguese are put into English first.
- "Houses on former forest" are houses that appeared and whose ground was forest; "houses on
  grass" are houses, and "on grass" is set aside.
- A negation ("no roads", "buildings but not sheds") names what is *not* wanted,
  up to the next comma: that is left out. A prompt with nothing else is an error, but
  "everything except water" is every class without water.
- Where something happened, when and how large it is ("along the river", "since 2015",
  "larger than 1 ha") is set aside and told: the area analysed says where, the layers
  when, the minimum area how large.
- "Flooded fields" are water that appeared, not fields.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

from ..classes import class_of, is_line
from ..errors import InputError
from ..lexicon.nouns import GROUPS
from ..lexicon.small_words import ANYTHING, BESIDE, FILLER, NEGATIONS, PLACE, PRONOUNS
from ..lexicon.verbs import PROMPT_VERBS as VERBS
from ..request import APPEARED, CHANGED, REMOVED, Hints, ParsedPrompt, Query
from .clauses import WORD, Clause, names_of, nouns_of, read_clauses, without_unwanted
from .explain import BoundQuery, compose, explain, line_of, notes
from .languages import in_english
from .patterns import ASIDES, EXCHANGES, FORMERLY, REPLACING, REWRITES, WHERE
from .typos import suggestion

__all__ = ["EXAMPLES", "compose", "explain", "notes", "parse", "resolve"]

EXAMPLES = ("roads built", "buildings demolished", "trees cleared", "grass replaced by buildings")

_EXCEPTION = re.compile(
    r"^(.*?)[\s,]*\b(?:except(?:\s+for)?|excluding|excl|without|ignoring|ignore|not)\s+(.+)$"
)
_BARE_EXCHANGE = re.compile(r"^(?:from\s+)?(.+?)\s+(?:in)?to\s+(.+)$")


def parse(text: str) -> ParsedPrompt:
    """Read a prompt.

    Args:
        text: what the user typed, in English; of a few other languages the usual words.

    Returns:
        The queries in the order of the prompt, without duplicates; or ``anything``.

    Raises:
        InputError: the prompt is empty, or names nothing that could be looked for.
    """
    english = in_english(text)
    clean = _normalise(english or text)
    if not WORD.search(clean):
        raise _error("The prompt is empty.")
    rest, aside = _without_asides(clean)
    meant = "" if english else suggestion(clean)
    parsed = ParsedPrompt(text, (), suggestion=meant, english=english)
    anything = _anything(rest, aside)
    if anything is not None:
        parsed = replace(parsed, anything=True, unused=_in_order(aside, clean))
        return replace(parsed, explanation=line_of(parsed, f"looks for: {anything}"))
    bound = list(dict.fromkeys(_read(rest, aside)))
    if not bound:
        hint = f'Did you mean "{meant}"?' if meant else _hint()
        raise InputError(f'The prompt "{text.strip()}" does not say what to look for.', hint)
    queries = tuple(Query(query.object, query.direction) for query in bound)
    unused = _in_order([part for part in aside if _matters(part, queries)], clean)
    partners = tuple(query.partners for query in bound)
    parsed = replace(
        parsed,
        queries=queries,
        unused=unused,
        hints=Hints(partners=partners if any(partners) else ()),
    )
    return replace(parsed, explanation=line_of(parsed, explain(bound)))


def resolve(
    parsed: ParsedPrompt, class_plurals: Sequence[str], directed: bool = True
) -> ParsedPrompt:
    """Put a system's classes in the place of "anything".

    Args:
        parsed: a parsed prompt.
        class_plurals: names of the classes that the system knows, as used in captions.
        directed: whether the system tells what appeared from what was removed.

    Returns:
        ``parsed`` itself unless it asks for anything; else a query for each class and
        direction (one direction for prompts such as "what was built?", and none for a system
        that knows none).

    Raises:
        InputError: the prompt asks for anything, and the system knows no classes, or the prompt
            leaves none of them.
    """
    if not parsed.anything:
        return parsed
    if not class_plurals:
        raise InputError(
            "This system has no classes of its own, so it cannot look for any change.", _hint()
        )
    anything = _anything(_without_asides(_normalise(parsed.english or parsed.text))[0], [])
    names = [name for name in class_plurals if _class_name(name) not in anything.without]
    if not names:
        raise InputError(
            f'The prompt "{parsed.text.strip()}" leaves nothing to look for.',
            f"This system knows {', '.join(class_plurals)}.",
        )
    either = directed and anything.direction == CHANGED
    ways = (APPEARED, REMOVED) if either else (anything.direction,)
    queries = tuple(Query(name, way) for name in names for way in ways)
    listed = f"looks for: {anything} ({', '.join(names)})"
    return replace(parsed, queries=queries, explanation=line_of(parsed, listed))


def _hint() -> str:
    quoted = ", ".join(f'"{example}"' for example in EXAMPLES)
    return f'Say what changed and how, such as {quoted} or "anything changed".'


def _error(message: str) -> InputError:
    return InputError(message, _hint())


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
        clean = re.sub(r"^\s*of\s|(?<=,)\s*of\s", " ", pattern.sub(" ", clean))
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
    kinds = [class_of(noun) for noun in nouns_of(" ".join(words[1:]), [])]
    wanted = [class_of(query.object) for query in queries]
    return any(kind is None or kind in wanted for kind in kinds)


@dataclass(frozen=True)
class _Anything:
    """Any change at all, in one direction or both ("changed"), but not of these classes."""

    direction: str
    without: tuple[str, ...] = ()
    named: str = ""

    def __str__(self) -> str:
        words = "any change" if self.direction == CHANGED else f"anything, {self.direction}"
        return f"{words}, except {self.named}" if self.named else words


def _anything(clean: str, aside: list[str]) -> Optional[_Anything]:
    """Tell whether anything at all was asked for; None for a real target.

    Where it was asked for, and what cannot be left out, is added to ``aside``.
    """
    match = _EXCEPTION.match(clean)
    if match is None or match.group(1).split()[-1:] == ["nothing"]:
        direction = _any_direction(clean, aside)
        return None if direction is None else _Anything(direction)
    direction = _any_direction(match.group(1), aside)
    if direction is None:
        return None
    nouns = [noun for name in nouns_of(match.group(2), aside) for noun in GROUPS.get(name, (name,))]
    known = [noun for noun in nouns if class_of(noun) is not None]
    aside += [f"except {noun}" for noun in nouns if noun not in known]
    return _Anything(direction, tuple(_class_name(n) for n in known), " and ".join(known))


def _class_name(noun: str) -> str:
    land_cover = class_of(noun)
    return noun if land_cover is None else land_cover.name


def _any_direction(clean: str, aside: list[str]) -> Optional[str]:
    """Return the direction in which anything at all was asked for; None for a real target."""
    words = WORD.findall(clean)
    if NEGATIONS & set(words):
        return None
    asks = bool(PRONOUNS & set(words)) or (bool(words) and set(words) <= ANYTHING)
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


def _read(clean: str, aside: list[str]) -> list[BoundQuery]:
    """Read the queries; what none of them says is added to ``aside``."""
    parts = [part for part in re.split(r"\s*[,;]\s*", clean) if part]
    whole = [bool(_bound(part, [])) or _is_whole(part) for part in parts]
    if len(parts) > 1 and all(whole) and any(_bound(part, []) for part in parts):
        return [query for part in parts for query in _read(part, aside)]
    bound = _bound(clean, aside)
    if bound:
        return bound
    clauses = read_clauses(without_unwanted(clean, aside), aside)
    return [BoundQuery(query.object, query.direction) for query in _distribute(clauses)]


def _is_whole(part: str) -> bool:
    """Tell a clause with noun and verb, or a negation, from a noun that needs its neighbours."""
    words = part.split()
    if words[0] in NEGATIONS:
        return True
    return any(c.events or (c.noun and c.direction) for c in read_clauses(part, []))


def _bound(clean: str, aside: list[str]) -> list[BoundQuery]:
    """Read "X replaced by Y", "Y replacing X", "X -> Y", "Y on former X"; else nothing."""
    for pattern, swapped in ((EXCHANGES, False), (REPLACING, True)):
        match = pattern.search(clean)
        if match is not None:
            left, right = clean[: match.start()], clean[match.end() :]
            gone, come = (right, left) if swapped else (left, right)
            extra: list[str] = []
            gone_nouns = nouns_of(re.sub(r"^from\s", "", gone), extra)
            come_nouns = nouns_of(come, extra)
            if come_nouns and (gone_nouns or not swapped):  # "replaced roofs" is no exchange
                aside += extra
                return _exchanged(gone_nouns, come_nouns)
    return _formerly(clean, aside) or _bare_exchange(clean, aside)


def _bare_exchange(clean: str, aside: list[str]) -> list[BoundQuery]:
    """Read "from X to Y", "X to Y"; but "the road to the airport" is a road."""
    match = _BARE_EXCHANGE.match(clean)
    if match is None or any(VERBS.get(word, CHANGED) != CHANGED for word in clean.split()):
        return []
    extra: list[str] = []
    gone, come = (nouns_of(match.group(side), extra) for side in (1, 2))
    leads = re.match(r"(?:the|an?)\s", match.group(2)) or not all(map(class_of, come))
    if not gone or not come or match.group(1).split()[-1] in PLACE:
        return []
    if leads and is_line(gone[-1]) and not clean.startswith("from "):
        return []
    aside += extra
    return _exchanged(gone, come)


def _formerly(clean: str, aside: list[str]) -> list[BoundQuery]:
    """Read "Y on former X", "Y where X was cleared": Y that appeared on what was X."""
    match = FORMERLY.search(clean)
    sides = (clean[: match.start()], clean[match.end() :]) if match is not None else None
    if sides is None:
        match = WHERE.match(clean)
        sides = match.groups() if match is not None else None
    if sides is None:
        return []
    extra: list[str] = []
    clauses = read_clauses(without_unwanted(sides[0], extra), extra)
    was = nouns_of(sides[1], extra)
    if not was or any(clause.direction == REMOVED for clause in clauses):
        return []
    nouns = [noun for clause in clauses for noun in names_of(clause)]
    if nouns:
        aside += extra
    return [BoundQuery(noun, APPEARED, tuple(was)) for noun in nouns]


def _exchanged(gone: Sequence[str], come: Sequence[str]) -> list[BoundQuery]:
    """Return what went and what came, each bound to the other."""
    removed = [BoundQuery(noun, REMOVED, tuple(come)) for noun in gone]
    return removed + [BoundQuery(noun, APPEARED, tuple(gone)) for noun in come]


def _distribute(clauses: list[Clause]) -> list[Query]:
    """Give every noun its verb, and a verb that stands alone the nouns before it."""
    queries: list[Query] = []
    group: list[str] = []  # nouns that a verb alone would go to
    pending: list[str] = []  # verbs alone before any noun: "built and demolished roads"
    for index, clause in enumerate(clauses):
        queries.extend(clause.events)
        if clause.noun:
            before = clauses[index - 1] if index else None
            if before is not None and before.direction is not None and before.noun:
                group = []
            group.append(clause.noun)
            for direction in [*pending, clause.direction or _borrowed(clauses, index)]:
                queries.extend(_both(clause.noun, direction))
            pending = []
        elif clause.direction is not None and not clause.events:
            if not group:
                pending.append(clause.direction)
            for noun in group:
                queries.extend(_both(noun, clause.direction))
    return queries


def _borrowed(clauses: list[Clause], index: int) -> str:
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
