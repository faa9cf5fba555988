# SPDX-License-Identifier: GPL-3.0-or-later
"""Queries to text: shows the user how a prompt was understood."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..messages import Text
from ..request import APPEARED, REMOVED, ParsedPrompt
from .texts import PromptTexts


class BoundQuery(NamedTuple):
    """A query with its partners, see :class:`~changescribe.engine.request.Hints`."""

    object: str
    direction: str
    partners: tuple[str, ...] = ()


def explain(queries: Sequence[BoundQuery]) -> Text:
    """Return one line for the user: ``"looks for: roads, appeared; trees, removed"``.

    An exchange comes first, as "buildings replaced trees". What appeared in place of something
    reads "buildings, appeared on former forest".
    """
    exchanges: list[str] = []
    bound: set[BoundQuery] = set()
    for gone, came in _bonds(queries):
        if gone and came:
            exchanges.append(PromptTexts.exchange(came=_names(came), gone=_names(gone)))
            bound.update((*gone, *came))
    listed = "; ".join(_listed(query, query in bound) for query in queries)
    if exchanges:
        listed = PromptTexts.with_details(what=", ".join(exchanges), details=listed)
    return PromptTexts.looks_for(what=listed)


def compose(parsed: ParsedPrompt, without: Container[int] = ()) -> str:
    """Return a prompt that the parser reads as the same queries; "" if there are none.

    Queries whose indices are in ``without`` are left out.
    """
    queries = [
        BoundQuery(query.object, query.direction, partners)
        for index, (query, partners) in enumerate(zip(parsed.queries, parsed.partners))
        if index not in without
    ]
    parts = []
    for gone, came in _bonds(queries):
        if gone and came:
            parts.append(f"{_names(gone)} replaced by {_names(came)}")
        else:
            for query in (*gone, *came):
                former = _former(query)
                on_former = f" on former {former}" if former else ""
                parts.append(f"{query.object} {query.direction}{on_former}")
    return ", ".join(parts)


def notes(parsed: ParsedPrompt) -> tuple[Text, ...]:
    """Return warnings about ignored parts and misspelt words of a prompt."""
    found = []
    if parsed.unused:
        found.append(PromptTexts.ignored(parts="; ".join(parsed.unused)))
    if parsed.suggestion:
        found.append(PromptTexts.did_you_mean(prompt=parsed.suggestion))
    return tuple(found)


def line_of(parsed: ParsedPrompt, explanation: Text) -> Text:
    """Return the explanation with everything else that the user should know of the prompt."""
    line = explanation
    if parsed.unused:
        line = PromptTexts.with_ignored(line=line, parts="; ".join(parsed.unused))
    if parsed.english:
        line = PromptTexts.with_english(line=line, english=parsed.english)
    if parsed.suggestion:
        line = PromptTexts.with_suggestion(line=line, prompt=parsed.suggestion)
    return line


def _listed(query: BoundQuery, bound: bool) -> Text:
    former = "" if bound else _former(query)
    if former:
        return PromptTexts.query_on_former(
            object=query.object, direction=query.direction, former=former
        )
    return PromptTexts.query(object=query.object, direction=query.direction)


def _bonds(queries: Sequence[BoundQuery]) -> Iterator[tuple[list[BoundQuery], list[BoundQuery]]]:
    """Yield what went with what came in its place; other queries one at a time."""
    rest = list(queries)
    while rest:
        first = rest[0]
        others = [query for query in rest if _exchanged(first, query)]
        same = [first]
        if others:
            same = [
                q for q in rest if q.direction == first.direction and q.partners == first.partners
            ]
        for query in (*same, *others):
            rest.remove(query)
        yield (same, others) if first.direction == REMOVED else (others, same)


def _exchanged(one: BoundQuery, other: BoundQuery) -> bool:
    """Whether one of two queries replaced the other."""
    return (
        one.direction != other.direction
        and one.object in other.partners
        and other.object in one.partners
    )


def _former(query: BoundQuery) -> str:
    return " and ".join(query.partners) if query.direction == APPEARED else ""


def _names(queries: Iterable[BoundQuery]) -> str:
    return " and ".join(query.object for query in queries)
