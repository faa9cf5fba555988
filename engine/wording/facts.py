# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions from facts about regions; unknown facts are left out.

Nouns of the model's classes are put into the singular or plural. Any other noun stays as
the user wrote it, in sentences that are right for both numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Optional

from ..class_rules import rules_of
from ..classes import CLASSES, LandCoverClass, class_of
from ..request import APPEARED, CHANGED, REMOVED, ParsedPrompt, Query, Region
from .texts import CaptionTexts as T

_VERB = {APPEARED: "appeared", REMOVED: "disappeared"}
_PLURALS = {land_cover.name: land_cover.plural for land_cover in CLASSES}
#: Maximum number of clauses in a scene caption.
_MAX_CLAUSES = 5
#: If less than this share of the requested area was analysed, the user is warned.
MOST_OF_AREA = 0.9
#: Pixel size in metres from which on a house of 100 m2 has fewer than 7 pixels.
COARSE_PIXEL_M = 4.0
_SQUARE_METRES_PER_HA = 1e4
_SQUARE_METRES_PER_KM2 = 1e6


@dataclass(frozen=True)
class Tally:
    """The regions of one query, summed.

    Attributes:
        query: the query.
        count: number of regions.
        area_m2: None without georeference.
        positions: area (m2, or pixels without georeference) at each compass position.
        along: number of regions that lie along a new line.
        line: that line, by the noun of the prompt ("roads").
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

    Such as "New road, 410 m long, in the north-east, replacing trees." ``pixel_size``, in metres,
    sets how numbers are rounded; None without georeference.
    """
    noun = _Noun(region.object, pixel_size)
    if region.direction == APPEARED:
        what = T.new(noun=noun.one) if noun.known else T.happened(noun=noun.one, verb="appeared")
    elif region.direction == REMOVED:
        what = T.happened(noun=noun.one, verb=noun.gone)
    else:
        what = T.happened(noun=noun.one, verb="changed")
    parts = (
        _capital(what),
        _size(region, pixel_size),
        T.at(position=region.position) if region.position else "",
        T.along_one(line=_Noun(region.along).one) if region.along else "",
        _exchange(region, noun),
    )
    return ", ".join(part for part in parts if part) + "."


def scene_caption(
    parsed: ParsedPrompt,
    tallies: Sequence[Tally],
    *,
    pixel_size: Optional[float] = None,
    share: Optional[float] = None,
    partial: bool = False,
) -> str:
    """Describe the whole area analysed in one or two sentences.

    Such as "12 roads appeared (3.1 ha), most in the north-east; no road disappeared." There is a
    tally per query, including queries without regions. In a ``partial`` run, which was stopped
    early, absent objects are not mentioned. ``share``, that of the requested area that was
    analysed, is mentioned below :data:`MOST_OF_AREA`.
    """
    found = [tally for tally in tallies if tally.count]
    small = "" if partial or share is None or share >= MOST_OF_AREA else format_share(share)
    if not found:
        text: str = _nothing(parsed, small, partial=partial)
    else:
        if parsed.anything:
            found.sort(key=lambda tally: -sum(tally.positions.values()))
        lines = {t.query.object: t.count for t in found if t.query.direction == APPEARED}
        clauses = [
            _found(tally, pixel_size, lines.get(tally.line, 2)) for tally in found[:_MAX_CLAUSES]
        ]
        rest = sum(tally.count for tally in found[_MAX_CLAUSES:])
        if rest:
            clauses.append(T.one_more() if rest == 1 else T.more(count=rest))
        if not partial and not parsed.anything:
            clauses += [
                # In an exchange, both queries are about the same change.
                _absent(tally.query, pixel_size)
                for tally in tallies
                if not tally.count and not tally.partners
            ]
        text = _capital("; ".join(clauses)) + "."
        if small:
            text = T.part(caption=text, share=small)
    # A plain str, since Qt does not write a subclass of str into a layer.
    return str(T.stopped(caption=text) if partial else text)


def _nothing(parsed: ParsedPrompt, share: str, *, partial: bool) -> str:
    prompt = " ".join(parsed.text.split())
    if _is_exhaustive(parsed.queries):
        if share:
            return T.nothing_in_part(share=share)
        return T.nothing_so_far() if partial else T.nothing()
    if share:
        return T.nothing_matching_in_part(prompt=prompt, share=share)
    message = T.nothing_matching_so_far if partial else T.nothing_matching
    return message(prompt=prompt)


def format_share(share: float) -> str:
    """Format a share as a percentage, such as "37%", rounded down: 89.9% is less than 90%."""
    return T.percent(percent=math.floor(100 * share)) if share >= 0.01 else T.one_percent()


def _is_exhaustive(queries: Sequence[Query]) -> bool:
    """Return whether the queries cover every class in both directions."""
    found = {(known.name, q.direction) for q in queries if (known := class_of(q.object))}
    return all(
        (land_cover.name, CHANGED) in found
        or {(land_cover.name, APPEARED), (land_cover.name, REMOVED)} <= found
        for land_cover in CLASSES
    )


