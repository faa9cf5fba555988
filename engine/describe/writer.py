# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences that a system writes about the tiles of an area."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

from ..detect.rasters import Pair, open_rasters
from ..detect.tiling import plan
from ..errors import InputError
from ..raster.area import AreaMask, place_of
from ..raster.common_grid import common_grid
from ..raster.radiometry import joint_stretch
from ..request import CHANGED, Area, Progress, Query, Stage
from ..wording.guard import tidied
from .request import Callbacks
from .texts import DescribeTexts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np

    from ..hosts.base import Host
    from ..raster.grid import Grid
    from ..raster.reader import RasterSource
    from ..request import ChangeRequest, Extent
    from ..systems.base import OpenedSystem

    #: Whether a sentence may stay; called with the sentence and the place that it is about.
    Check = Callable[[str, Area], bool]

#: An area of many tiles gets this many different sentences, about those that changed most.
MAX_SENTENCES = 3
#: Score from which a pixel counts as changed.
_CHANGED_FROM = 0.5


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
class Sentence:
    """What a system writes about a view; the text is "" without valid pixels.

    ``changed`` is the number of changed pixels that it is about.
    """

    text: str
    changed: int
    place: Area


@contextlib.contextmanager
def open_writer(
    request: ChangeRequest, system: str, host: Host, callbacks: Callbacks
) -> Iterator[CaptionWriter]:
    """Open the rasters of a detection and a system that writes sentences about them.

    Raises:
        InputError: a raster cannot be read, or the two do not overlap.
        WeightsError: weights are missing or damaged.
        DependencyError: a package is missing.
        CancelledError: the user cancelled while the system was loaded.
    """
    with (
        host.open(system, request.device, callbacks.cancelled) as opened,
        open_rasters(request) as (before, after),
    ):
        yield CaptionWriter(
            before,
            after,
            opened,
            extent=request.extent,
            user_pixel_size=request.pixel_size,
            callbacks=callbacks,
        )


class CaptionWriter:
    """Has a system write sentences about areas of a pair of rasters.

    Args:
        before: the earlier raster.
        after: the later raster.
        system: writes sentences.
        extent: colours are stretched as a detection in it does; None is the whole overlap.
        user_pixel_size: of a pixel of ``before``, see :func:`.raster.common_grid.common_grid`.
        callbacks: get the tiles of each area, and warnings such as that sentences take long.

    Raises:
        InputError: the rasters do not overlap.
    """

    def __init__(
        self,
        before: RasterSource,
        after: RasterSource,
        system: OpenedSystem,
        *,
        extent: Optional[Extent] = None,
        user_pixel_size: Optional[float] = None,
        callbacks: Optional[Callbacks] = None,
    ) -> None:
        self._own = before.grid
        self._system = system
        self._info = info = system.info
        self._callbacks = callbacks or Callbacks()
        part = common_grid(before, after, extent, info.pixel_sizes, user_pixel_size).working
        self._pair = Pair(before, after, *joint_stretch(before, after, part))
        # Of the whole overlap, so that there is ground around a region at the edge.
        self._grid = common_grid(before, after, None, info.pixel_sizes, user_pixel_size).working

    def describe(self, area: Area, check: Optional[Check] = None, most: int = 0) -> str:
        """Return what the system writes about an area; "" if no sentence is kept.

        Args:
            area: polygons; without a CRS in that of the earlier raster.
            check: sentences that it refuses are left out; None keeps all.
            most: show at most this many tiles, those with most of the area; 0 is all.

        Raises:
            InputError: the area lies outside the overlap.
            CancelledError: the user cancelled.
        """
        kept = []
        views: Iterable[View] = self.views(area)
        count = self.count(area)
        if 0 < most < count:
            views, count = sorted(views, key=lambda view: -view.inside.sum())[:most], most
        for number, view in enumerate(views):
            self._report(Stage.CAPTIONING, number / count, number + 1, count)
            sentence = self.write(view)
            if sentence.text and (check is None or check(sentence.text, sentence.place)):
                kept.append(sentence)
        self._report(Stage.DONE, 1.0)
        return joined(kept)

    def views(self, area: Area) -> Iterator[View]:
        """Yield the views of an area.

        An area that fits into a tile is in the middle of one, with the ground around it as far
        as the rasters reach; a larger one is cut into tiles that do not overlap.

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

    def write(self, view: View) -> Sentence:
        """Have the system write about a view.

        Raises:
            CancelledError: the user cancelled.
        """
        self._callbacks.stop_if_cancelled()
        before, after, valid = self._pair.read(view.window)
        inside = view.inside & valid
        if not inside.any():
            return Sentence("", 0, view.place)
        answer = self._system.describe(
            before[None],
            after[None],
            [Query(name, CHANGED) for name in self._info.classes],
            inside[None].astype("uint8"),
        )
        for note in answer.notes:
            self._callbacks.warned(note)
        changed = (answer.scores[0] >= _CHANGED_FROM).any(0) & inside
        text = tidied(" ".join(answer.captions))
        return Sentence(text, int(changed.sum()), view.place)

    def _report(self, stage: Stage, fraction: float, tile: int = 0, tiles: int = 0) -> None:
        self._callbacks.progress(Progress(stage, fraction, tile, tiles))

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
            raise InputError(DescribeTexts.area_outside())
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


def joined(sentences: list[Sentence]) -> str:
    """Return the sentences about what changed most; if nothing did, the commonest one."""
    sentences = [sentence for sentence in sentences if sentence.text]
    changed = sorted(
        (sentence for sentence in sentences if sentence.changed), key=lambda row: -row.changed
    )
    if changed:
        return " ".join(list(dict.fromkeys(row.text for row in changed))[:MAX_SENTENCES])
    return Counter(row.text for row in sentences).most_common(1)[0][0] if sentences else ""
