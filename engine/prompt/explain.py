# SPDX-License-Identifier: GPL-3.0-or-later
"""Queries to text: what was understood of a prompt, in words for the user."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..request import APPEARED, REMOVED, ParsedPrompt


class BoundQuery(NamedTuple):
    """A query with its partners, see :class:`~changescribe.engine.request.Hints`."""

    object: str
    direction: str
    partners: tuple[str, ...] = ()


def explain(queries: Sequence[BoundQuery]) -> str:
    """Return one line for the user: ``"looks for: roads, appeared; trees, removed"``.

    Of an exchange it begins with "buildings replaced trees"; what appeared in the place of
    something is listed as "buildings, appeared on former forest".
    """
    said, bound = [], set()
    for gone, come in _bonds(queries):
        if gone and come:
            said.append(f"{_names(come)} replaced {_names(gone)}")
            bound.update((*gone, *come))
    listed = "; ".join(
        f"{query.object}, {query.direction}{'' if query in bound else _former(query)}"
        for query in queries
    )
    return f"looks for: {', '.join(said)} ({listed})" if said else f"looks for: {listed}"


def compose(parsed: ParsedPrompt, without: Container[int] = ()) -> str:
    """Return a prompt that is read as the same queries, "" for none: the inverse of the parser.

    Args:
        parsed: a prompt.
        without: indices of queries to leave out.
    """
    queries = [
        BoundQuery(query.object, query.direction, partners)
        for index, (query, partners) in enumerate(zip(parsed.queries, parsed.partners))
        if index not in without
    ]
    parts = []
    for gone, come in _bonds(queries):
        if gone and come:
            parts.append(f"{_names(gone)} replaced by {_names(come)}")
        else:
            parts += [
                f"{query.object} {query.direction}{_former(query)}" for query in (*gone, *come)
            ]
    return ", ".join(parts)


def notes(parsed: ParsedPrompt) -> tuple[str, ...]:
    """Return warnings for the user about what a prompt says and nobody acts upon."""
    found = []
    if parsed.unused:
        found.append(
            f"Not used of the prompt: {'; '.join(parsed.unused)}. The area analysed says where, "
            "the minimum area how large, and the layers when."
        )
    if parsed.suggestion:
        found.append(f'Did you mean "{parsed.suggestion}"?')
    return tuple(found)


def line_of(parsed: ParsedPrompt, explanation: str) -> str:
    """Return the explanation with all that the user should know of the prompt."""
    if parsed.unused:
        explanation += f" (not used: {'; '.join(parsed.unused)})"
    if parsed.english:
        explanation += f' (read as "{parsed.english}")'
    if parsed.suggestion:
        explanation += f' - did you mean "{parsed.suggestion}"?'
    return explanation


def _bonds(
    queries: Sequence[BoundQuery],
) -> Iterator[tuple[list[BoundQuery], list[BoundQuery]]]:
    """Yield what went and what came in its place, together; of all else one query at a time."""
    rest = list(queries)
    while rest:
        first = rest[0]
        others = [query for query in rest if _belong(first, query)]
        same = [first]
        if others:
            same = [
                q for q in rest if q.direction == first.direction and q.partners == first.partners
            ]
        for query in (*same, *others):
            rest.remove(query)
        yield (same, others) if first.direction == REMOVED else (others, same)


def _belong(one: BoundQuery, other: BoundQuery) -> bool:
    """Tell whether each of two queries is what the other was, or became."""
    return (
        one.direction != other.direction
        and one.object in other.partners
        and other.object in one.partners
    )


def _former(query: BoundQuery) -> str:
    came = query.partners and query.direction == APPEARED
    return f" on former {' and '.join(query.partners)}" if came else ""


def _names(queries: Iterable[BoundQuery]) -> str:
    return " and ".join(query.object for query in queries)
