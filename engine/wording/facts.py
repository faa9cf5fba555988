# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences from facts about regions. What is not known is not said.

Nouns of the model's classes are put into the singular and plural; any other noun
stays as the user wrote it, in sentences that are right for both numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from ..class_rules import rules_of
from ..classes import CLASSES, LandCoverClass, class_of
from ..request import APPEARED, CHANGED, REMOVED, ParsedPrompt, Query, Region

_VERB = {APPEARED: "appeared", REMOVED: "disappeared"}
_PLURALS = {land_cover.name: land_cover.plural for land_cover in CLASSES}
#: Clauses of a scene caption for "anything changed".
_MAX_CLAUSES = 5
_SQUARE_METRES_PER_HA = 1e4
_SQUARE_METRES_PER_KM2 = 1e6


@dataclass(frozen=True)
class Tally:
    """What was found for one query, summed over its regions.

    Attributes:
        query: what was looked for.
        count: number of regions.
        area_m2: None without georeference.
        positions: area (m2, or pixels without georeference) at each compass position.
        along: number of regions that lie along a new line, as their facts say.
        line: that line, as it was asked for ("roads").
        partners: of the query, see :class:`~changescribe.engine.request.Hints`.
    """

    query: Query
    count: int = 0
    area_m2: Optional[float] = None
    positions: Mapping[str, float] = field(default_factory=dict)
    along: int = 0
    line: str = ""
    partners: tuple[str, ...] = ()


def region_caption(region: Region, pixel_size: Optional[float] = None) -> str:
    """Describe a region in one sentence.

    Args:
        region: its facts; no phrase is made of what is None or empty.
        pixel_size: in metres, to which numbers are rounded; None without georeference.

    Returns:
        Such as "New road, 410 m long, in the north-east, replacing trees."
    """
    noun = _Noun(region.object)
    if region.direction == APPEARED:
        what = f"New {noun.one}" if noun.known else f"{noun.one} appeared"
    elif region.direction == REMOVED:
        what = f"{noun.one} {noun.gone}"
    else:
        what = f"{noun.one} changed"
    parts = (
        _capital(what),
        _size(region, pixel_size),
        _where(region.position),
        f"along a new {_Noun(region.along).one}" if region.along else "",
        _exchange(region, noun),
    )
    return ", ".join(part for part in parts if part) + "."


def scene_caption(
    parsed: ParsedPrompt,
    tallies: Sequence[Tally],
    *,
    pixel_size: Optional[float] = None,
    partial: bool = False,
) -> str:
    """Describe what was found in the whole area analysed.

    Args:
        parsed: the prompt.
        tallies: one per query, those without regions too.
        pixel_size: in metres; None without georeference.
        partial: the run was stopped early, so nothing is said of what is absent.

    Returns:
        One or two sentences, such as "12 roads appeared (3.1 ha), most in the north-east; no
        road disappeared."
    """
    found = [tally for tally in tallies if tally.count]
    if not found:
        prompt = " ".join(parsed.text.split())
        where = "in the part that was analysed" if partial else "in the area analysed"
        matching = "" if _all_asked(parsed.queries) else f' matching "{prompt}"'
        text = f"No change{matching} was found {where}."
    else:
        if parsed.anything:
            found.sort(key=lambda tally: -sum(tally.positions.values()))
        lines = {t.query.object: t.count for t in found if t.query.direction == APPEARED}
        clauses = [
            _found(tally, pixel_size, lines.get(tally.line, 2)) for tally in found[:_MAX_CLAUSES]
        ]
        rest = sum(tally.count for tally in found[_MAX_CLAUSES:])
        if rest:
            one = "1 smaller change of another kind"
            clauses.append(one if rest == 1 else f"{rest:,} smaller changes of other kinds")
        if not partial and not parsed.anything:
            clauses += [
                # Of an exchange, what went and what came are the same change twice.
                _absent(tally.query)
                for tally in tallies
                if not tally.count and not tally.partners
            ]
        text = _capital("; ".join(clauses)) + "."
    return f"{text} The run was stopped before it was finished." if partial else text


def _all_asked(queries: Sequence[Query]) -> bool:
    """Tell whether every class was looked for in both directions: nothing was left out."""
    asked = {(known.name, q.direction) for q in queries if (known := class_of(q.object))}
    return all(
        (land_cover.name, CHANGED) in asked
        or {(land_cover.name, APPEARED), (land_cover.name, REMOVED)} <= asked
        for land_cover in CLASSES
    )


def format_area(area_m2: float, pixel_size: Optional[float] = None) -> str:
    """Write an area as the pixel size allows: "320 m²", "3.1 ha", "2.4 km²".

    An outline is known to about a quarter of a pixel on average, so the area to that times
    the perimeter, here that of a square; digits below that are not written.
    """
    doubt = (pixel_size or 0.0) * math.sqrt(max(area_m2, 0.0))
    text = _rounded(area_m2, doubt)
    if _value(text) < _SQUARE_METRES_PER_HA:
        return f"{text} m²"
    text = _rounded(area_m2 / _SQUARE_METRES_PER_HA, doubt / _SQUARE_METRES_PER_HA)
    if _value(text) * _SQUARE_METRES_PER_HA < _SQUARE_METRES_PER_KM2:
        return f"{text} ha"
    return _rounded(area_m2 / _SQUARE_METRES_PER_KM2, doubt / _SQUARE_METRES_PER_KM2) + " km²"


