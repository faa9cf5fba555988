# SPDX-License-Identifier: GPL-3.0-or-later
"""What the zero-shot system says to CLIP: competing classes, synonyms, sentences.

The list of competing classes decides the result: a pixel belongs to the object
only where nothing else in the list fits better. It is therefore shown to the
user, who may change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..classes import CLASS_NAMES, CLASSES, class_of

#: What else the ground may be, where the user gives no list of their own.
COMPETING: tuple[str, ...] = (
    "building",
    "road",
    "parking lot",
    "tree",
    "grass",
    "farmland",
    "bare ground",
    "water",
    "shadow",
)
#: Other words for the land-cover classes. A noun that is none of them stands for itself:
#: "warehouses" are not any building.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "building": ("building", "house", "roof"),
    "road": ("road", "street"),
    "tree": ("tree", "forest"),
    "grass": ("grass", "lawn", "meadow"),
    "water": ("water", "lake", "river"),
    "bare ground": ("bare ground", "bare soil", "sand"),
}
#: Sentences whose embeddings are averaged; "{}" is the phrase.
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
#: Nouns without countable objects that are no land-cover class: head words of a phrase.
_STUFF_WORDS = frozenset(
    """farmland cropland crops crop field fields vegetation greenery scrub shrubland heath wetland
    wetlands marsh marshland swamp mangrove mangroves snow ice asphalt concrete gravel mud beach
    beaches dune dunes desert ground land terrain surface burn ash lava seagrass algae""".split()
)


class Question(NamedTuple):
    """What CLIP is asked for one query.

    Attributes:
        phrases: of the object: itself and its synonyms.
        against: of each competing class: itself and its synonyms.
        is_stuff: it has no countable objects, so that no mask is drawn around one.
        used_default: the user's list named nothing but the object.
    """

    phrases: tuple[str, ...]
    against: tuple[tuple[str, ...], ...]
    is_stuff: bool
    used_default: bool


def question(noun: str, competing: Sequence[str]) -> Question:
    """Return what CLIP is asked for an object.

    A class that means the same as the object, or takes it in, does not compete with it: where
    "warehouses" are wanted, "building" fits as well.

    Args:
        noun: phrase of a query ("swimming pools").
        competing: the list; may be empty, which is the default one.
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
    """Return a phrase and other words for it, each once, the phrase first."""
    for land_cover in CLASSES:
        words = SYNONYMS[land_cover.name]
        if phrase in (*words, land_cover.plural) or _singular(phrase) in words:
            return tuple(dict.fromkeys((phrase, *words)))
    return (phrase,)


def same(one: str, other: str) -> bool:
    """Tell whether two phrases name the same class of ground."""
    if _singular(one) == _singular(other):
        return True
    land_cover = class_of(one)
    return land_cover is not None and land_cover == class_of(other)


def land_cover_classes(competing: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the phrases of the land-cover classes, in their order, then of what else competes.

    Which of them is the likeliest says what the ground was and what it has become.
    """
    names = competing or COMPETING
    others = [n for n in names if not any(same(n, land_cover) for land_cover in CLASS_NAMES)]
    return tuple(synonyms(name) for name in (*CLASS_NAMES, *others))


def _singular(phrase: str) -> str:
    return phrase[:-1] if phrase.endswith("s") and not phrase.endswith("ss") else phrase
