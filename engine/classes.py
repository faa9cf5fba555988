# SPDX-License-Identifier: GPL-3.0-or-later
"""Land-cover classes that the bundled model knows, with their names and words.

The order is that of the channels of a system's class scores, and (plus one) of
the label code of the training data: 1 building, 2 road, 3 tree, 4 grass,
5 water, 6 bare ground.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class LandCoverClass:
    """A land-cover class.

    Attributes:
        name: singular, as written into ``from_class`` and ``to_class``.
        plural: as used in counts and captions; equal to ``name`` for mass nouns.
        kind: ``"thing"`` is countable, ``"line"`` has a length, ``"stuff"`` only an area.
        words: single words and phrases, lower case, that mean this class in a prompt.
    """

    name: str
    plural: str
    kind: str
    words: tuple[str, ...]


CLASSES: tuple[LandCoverClass, ...] = (
    LandCoverClass(
        "building",
        "buildings",
        "thing",
        (
            "building",
            "buildings",
            "house",
            "houses",
            "home",
            "homes",
            "housing",
            "villa",
            "villas",
            "residence",
            "residences",
            "residential buildings",
            "structure",
            "structures",
            "warehouse",
            "warehouses",
            "factory",
            "factories",
            "apartment",
            "apartments",
            "apartment blocks",
            "bungalow",
            "bungalows",
            "cottage",
            "cottages",
            "hangar",
            "hangars",
            "dwelling",
            "dwellings",
            "shed",
            "sheds",
            "roof",
            "roofs",
            "rooftops",
            "settlement",
            "settlements",
        ),
    ),
    LandCoverClass(
        "road",
        "roads",
        "line",
        (
            "road",
            "roads",
            "street",
            "streets",
            "highway",
            "highways",
            "motorway",
            "motorways",
            "lane",
            "lanes",
            "avenue",
            "avenues",
            "track",
            "tracks",
            "path",
            "paths",
            "driveway",
            "driveways",
            "pavement",
            "carriageway",
            "carriageways",
            "cul-de-sac",
            "cul-de-sacs",
        ),
    ),
    LandCoverClass(
        "tree",
        "trees",
        "stuff",
        (
            "tree",
            "trees",
            "forest",
            "forests",
            "wood",
            "woods",
            "woodland",
            "woodlands",
            "grove",
            "groves",
            "canopy",
            "tree canopy",
            "tree cover",
            "orchard",
            "orchards",
            "jungle",
        ),
    ),
    LandCoverClass(
        "grass",
        "grass",
        "stuff",
        (
            "grass",
            "grassland",
            "grasslands",
            "lawn",
            "lawns",
            "meadow",
            "meadows",
            "pasture",
            "pastures",
            "low vegetation",
        ),
    ),
    LandCoverClass(
        "water",
        "water",
        "stuff",
        (
            "water",
            "lake",
            "lakes",
            "pond",
            "ponds",
            "river",
            "rivers",
            "reservoir",
            "reservoirs",
            "stream",
            "streams",
            "canal",
            "canals",
            "water body",
            "water bodies",
        ),
    ),
    LandCoverClass(
        "bare ground",
        "bare ground",
        "stuff",
        (
            "bare ground",
            "bare soil",
            "bare land",
            "bare earth",
            "bareland",
            "soil",
            "sand",
            "dirt",
            "open ground",
            "wasteland",
            "construction site",
            "construction sites",
            "earthworks",
        ),
    ),
)

CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in CLASSES)

#: Nouns that have a length though no class of the model says so.
LINE_WORDS = frozenset(
    """railway railways railroad railroads rails runway runways canal canals river rivers stream
    streams ditch ditches fence fences wall walls hedge hedges hedgerow hedgerows pipeline pipelines
    trail trails footpath footpaths dike dikes dyke dykes dam dams bridge bridges footway footways
    cycleway cycleways firebreak firebreaks""".split()
)


def listed_names(text: str) -> tuple[str, ...]:
    """Return the names in a list such as "grass, bare ground": lower case, each once."""
    names = (" ".join(name.lower().split()) for name in re.split(r"[,;\n]", text))
    return tuple(dict.fromkeys(name for name in names if name))


def class_of(phrase: str) -> Optional[LandCoverClass]:
    """Return the class that a prompt's object phrase names, or None for any other noun.

    The whole phrase is looked up first, then its last word ("new stone houses"),
    which is the head of an English noun phrase.
    """
    phrase = " ".join(phrase.lower().split())
    head = phrase.rsplit(" ", 1)[-1] if phrase else ""
    for candidate in (phrase, head):
        for land_cover in CLASSES:
            if candidate in land_cover.words:
                return land_cover
    return None


def index_among(phrase: str, names: Sequence[str]) -> Optional[int]:
    """Return which of the names a phrase means: itself, or the first of the same class."""
    if phrase in names:
        return list(names).index(phrase)
    land_cover = class_of(phrase)
    for index, name in enumerate(names):
        if land_cover is not None and land_cover == class_of(name):
            return index
    return None


def is_line(phrase: str) -> bool:
    """Tell whether what a phrase names has a length ("roads", "railway") and not only an area."""
    land_cover = class_of(phrase)
    head = phrase.rsplit(" ", 1)[-1]
    return head in LINE_WORDS or (land_cover is not None and land_cover.kind == "line")
