# SPDX-License-Identifier: GPL-3.0-or-later
"""Phrases for CLIP: competing classes, synonyms, sentence templates.

The list of competing classes decides the result, since a pixel belongs to the object only if no
class of the list fits better. It is therefore shown to the user, who may change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..classes import CLASS_NAMES, CLASSES, class_of

#: Default list of competing classes.
COMPETING = tuple(
    "building, road, parking lot, tree, grass, farmland, bare ground, water, shadow".split(", ")
)
#: Synonyms of the land-cover classes. A more specific noun has none: "warehouses" do not mean any
#: building.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "building": ("building", "house", "roof"),
    "road": ("road", "street"),
    "tree": ("tree", "forest"),
    "grass": ("grass", "lawn", "meadow"),
    "water": ("water", "lake", "river"),
    "bare ground": ("bare ground", "bare soil", "sand"),
}
#: Sentences whose embeddings are averaged; "{}" stands for the phrase.
TEMPLATES: tuple[str, ...] = (
    "{}.",
    "a photo of {}.",
    "a satellite image of {}.",
    "an aerial photograph of {}.",
    "a remote sensing image of {}.",
    "a bird's-eye view of {}.",
    "{} seen from above.",
    "a close-up satellite image of {}.",
)
#: Head nouns without countable objects, other than the land-cover classes.
_STUFF_WORDS = frozenset(
    """farmland cropland crops crop field fields vegetation greenery scrub shrubland heath wetland
    wetlands marsh marshland swamp mangrove mangroves snow ice asphalt concrete gravel mud beach
    beaches dune dunes desert ground land terrain surface burn ash lava seagrass algae""".split()
)


class Question(NamedTuple):
    """Phrases that CLIP compares for one query.

    Attributes:
        phrases: the object and its synonyms.
        against: for each competing class, its name and synonyms.
        is_stuff: whether the object is not countable, so that it is not outlined.
        used_default: whether the default list was used because the user's named only the object.
    """

    phrases: tuple[str, ...]
    against: tuple[tuple[str, ...], ...]
    is_stuff: bool
    used_default: bool


def question(noun: str, competing: Sequence[str]) -> Question:
    """Return the phrases for an object.

    A class that means the same as the object or includes it does not compete: "building" is not
    an alternative to "warehouses".
    """
    against = tuple(name for name in competing if not same(name, noun))
    default = tuple(name for name in COMPETING if not same(name, noun))
    land_cover = class_of(noun)
    head = noun.rsplit(" ", 1)[-1]
    is_stuff = head in _STUFF_WORDS if land_cover is None else land_cover.kind != "thing"
    return Question(
        synonyms(noun),
        tuple(synonyms(name) for name in against or default),
        is_stuff,
        bool(competing) and not against,
    )


def synonyms(phrase: str) -> tuple[str, ...]:
    """Return a phrase followed by its synonyms, without duplicates."""
    for land_cover in CLASSES:
        words = SYNONYMS[land_cover.name]
        if phrase in (*words, land_cover.plural) or _singular(phrase) in words:
            return tuple(dict.fromkeys((phrase, *words)))
    return (phrase,)


def same(one: str, other: str) -> bool:
    """Return whether two phrases name the same class."""
    if _singular(one) == _singular(other):
        return True
    land_cover = class_of(one)
    return land_cover is not None and land_cover == class_of(other)


def land_cover_classes(competing: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the phrases of the land-cover classes in order, then of other competing classes.

    The most probable one is the class of the ground on a date.
    """
    names = competing or COMPETING
    others = [n for n in names if not any(same(n, land_cover) for land_cover in CLASS_NAMES)]
    return tuple(synonyms(name) for name in (*CLASS_NAMES, *others))


def _singular(phrase: str) -> str:
    return phrase[:-1] if phrase.endswith("s") and not phrase.endswith("ss") else phrase