def format_length(length_m: float, pixel_size: Optional[float] = None) -> str:
    """Write a length, which is known to a pixel at each end: "410 m", "1.3 km"."""
    doubt = 2 * (pixel_size or 0.0)
    text = _rounded(length_m, doubt)
    if _value(text) < 1000:
        return f"{text} m"
    return _rounded(length_m / 1000, doubt / 1000) + " km"


def _rounded(value: float, doubt: float) -> str:
    """Round to two significant digits, or one where the doubt leaves no more."""
    if value <= 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    if step < doubt / 2:
        step *= 10
    rounded = round(value / step) * step
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{rounded:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _size(region: Region, pixel_size: Optional[float]) -> str:
    if region.length_m is not None:
        return f"{format_length(region.length_m, pixel_size)} long"
    if region.area_m2 is not None:
        return format_area(region.area_m2, pixel_size)
    return f"{region.area_px:,} pixels" if region.area_px != 1 else "1 pixel"


def _where(position: str) -> str:
    return f"in the {position}" if position else ""


def _exchange(region: Region, noun: _Noun) -> str:
    own = None if noun.known is None else noun.known.name
    before, after = region.from_class, region.to_class
    if region.direction == APPEARED:
        return f"replacing {_PLURALS.get(before, before)}" if before not in (None, own) else ""
    if region.direction == REMOVED:
        return f"now {_PLURALS.get(after, after)}" if after not in (None, own) else ""
    if before is None or after is None or before == after:
        return ""
    return f"from {_PLURALS.get(before, before)} to {_PLURALS.get(after, after)}"


def _found(tally: Tally, pixel_size: Optional[float], lines: int) -> str:
    """Say what was found for a query; ``lines`` is the number of new lines it may lie along."""
    noun = _Noun(tally.query.object)
    verb = _verb(tally)
    if noun.countable:
        text = f"{tally.count:,} {noun.one if tally.count == 1 else noun.many} {verb}"
    else:
        places = "1 place" if tally.count == 1 else f"{tally.count:,} places"
        text = f"{noun.many} {verb} in {places}"
    line = _Noun(tally.line)
    one = lines == 1 or tally.along == 1
    along = f"along a new {line.one}" if one else f"along new {line.many}"
    if tally.along == tally.count:
        text += f" {along}"
    if tally.area_m2 is not None:
        text += f" ({format_area(tally.area_m2, pixel_size)})"
    main = _main_position(tally)
    some = f"{tally.along:,} of them {along}" if 0 < tally.along < tally.count else ""
    return ", ".join(part for part in (text, main, some) if part)


def _verb(tally: Tally) -> str:
    """Return what happened to the object: "appeared", or "replaced trees" in an exchange."""
    direction = tally.query.direction
    if not tally.partners:
        return _VERB.get(direction, "changed")
    others = " or ".join(_Noun(noun).many for noun in tally.partners)
    return f"replaced {others}" if direction == APPEARED else f"replaced by {others}"


def _main_position(tally: Tally) -> str:
    """Where more than half of the change lies; "" where that is nowhere or not known."""
    total = sum(tally.positions.values())
    if total <= 0:
        return ""
    place, area = max(tally.positions.items(), key=lambda item: item[1])
    if not place or area <= total / 2:
        return ""
    share = "" if tally.count == 1 else "all " if area == total else "most "
    return f"{share}in the {place}"


def _absent(query: Query) -> str:
    noun = _Noun(query.object)
    verb = _VERB.get(query.direction, "changed")
    return f"no {noun.one if noun.countable else noun.many} {verb}"


class _Noun:
    """A noun phrase in the singular and plural, as far as its class is known.

    Attributes:
        known: its land-cover class, or None.
        one: for one region.
        many: for several.
        gone: verb for an object that is no longer there.
        countable: a region is one such object: "12 roads", but "trees in 12 places".
    """

    def __init__(self, phrase: str) -> None:
        self.known: Optional[LandCoverClass] = class_of(phrase)
        self.gone = rules_of(phrase).gone
        self.one = self.many = phrase
        self.countable = False
        if self.known is None:
            return
        if self.known.kind == "stuff" and phrase in (self.known.name, self.known.plural):
            self.one = self.many = self.known.plural
            return
        start, _, head = phrase.rpartition(" ")
        one, many = _numbers(head, self.known.words)
        self.one, self.many = f"{start} {one}".strip(), f"{start} {many}".strip()
        self.countable = one != many and self.known.kind != "stuff"


def _numbers(word: str, words: Sequence[str]) -> tuple[str, str]:
    """Singular and plural of a word, both of which the class must list; else the word twice."""
    for one in (word, *_singulars(word)):
        for many in words:
            if many != one and one in words and one in _singulars(many):
                return one, many
    return word, word


def _singulars(word: str) -> tuple[str, ...]:
    """What the word could be the regular plural of."""
    return tuple(
        word[: -len(ending)] + instead
        for ending, instead in (("ies", "y"), ("es", ""), ("s", ""))
        if word.endswith(ending)
    )
