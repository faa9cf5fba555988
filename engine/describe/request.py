# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be described, and the captions: frozen dataclasses, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from ..errors import CancelledError
from ..request import NODATA_AUTO, Area, CancelledCallback, ChangeRequest, Hints, ProgressCallback

#: x0, y0, x1, y1 in pixels of BEFORE; x1 and y1 are not part of the box.
Box = tuple[int, int, int, int]

#: Source of captions that no system wrote; in a :class:`MapCaptionRequest` also the "system".
FACTS = "facts"
#: The prompt that asks for every class of a system, in both directions.
ANYTHING = "anything changed"
#: The system whose detection sentences are checked against: it is fast, and knows directions.
CHECKED_BY = "bundled"

SCENE, TILES, REGIONS = "scene", "tiles", "regions"
#: What captions of a map can be about, in the order in which they are written.
LEVELS = (REGIONS, TILES, SCENE)


@dataclass(frozen=True)
class CaptionRequest:
    """A pair of rasters to describe, or boxes of it; other fields are as in :class:`ChangeRequest`.

    Attributes:
        boxes: what to describe; None is the whole raster.
        outlines: one area per box, if the captions are about polygons in the boxes.
        system: name of the system. If it writes no sentences, captions state the facts of its
            detection.
        checked_by: system whose detection written sentences are checked against.
    """

    before: str
    after: str
    boxes: Optional[tuple[Box, ...]] = None
    outlines: Optional[tuple[Area, ...]] = None
    system: str = "bundled"
    checked_by: str = CHECKED_BY
    device: str = "auto"
    bands_before: Optional[tuple[int, ...]] = None
    bands_after: Optional[tuple[int, ...]] = None
    crs_before: Optional[str] = None
    crs_after: Optional[str] = None
    pixel_size: Optional[float] = None
    nodata: str = NODATA_AUTO
    nodata_before: tuple[tuple[float, float], ...] = ()
    nodata_after: tuple[tuple[float, float], ...] = ()

    @property
    def detection(self) -> ChangeRequest:
        """The request for a detection of any change, without an output."""
        return ChangeRequest(
            before=self.before,
            after=self.after,
            prompt=ANYTHING,
            output="",
            system=self.system,
            device=self.device,
            bands_before=self.bands_before,
            bands_after=self.bands_after,
            crs_before=self.crs_before,
            crs_after=self.crs_after,
            pixel_size=self.pixel_size,
            nodata=self.nodata,
            nodata_before=self.nodata_before,
            nodata_after=self.nodata_after,
            hints=Hints(sharp=True),
        )


@dataclass(frozen=True)
class BoxCaption:
    """The caption of a box in pixels of BEFORE.

    ``source`` is the system that wrote the first of its sentences, or :data:`FACTS`.
    """

    box: Box
    caption: str
    source: str = FACTS


@dataclass(frozen=True)
class MapCaptionRequest:
    """A finished detection to describe.

    Attributes:
        detection: request of the detection; its ``output`` holds the results.
        run_id: of the detection.
        system: name of a system that writes sentences, or :data:`FACTS`.
        levels: of :data:`LEVELS`.
        checked_by: system whose detection of any change written sentences are checked against,
            beside the results.
    """

    detection: ChangeRequest
    run_id: str
    system: str = FACTS
    levels: tuple[str, ...] = (REGIONS,)
    checked_by: str = CHECKED_BY


@dataclass(frozen=True)
class MapCaption:
    """A caption and its place.

    Attributes:
        level: of :data:`LEVELS`.
        caption: what was written, then the facts.
        source: name of the system that wrote, or :data:`FACTS`.
        place: polygons, with their CRS.
        change_id: of a region; else 0.
    """

    level: str
    caption: str
    source: str
    place: Area
    change_id: int = 0


@dataclass(frozen=True)
class MapCaptions:
    """The captions of a map, in the order in which they were written.

    Attributes:
        path: of the GeoPackage that holds them; "" if there is none.
        warnings: sentences for the user.
        partial: cancelled; the captions written so far are kept.
    """

    captions: tuple[MapCaption, ...]
    path: str
    warnings: tuple[str, ...] = ()
    partial: bool = False


def ignore(_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Callbacks:
    """How the caller follows captions in the making.

    ``cancelled`` is called between tiles, and by the host while it waits; True stops. ``warned``
    gets sentences that the user should know.
    """

    progress: ProgressCallback = ignore
    cancelled: CancelledCallback = lambda: False
    warned: Callable[[str], None] = ignore

    @classmethod
    def of(
        cls,
        progress: Optional[ProgressCallback],
        cancelled: Optional[CancelledCallback],
        warned: Optional[Callable[[str], None]],
    ) -> Callbacks:
        """Take callbacks that may be None; each warning is passed on once."""
        known: set[str] = set()

        def warn(text: str) -> None:
            if warned is not None and text not in known:
                known.add(text)
                warned(text)

        return cls(progress or cls.progress, cancelled or cls.cancelled, warn)

    def stop_if_cancelled(self) -> None:
        """Raise CancelledError if the user cancelled."""
        if self.cancelled():
            raise CancelledError
