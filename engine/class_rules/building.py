# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for regions of buildings: a new one may lie along a new road."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from ..classes import class_of
from ..request import APPEARED, Query
from .base import ClassRules
from .companion import Companion

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A building lies along a road where it is no farther away than this, in metres.
_ALONG_M = 30.0


class BuildingRules(ClassRules):
    """Buildings are demolished; new ones may lie along a new road."""

    gone = "demolished"
    coarse_name = "built-up area"
    coarse_kind = "built"
    max_regions_of_one = 1
    may_touch = True
    right_angles = True

    def companion(
        self, queries: Sequence[Query], sides: tuple[float, float]
    ) -> Optional[Companion]:
        """Return the roads that appeared in the same run; None unless both are looked for."""
        roads = _appeared(queries, "road")
        buildings = frozenset(_appeared(queries, "building"))
        if not roads or not buildings:
            return None
        name = queries[roads[0]].object if len(roads) == 1 else "roads"
        return Companion(name, roads, buildings, _ALONG_M, sides)


def _appeared(queries: Sequence[Query], name: str) -> list[int]:
    """Return the indices of the queries for what appeared of a class."""
    return [
        index
        for index, query in enumerate(queries)
        if query.direction == APPEARED
        and (land_cover := class_of(query.object)) is not None
        and land_cover.name == name
    ]
