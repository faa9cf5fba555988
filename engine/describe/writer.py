# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions in a system's own words: what it writes about the tiles of an area."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

from ..detect.rasters import Pair
from ..detect.tiling import plan
from ..errors import CancelledError, InputError
from ..raster.area import AreaMask
from ..raster.common_grid import common_grid
from ..raster.radiometry import joint_stretch
from ..request import CHANGED, Area, Progress, Query
from ..wording.guard import without_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np

    from ..raster.grid import Grid
    from ..raster.reader import RasterSource
    from ..request import CancelledCallback, Extent, ProgressCallback
    from ..systems.base import OpenedSystem

    #: Tells whether a sentence may stay; given the sentence and the place that was looked at.
    Check = Callable[[str, Area], bool]

#: Of an area of many tiles: so many different sentences, about those that changed most.
MAX_SENTENCES = 3
#: Score from which a pixel counts as changed.
_CHANGED_FROM = 0.5
NO_DATA = "There is no data here on one of the dates."


@dataclass(frozen=True)
class View:
    """What a sentence is written about.

    Attributes:
        window: the pixels that are shown.
        inside: (H, W) bool, those that the sentence is to be about.
        place: the ground that is shown, as a polygon.
    """

    window: Grid
    inside: np.ndarray
    place: Area


@dataclass(frozen=True)
class Said:
    """What a system says of a view.

    Attributes:
        sentence: in its words.
        changed: number of changed pixels that it is about.
        place: see :class:`View`.
    """

    sentence: str
    changed: int
    place: Area


