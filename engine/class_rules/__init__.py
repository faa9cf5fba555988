# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about regions of one class: a file per class, behind :class:`ClassRules`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from ..classes import class_of, is_line
from .base import ClassRules
from .building import BuildingRules
from .companion import Companion
from .ground import BareGroundRules, WaterRules
from .plants import GrassRules, TreeRules
from .road import LineRules, RoadRules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..request import Query

__all__ = ["ClassRules", "Companion", "companions_of", "rules_of"]

_RULES: dict[str, ClassRules] = {
    "building": BuildingRules(),
    "road": RoadRules(),
    "tree": TreeRules(),
    "grass": GrassRules(),
    "water": WaterRules(),
    "bare ground": BareGroundRules(),
}
_LINES, _OTHERS = LineRules(), ClassRules()


def rules_of(noun: str) -> ClassRules:
    """Return the rules for regions that a noun phrase of a prompt names."""
    land_cover = class_of(noun)
    rules = None if land_cover is None else _RULES.get(land_cover.name)
    return rules or (_LINES if is_line(noun) else _OTHERS)


def companions_of(
    queries: Sequence[Query], sides: Optional[tuple[float, float]]
) -> list[Companion]:
    """Return what regions of a run may lie along.

    ``sides`` are those of a pixel on the ground in metres; None without georeference.
    """
    if sides is None:
        return []
    rules = dict.fromkeys(rules_of(query.object) for query in queries)
    found = (of_class.companion(queries, sides) for of_class in rules)
    return [companion for companion in found if companion is not None]
