# SPDX-License-Identifier: GPL-3.0-or-later
"""Written sentences about areas, each checked against what detections found there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from ..detect import pipeline
from ..errors import DependencyError, WeightsError
from ..request import Hints
from ..results.detected import Detected, together
from ..wording.guard import check
from .request import ANYTHING, FACTS, Callbacks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..hosts.base import Host
    from ..request import Area, ChangeRequest, Progress
    from ..wording.guard import Facts, Guard
    from ..wording.reading import Event
    from .writer import CaptionWriter

#: A region of many tiles is described from this many of them.
_MAX_VIEWS = 4


def detect_everything(
    request: ChangeRequest, host: Host, folder: str, callbacks: Optional[Callbacks] = None
) -> Optional[Detected]:
    """Detect any change in an area, to check sentences against; None if something is missing.

    Missing are a package or the weights of the system.

    Args:
        request: of a detection; its prompt and output are replaced.
        host: where the system runs.
        folder: for the results, which must stay there as long as they are used.
        callbacks: get the tiles, with a fraction of 0 (the sentences are still to come), and the
            warnings of the detection.

    Raises:
        InputError: the request cannot be carried out.
        CancelledError: the user cancelled.
    """
    callbacks = callbacks or Callbacks()

    def report(progress: Progress) -> None:
        callbacks.progress(replace(progress, fraction=0.0, seconds_left=None))

    # Threshold, bands, area and dates stay as the user set them. Captions name objects, which
    # changes of colour would drown in a pair without georeference if it were not taken as sharp.
    everything = replace(
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
        result = pipeline.detect(everything, host, report, callbacks.cancelled)
    except (DependencyError, WeightsError):
        return None
    for warning in result.warnings:
        callbacks.warned(warning)
    return Detected(result.gpkg)


def with_facts(sentence: str, facts: str, system: str) -> tuple[str, str]:
    """Return a caption of both, and its source: the system if it wrote a sentence."""
    return f"{sentence} {facts}".strip(), system if sentence else FACTS


class CheckedWriter:
    """Has sentences written, and keeps those that agree with the facts.

    Without ``detections`` in the same rasters, only the form of sentences is checked.
    """

    def __init__(self, writer: CaptionWriter, detections: Sequence[Detected], guard: Guard) -> None:
        self._writer = writer
        self._detections = detections
        self._guard = guard

    def about(self, area: Area) -> str:
        """Return the true sentences about an area; "" if there are none.

        In an area of several tiles a sentence must be true of its tile and of the whole area: "two
        houses" in one tile are not what happened to a town.

        Raises:
            InputError: the area lies outside the overlap.
            CancelledError: the user cancelled.
        """
        whole = self.facts(area)

        def may_stay(sentence: str, place: Area) -> bool:
            passes = self._guard.passes(sentence, self.facts(place, within=area))
            return passes and check(sentence, whole) is None

        return self._writer.describe(area, may_stay)

    def about_region(self, area: Area, own: Event) -> str:
        """Return the true sentences about a region that name ``own``, its change.

        What lies around the region may be named too.

        Raises:
            InputError: the region lies outside the overlap.
            CancelledError: the user cancelled.
        """
        return self._writer.describe(
            area,
            lambda sentence, place: self._guard.passes(sentence, self.facts(place, own)),
            most=_MAX_VIEWS,
        )

    def facts(
        self, place: Area, own: Optional[Event] = None, within: Optional[Area] = None
    ) -> Optional[Facts]:
        """Return what the detections found in a place; None without detections."""
        if not self._detections:
            return None
        return together([known.facts(place, own, within) for known in self._detections])