class CaptionWriter:
    """Asks a system that writes sentences about areas of a pair of rasters.

    Args:
        before: the earlier raster.
        after: the later raster.
        system: writes sentences.
        progress: told of the tiles of each area in turn.
        cancelled: asked between tiles.
        extent: colours are stretched as a detection in it does; None is the whole overlap.
        warned: given what the user should know, such as that sentences take long; each once.
        user_pixel_size: of a pixel of ``before``, see :func:`.raster.grid.common_grid`.

    Raises:
        InputError: the rasters do not overlap.
    """

    def __init__(
        self,
        before: RasterSource,
        after: RasterSource,
        system: OpenedSystem,
        progress: Optional[ProgressCallback] = None,
        cancelled: Optional[CancelledCallback] = None,
        extent: Optional[Extent] = None,
        warned: Optional[Callable[[str], None]] = None,
        user_pixel_size: Optional[float] = None,
    ) -> None:
        self._warned = warned or (lambda _: None)
        self._notes: set[str] = set()
        self._own = before.grid
        self._system = system
        self._info = info = system.info
        self._progress = progress or (lambda _: None)
        self._cancelled = cancelled or (lambda: False)
        part = common_grid(before, after, extent, info.pixel_sizes, user_pixel_size).working
        self._pair = Pair(before, after, *joint_stretch(before, after, part))
        # Of the whole overlap, so that there is ground around a region at the edge.
        self._grid = common_grid(before, after, None, info.pixel_sizes, user_pixel_size).working

    def describe(self, area: Area, check: Optional[Check] = None, most: int = 0) -> str:
        """Return what the system says of an area, in sentences.

        Args:
            area: polygons; without a CRS in that of the earlier raster.
            check: sentences that it refuses are left out; None lets all stay.
            most: look at so many tiles at most, those with most of the area; 0 is all.

        Returns:
            "" where no sentence may stay.

        Raises:
            InputError: the area lies outside the overlap.
            CancelledError: the user does not want to go on.
        """
        said = []
        views: Iterable[View] = self.views(area)
        count = self.count(area)
        if 0 < most < count:
            views, count = sorted(views, key=lambda view: -view.inside.sum())[:most], most
        for number, view in enumerate(views):
            self._progress(Progress("captioning", number / count, number + 1, count))
            answer = self.say(view)
            if answer.sentence and (check is None or check(answer.sentence, answer.place)):
                said.append(answer)
        self._progress(Progress("done", 1.0))
        return joined(said)

    def views(self, area: Area) -> Iterator[View]:
        """Yield what is to be looked at for an area, without places that lack data.

        An area that fits into a tile is in the middle of one, with the ground around it as far
        as the rasters reach; a larger one is cut into tiles that do not overlap.

        Args:
            area: polygons; without a CRS in that of the earlier raster.

        Raises:
            InputError: the area lies outside the overlap.
        """
        mask, (x0, y0, x1, y1) = self._window(area)
        size = self._info.tile_size
        for x, y in self._corners(x0, y0, x1, y1):
            window = self._grid.window(x, y, size, size)
            inside = mask.on(window)
            if inside.any():
                yield View(window, inside, place_of(self._grid, x, y, size, size))

    def count(self, area: Area) -> int:
        """Return how many views there are at most."""
        return len(self._corners(*self._window(area)[1]))

    def say(self, view: View) -> Said:
        """Have the system write about a view.

        Raises:
            CancelledError: the user does not want to go on.
        """
        if self._cancelled():
            raise CancelledError
        before, after, valid = self._pair.read(view.window)
        inside = view.inside & valid
        if not inside.any():
            return Said("", 0, view.place)
        answer = self._system.describe(
            before[None],
            after[None],
            [Query(name, CHANGED) for name in self._info.classes],
            inside[None].astype("uint8"),
        )
        for note in answer.notes:
            if note not in self._notes:
                self._notes.add(note)
                self._warned(note)
        changed = (answer.scores[0] >= _CHANGED_FROM).any(0) & inside
        sentence = without_frame(" ".join(answer.captions))
        return Said(sentence, int(changed.sum()), view.place)

    def _window(self, area: Area) -> tuple[AreaMask, tuple[int, int, int, int]]:
        """Return the area on the grid, and the pixels that it touches: x0, y0, x1, y1."""
        if not area.crs:
            area = replace(area, crs=self._own.crs_wkt or None)
        grid, mask = self._grid, AreaMask(area, self._grid)
        xmin, ymin, xmax, ymax = mask.envelope
        corners = [grid.map_to_pixel(x, y) for x in (xmin, xmax) for y in (ymin, ymax)]
        columns, rows = zip(*corners)
        # A corner on the edge of a pixel does not take that pixel in.
        x0, y0 = (max(0, math.floor(min(ends) + 1e-6)) for ends in (columns, rows))
        x1 = min(grid.width, math.ceil(max(columns) - 1e-6))
        y1 = min(grid.height, math.ceil(max(rows) - 1e-6))
        if x0 >= x1 or y0 >= y1:
            raise InputError(
                "The area to describe lies outside the area that both rasters cover.",
                "Choose one within the overlap of the two rasters, and check its CRS.",
            )
        return mask, (x0, y0, x1, y1)

    def _corners(self, x0: int, y0: int, x1: int, y1: int) -> list[tuple[int, int]]:
        """Return the upper left corners of the tiles that show a window."""
        size = self._info.tile_size
        width, height = x1 - x0, y1 - y0
        if max(width, height) > size:
            return [(x0 + tile.x, y0 + tile.y) for tile in plan(width, height, size, 0)]
        x, y = x0 - (size - width) // 2, y0 - (size - height) // 2
        return [
            (
                min(max(x, 0), max(0, self._grid.width - size)),
                min(max(y, 0), max(0, self._grid.height - size)),
            )
        ]


def place_of(grid: Grid, x: int, y: int, width: int, height: int) -> Area:
    """Return a window of pixels as a polygon; on a rotated grid it is no rectangle of the map."""
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
    points = [grid.pixel_to_map(*corner) for corner in corners]
    ring = ", ".join(f"{float(x)!r} {float(y)!r}" for x, y in points)
    return Area(f"POLYGON (({ring}))", grid.crs_wkt or None)


def joined(said: list[Said]) -> str:
    """Return the sentences about what changed most; where nothing did, the commonest one."""
    said = [row for row in said if row.sentence]
    changed = sorted((row for row in said if row.changed), key=lambda row: -row.changed)
    if changed:
        return " ".join(list(dict.fromkeys(row.sentence for row in changed))[:MAX_SENTENCES])
    return Counter(row.sentence for row in said).most_common(1)[0][0] if said else ""
