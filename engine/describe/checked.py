# SPDX-License-Identifier: GPL-3.0-or-later
"""Written sentences about areas, each checked against what detections found there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from ..detect import pipeline
from ..errors import DependencyError, WeightsError
from ..request import Hints, Progress
from ..results.detected import Detected, together
from ..wording.guard import check

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..hosts.base import Host
    from ..request import Area, CancelledCallback, ChangeRequest, ProgressCallback
    from ..wording.guard import Facts, Guard
    from ..wording.reading import Event
    from .writer import CaptionWriter

#: The prompt that asks for every class that a system knows, in both directions.
ANYTHING = "anything changed"
#: The system whose detection sentences are checked against: it is fast, and knows directions.
CHECKED_BY = "bundled"
#: A region of many tiles is described from so many of them.
_MAX_VIEWS = 4
NOT_CHECKED = (
    "The written captions were not compared with a detection: the system that would make one "
    "cannot be used here."
)


def detect_everything(
    request: ChangeRequest,
    host: Host,
    folder: str,
    progress: Optional[ProgressCallback] = None,
    cancelled: Optional[CancelledCallback] = None,
    warned: Optional[Callable[[str], None]] = None,
) -> Optional[Detected]:
    """Detect all that can be known of an area, to check sentences against.

    Args:
        request: of a detection; its prompt and output are replaced.
        host: where the system runs.
        folder: for the results, which have to stay there as long as they are asked.
        progress: told of the tiles, with a fraction of 0: the sentences are still to come.
        cancelled: asked between tiles.
        warned: given what the user should know of the detection, such as that pixels are coarse.

    Returns:
        None where the system lacks a package or its weights.

    Raises:
        InputError: the request cannot be carried out.
        CancelledError: the user does not want to go on.
    """

    def tell(told: Progress) -> None:
        if progress is not None:
            progress(replace(told, fraction=0.0, seconds_left=None))

    # The rest of the run (threshold, bands, area, dates) is as the user has it. What is said of
    # a pair goes by objects: those of a sharp pair without georeference would be drowned.
    asked = replace(
        request,
        prompt=ANYTHING,
        output=str(Path(folder) / "everything.gpkg"),
        mask=None,
        score=None,
        crs=None,
        min_area=None,
        hints=Hints(sharp=True),
    )
    try:
        result = pipeline.detect(asked, host, tell, cancelled)
    except (DependencyError, WeightsError):
        return None
    for warning in result.warnings if warned is not None else ():
        warned(warning)
    return Detected(result.gpkg)


class CheckedWriter:
    """Has sentences written, and keeps those that agree with the facts.

    Args:
        writer: of the sentences.
        detections: of the same rasters; without any, only the form of sentences is checked.
        guard: counts what was replaced.
    """

    def __init__(self, writer: CaptionWriter, detections: Sequence[Detected], guard: Guard) -> None:
        self._writer = writer
        self._detections = detections
        self._guard = guard

    def about(self, area: Area) -> str:
        """Return the sentences about an area that may stay; "" where none does.

        Of an area of several tiles a sentence must be true of its tile and of the whole: "two
        houses" of one tile are not what happened to a town.

        Raises:
            InputError: the area lies outside the overlap.
            CancelledError: the user does not want to go on.
        """
        whole = self.facts(area)

        def may_stay(sentence: str, place: Area) -> bool:
            problem = self._guard.passes(sentence, self.facts(place, within=area))
            return problem is None and check(sentence, whole) is None

        return self._writer.describe(area, may_stay)

    def about_region(self, area: Area, own: Event) -> str:
        """Return what may stay of what is said of a region; it must say what the region is.

        Raises:
            InputError: the region lies outside the overlap.
            CancelledError: the user does not want to go on.
        """
        return self._writer.describe(
            area,
            # What lies around it may be named too.
            lambda sentence, place: not self._guard.passes(sentence, self.facts(place, own)),
            most=_MAX_VIEWS,
        )

    def facts(
        self, place: Area, own: Optional[Event] = None, within: Optional[Area] = None
    ) -> Optional[Facts]:
        """Return all that the detections know of a place; None without any."""
        if not self._detections:
            return None
        return together([known.facts(place, own, within) for known in self._detections])
