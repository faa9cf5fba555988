# SPDX-License-Identifier: GPL-3.0-or-later
"""Land-cover classes of the bundled model, with their names and words.

Their order is that of the channels of class scores and, plus one, of the label codes of the
training data: 1 building, 2 road, 3 tree, 4 grass, 5 water, 6 bare ground.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from .lexicon.nouns import CLASS_NOUNS, LINE_NOUNS

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class LandCoverClass:
    """A land-cover class.

    Attributes:
        name: singular, as written into ``from_class`` and ``to_class``.
        plural: as used in counts and captions; equal to ``name`` for mass nouns.
        kind: ``"thing"`` is countable, ``"line"`` has a length, ``"stuff"`` only an area.
        words: words and phrases, lower case, that mean this class in a prompt.
    """

    name: str
    plural: str
    kind: str
    words: tuple[str, ...]


CLASSES: tuple[LandCoverClass, ...] = tuple(
    LandCoverClass(name, plural, kind, CLASS_NOUNS[name])
    for name, plural, kind in (
        ("building", "buildings", "thing"),
        ("road", "roads", "line"),
        ("tree", "trees", "stuff"),
        ("grass", "grass", "stuff"),
        ("water", "water", "stuff"),
        ("bare ground", "bare ground", "stuff"),
    )
)

CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in CLASSES)


def listed_names(text: str) -> tuple[str, ...]:
    """Return the names in a list such as "grass, bare ground": lower case, each once."""
    names = (" ".join(name.lower().split()) for name in re.split(r"[,;\n]", text))
    return tuple(dict.fromkeys(name for name in names if name))


def class_of(phrase: str) -> Optional[LandCoverClass]:
    """Return the class that a prompt's object phrase names, or None for any other noun.

    The whole phrase is looked up first, then its last word, the head of an English noun phrase.
    """
    phrase = " ".join(phrase.lower().split())
    head = phrase.rsplit(" ", 1)[-1] if phrase else ""
    for candidate in (phrase, head):
        for land_cover in CLASSES:
            if candidate in land_cover.words:
                return land_cover
    return None


def index_among(phrase: str, names: Sequence[str]) -> Optional[int]:
    """Return the index of a phrase among names, or of the first name of the same class."""
    if phrase in names:
        return list(names).index(phrase)
    land_cover = class_of(phrase)
    for index, name in enumerate(names):
        if land_cover is not None and land_cover == class_of(name):
            return index
    return None


def is_line(phrase: str) -> bool:
    """Whether an object has a length ("roads", "railway") and not only an area."""
    land_cover = class_of(phrase)
    head = phrase.rsplit(" ", 1)[-1]
    return head in LINE_NOUNS or (land_cover is not None and land_cover.kind == "line")