def format_area(area_m2: float, pixel_size: Optional[float] = None) -> str:
    """Format an area with the digits that the pixel size allows: "320 m²", "3.1 ha", "2.4 km²".

    An outline is accurate to about a quarter of a pixel on average, so an area to that times
    its perimeter, here that of a square.
    """
    error = (pixel_size or 0.0) * math.sqrt(max(area_m2, 0.0))
    text = _rounded(area_m2, error)
    if _value(text) < _SQUARE_METRES_PER_HA:
        return f"{text} m²"
    text = _rounded(area_m2 / _SQUARE_METRES_PER_HA, error / _SQUARE_METRES_PER_HA)
    if _value(text) * _SQUARE_METRES_PER_HA < _SQUARE_METRES_PER_KM2:
        return f"{text} ha"
    return _rounded(area_m2 / _SQUARE_METRES_PER_KM2, error / _SQUARE_METRES_PER_KM2) + " km²"


def format_length(length_m: float, pixel_size: Optional[float] = None) -> str:
    """Format a length, which is accurate to a pixel at each end: "410 m", "1.3 km"."""
    error = 2 * (pixel_size or 0.0)
    text = _rounded(length_m, error)
    if _value(text) < 1000:
        return f"{text} m"
    return _rounded(length_m / 1000, error / 1000) + " km"


def _rounded(value: float, error: float) -> str:
    """Round to two significant digits, or to one if the error allows no more."""
    if value <= 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    if step < error / 2:
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
        return T.length(length=format_length(region.length_m, pixel_size))
    if region.area_m2 is not None:
        return format_area(region.area_m2, pixel_size)
    return T.pixels(count=region.area_px) if region.area_px != 1 else T.one_pixel()


def _exchange(region: Region, noun: _Noun) -> str:
    own = None if noun.known is None else noun.known.name
    before, after = region.from_class, region.to_class
    if region.direction == APPEARED:
        return "" if before in (None, own) else T.replacing(classes=_PLURALS.get(before, before))
    if region.direction == REMOVED:
        return "" if after in (None, own) else T.now(classes=_PLURALS.get(after, after))
    if before is None or after is None or before == after:
        return ""
    return T.from_to(before=_PLURALS.get(before, before), after=_PLURALS.get(after, after))


def _found(tally: Tally, pixel_size: Optional[float], lines: int) -> str:
    """Return the clause of a query with regions that may lie along this number of new lines."""
    noun, verb = _Noun(tally.query.object, pixel_size), _verb(tally)
    if noun.countable:
        counted = noun.one if tally.count == 1 else noun.many
        text: str = T.counted(count=tally.count, noun=counted, verb=verb)
    elif tally.count == 1:
        text = T.in_one_place(noun=noun.many, verb=verb)
    else:
        text = T.in_places(count=tally.count, noun=noun.many, verb=verb)
    line = _Noun(tally.line)
    one = lines == 1 or tally.along == 1
    along = T.along_one(line=line.one) if one else T.along_many(line=line.many)
    if tally.along == tally.count:
        text += f" {along}"
    if tally.area_m2 is not None:
        text += f" ({format_area(tally.area_m2, pixel_size)})"
    main = _main_position(tally)
    is_some = 0 < tally.along < tally.count
    some = T.some_of_them(count=tally.along, along=along) if is_some else ""
    return ", ".join(part for part in (text, main, some) if part)


def _verb(tally: Tally) -> str:
    """Return what happened to the object: "appeared", or "replaced trees" in an exchange."""
    direction = tally.query.direction
    if not tally.partners:
        return _VERB.get(direction, "changed")
    others = " or ".join(_Noun(noun).many for noun in tally.partners)
    return (T.replaced if direction == APPEARED else T.replaced_by)(others=others)


def _main_position(tally: Tally) -> str:
    """Return where more than half of the change lies; "" if nowhere or unknown."""
    total = sum(tally.positions.values())
    if total <= 0:
        return ""
    place, area = max(tally.positions.items(), key=lambda item: item[1])
    if not place or area <= total / 2:
        return ""
    several = T.all_at if area == total else T.most_at
    return (T.at if tally.count == 1 else several)(position=place)


def _absent(query: Query, pixel_size: Optional[float]) -> str:
    noun = _Noun(query.object, pixel_size)
    verb = _VERB.get(query.direction, "changed")
    return T.absent(noun=noun.one if noun.countable else noun.many, verb=verb)


class _Noun:
    """A noun phrase for one region and for many, as far as its class is known.

    ``gone`` is the verb for an object that is no longer there. ``countable``: a region is one such
    object: "12 roads", but "trees in 12 places". From :data:`COARSE_PIXEL_M` on, a class may have
    a coarser word, since a region is then rarely one object.
    """

    def __init__(self, phrase: str, pixel_size: Optional[float] = None) -> None:
        self.known: Optional[LandCoverClass] = class_of(phrase)
        self.gone = rules_of(phrase).gone
        self.one = self.many = phrase
        self.countable = False
        if self.known is None:
            return
        coarser = rules_of(phrase).coarse_name
        if coarser and pixel_size is not None and pixel_size >= COARSE_PIXEL_M:
            self.one = self.many = coarser
            self.gone = "disappeared"
            return
        if self.known.kind == "stuff" and phrase in (self.known.name, self.known.plural):
            self.one = self.many = self.known.plural
            return
        start, _, head = phrase.rpartition(" ")
        one, many = _numbers(head, tuple(self.known.words))
        self.one, self.many = f"{start} {one}".strip(), f"{start} {many}".strip()
        self.countable = one != many and self.known.kind != "stuff"


@lru_cache(maxsize=256)
def _numbers(word: str, words: tuple[str, ...]) -> tuple[str, str]:
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
