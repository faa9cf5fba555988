# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions in a system's own words: what it writes about the tiles of an area."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

from .errors import CancelledError
from .raster.area import AreaMask
from .raster.grid import common_grid
from .raster.radiometry import joint_stretch
from .request import CHANGED, Extent, Progress, Query
from .scoring import Pair
from .tiling import plan

if TYPE_CHECKING:
    from .host import Host
    from .raster.grid import Grid
    from .raster.reader import RasterSource
    from .request import Area, CancelledCallback, ProgressCallback
    from .systems.base import SystemInfo

#: Of an area of many tiles: so many different sentences, about those that changed most.
MOST_SENTENCES = 3
#: Score from which a pixel counts as changed.
_CHANGED_FROM = 0.5
NO_DATA = "There is no data here on one of the dates."


@dataclass(frozen=True)
class _Said:
    """What a system says of a tile, and the number of changed pixels that it is about."""

    sentence: str
    changed: int


class CaptionWriter:
    """Asks a system that writes sentences about areas of a pair of rasters.

    Args:
        before: the earlier raster.
        after: the later raster.
        host: where the system runs; it is loaded.
        info: of the system, with ``writes``.
        progress: told of the tiles of each area in turn.
        cancelled: asked between tiles, and by the host while it waits.
    """

    def __init__(
        self,
        before: RasterSource,
        after: RasterSource,
        host: Host,
        info: SystemInfo,
        progress: Optional[ProgressCallback] = None,
        cancelled: Optional[CancelledCallback] = None,
    ) -> None:
        self._before = before
        self._after = after
        self._host = host
        self._info = info
        self._progress = progress or (lambda _: None)
        self._cancelled = cancelled or (lambda: False)

    def describe(self, area: Area) -> str:
        """Return what the system says of an area, in sentences.

        An area that fits into a tile gets one. The pixels around it are shown too, where they
        are in its rectangle, but the sentence is about what is inside.

        Args:
            area: polygons; without a CRS in that of the earlier raster.

        Raises:
            InputError: the area lies outside the overlap.
            CancelledError: the user does not want to go on.
        """
        own = self._before.grid
        mask = AreaMask(area, own)
        extent = Extent(*mask.envelope)
        grid = common_grid(self._before, self._after, extent, self._info.pixel_sizes).working
        if not area.crs:
            area = replace(area, crs=own.crs_wkt or None)
        pair = Pair(self._before, self._after, *joint_stretch(self._before, self._after, grid))
        said = self._tiles(pair, grid, AreaMask(area, grid))
        self._progress(Progress("done", 1.0))
        return _joined(said)

    def _tiles(self, pair: Pair, grid: Grid, mask: AreaMask) -> list[_Said]:
        size = self._info.tile_size
        tiles = plan(grid.width, grid.height, size, 0)
        found = []
        for number, tile in enumerate(tiles):
            if self._cancelled():
                raise CancelledError
            self._progress(Progress("detecting", number / len(tiles), number + 1, len(tiles)))
            window = grid.window(tile.x, tile.y, size, size)
            before, after, valid = pair.read(window)
            inside = valid & mask.on(window)
            if not inside.any():
                continue
            answer = self._host.describe(
                self._info.name,
                before[None],
                after[None],
                [Query(name, CHANGED) for name in self._info.classes],
                inside[None].astype("uint8"),
                self._cancelled,
            )
            changed = (answer.scores[0] >= _CHANGED_FROM).any(0) & inside
            found += [_Said(sentence, int(changed.sum())) for sentence in answer.captions]
        return found


def _joined(said: list[_Said]) -> str:
    """Return the sentences about what changed most; where nothing did, the commonest one."""
    if not said:
        return NO_DATA
    changed = sorted((row for row in said if row.changed), key=lambda row: -row.changed)
    if not changed:
        return Counter(row.sentence for row in said).most_common(1)[0][0]
    return " ".join(list(dict.fromkeys(row.sentence for row in changed))[:MOST_SENTENCES])
