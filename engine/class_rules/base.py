# SPDX-License-Identifier: GPL-3.0-or-later
"""What a class may decide about its regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..request import Query
    from .companion import Companion


class ClassRules:
    """Rules for regions of most classes; those of one class override them.

    Attributes:
        min_length_m: shorter regions are dropped, unless the user keeps every region.
        has_length: the length is measured where a region is long and narrow.
        gone: verb in the caption of a region that was removed.
        coarse_kind: what the class looks like in pixels too coarse for shapes:
            ``"built"`` or ``"plants"``; "" leaves such pixels to the network alone.
        coarse_name: what a caption calls regions of the class where pixels are too large to show
            single objects; "" keeps the words of the prompt.
        max_regions_of_one: regions that a sentence may call one object; 0: its numbers of
            objects are not compared with those of regions.
        right_angles: outlines are made regular in fine pixels.
        may_touch: objects that touch are separated where the neck between them is narrow.
    """

    min_length_m: float = 0.0
    has_length: bool = False
    gone: str = "disappeared"
    coarse_kind: str = ""
    coarse_name: str = ""
    max_regions_of_one: int = 0
    may_touch: bool = False
    right_angles: bool = False

    def companion(
        self, queries: Sequence[Query], sides: tuple[float, float]
    ) -> Optional[Companion]:
        """Return what regions may lie along; None where the run does not look for it.

        ``sides`` are those of a pixel on the ground, in metres.
        """
        return None
