# SPDX-License-Identifier: GPL-3.0-or-later
"""For "X replaced by Y", keeps the regions where both happened.

"trees replaced by buildings" asks for trees that were removed where there are buildings now, and
for buildings that appeared where there were trees. The class on the other date is that of most
pixels of a region, as in ``from_class`` and ``to_class``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from ..classes import index_among
from ..request import APPEARED, ParsedPrompt, Query
from .facts import class_of_most
from .texts import RegionsTexts


@dataclass(frozen=True)
class ExchangeRule:
    """Which class the other date must have, for Q queries and K classes.

    Index 0 of each array stands for pixels without a query.

    Attributes:
        appeared: (Q + 1,) bool: the other date is the earlier one.
        accepted: (Q + 1, K) bool: most pixels must have one of these classes.
        bound: (Q + 1,) bool: the query has such classes; other queries keep all regions.
        own: (Q + 1,) class that the other date cannot have, -1 for none.
    """

    appeared: np.ndarray
    accepted: np.ndarray
    bound: np.ndarray
    own: np.ndarray

    def other(self, value: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return, of (C, K + 1) pixels of each class on both dates, those on the other date."""
        return np.where(self.appeared[value][:, None], before, after)

    def agrees(self, value: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return (C,) bool: components that have a class which their query accepts.

        ``value`` is the (C,) number of the query from 1, ``counts`` the (C, K + 1) pixels of each
        class on the other date, and of none.
        """
        most = class_of_most(counts, self.own[value])
        return ~self.bound[value] | ((most >= 0) & self.accepted[value, most])


def rule_of(
    queries: Sequence[Query], partners: Sequence[Sequence[str]], names: Sequence[str]
) -> Optional[ExchangeRule]:
    """Return the rule for queries, None if none of them depends on another class.

    ``partners`` are those of each query, as :func:`bind` returns them; empty if none has any.
    """
    size = len(queries) + 1
    rule = ExchangeRule(
        np.zeros(size, dtype=bool),
        np.zeros((size, len(names)), dtype=bool),
        np.zeros(size, dtype=bool),
        np.full(size, -1),
    )
    for number, query in enumerate(queries, start=1):
        classes = _classes(query, partners[number - 1], names) if partners else ()
        rule.appeared[number] = query.direction == APPEARED
        rule.bound[number] = bool(classes)
        rule.accepted[number, list(classes)] = True
        rule.own[number] = _index(query.object, names)
    return rule if rule.bound.any() else None


def bind(parsed: ParsedPrompt, names: Sequence[str]) -> tuple[ParsedPrompt, tuple[str, ...]]:
    """Drop the partners of queries that a system has no classes for, with warnings."""
    bound: list[tuple[str, ...]] = []
    warnings: list[str] = []
    for query, partners in zip(parsed.queries, parsed.partners):
        known = _classes(query, partners, names)
        bound.append(partners if known else ())
        if known or not partners:
            continue
        appeared = query.direction == APPEARED
        text = RegionsTexts.unknown_replaced if appeared else RegionsTexts.unknown_replaced_by
        warnings.append(text(object=query.object, others=" or ".join(partners)))
    hints = replace(parsed.hints, partners=tuple(bound) if any(bound) else ())
    return replace(parsed, hints=hints), tuple(warnings)


def _classes(query: Query, partners: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """Return the classes of a query's partners; empty if the system lacks one of them."""
    found = tuple(_index(noun, names) for noun in partners)
    own = _index(query.object, names)
    return () if any(index in (-1, own) for index in found) else found


def _index(noun: str, names: Sequence[str]) -> int:
    """Return the index of a noun's class among those of a system, -1 for none."""
    index = index_among(noun, names)
    return -1 if index is None else index
