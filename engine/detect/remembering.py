# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair that is remembered: what is kept of it, and answers from that alone.

The first run of a pair keeps what its tiles' answers are made of (:meth:`..systems.base.
OpenedSystem.encode`), and what reading it found out. A later run takes both from the memory: it
reads no pixel of the rasters and runs only the network's answer to the question.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Optional, Union

import numpy as np

from .. import systems
from ..errors import ChangeScribeError
from ..memory import BrokenEntryError, PairMemory, key_of, limit_bytes, places_of
from ..paths import version
from ..raster.common_grid import much_larger, too_coarse
from ..raster.comparison.quality import split
from ..raster.source import open_dataset
from ..request import Alignment
from .rasters import grid_for, open_rasters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..memory import Entry
    from ..memory.store import Writing
    from ..raster.common_grid import CommonGrid
    from ..raster.reader import RasterSource
    from ..request import ChangeRequest
    from ..systems.base import OpenedSystem, SystemInfo
    from .tiling import Tile, TilePlan

#: Changes with what is kept, and with how rasters are read.
_FORMAT = 1
#: Bytes that are kept of a pixel of the working grid, overlaps included: measured 37 to 47.
BYTES_PER_PIXEL = 45
_VALID = "valid"
_OPTIONS = ("nodata", "nodata_before", "nodata_after", "clouds", "align", "pixel_size")


@dataclass(frozen=True)
class Seen:
    """What reading the rasters of a pair found out.

    Attributes:
        warnings: for the user.
        alignment: see :class:`..request.ChangeResult`.
        hidden: the same.
    """

    warnings: tuple[str, ...]
    alignment: Optional[Alignment]
    hidden: Mapping[str, float]


def key_for(
    request: ChangeRequest,
    info: SystemInfo,
    grid: CommonGrid,
    before: RasterSource,
    after: RasterSource,
) -> Optional[str]:
    """Return the key of a pair in the memory; None if its files cannot be identified."""
    places = [places_of(source.files) for source in (before, after)]
    texts = [text for text in (request.mask_before, request.mask_after) if text]
    masks = [[text, places_of(open_dataset(split(text)[0]).GetFileList() or ())] for text in texts]
    if None in places or any(place is None for _, place in masks):
        return None
    return key_of(
        {
            "format": _FORMAT,
            "version": version(),
            "rasters": places,
            "bands": [before.bands, after.bands],
            "crs": [before.grid.crs_wkt, after.grid.crs_wkt],
            "masks": [bool(request.mask_before), masks],
            "options": [getattr(request, name) for name in _OPTIONS],
            "area": request.area and asdict(request.area),
            "grids": [asdict(grid.working), asdict(grid.output)],
            "system": [info.name, info.revision, info.tile_size, info.largest_tile, info.overlap],
        }
    )


def kept_bytes(grid: CommonGrid) -> float:
    """Return about how many bytes are kept of a pair."""
    return float(grid.working.width) * grid.working.height * BYTES_PER_PIXEL


def memory_for(
    request: ChangeRequest,
    info: SystemInfo,
    grid: CommonGrid,
    before: RasterSource,
    after: RasterSource,
) -> Optional[Union[Keeping, Recalled]]:
    """Return the memory of a pair; None if the pair cannot be kept, or is too large for that."""
    key = key_for(request, info, grid, before, after)
    if key is None:
        return None
    memory = PairMemory()
    entry = memory.find(key)
    if entry is not None:
        return Recalled(memory, entry)
    if kept_bytes(grid) > limit_bytes():
        return None
    return Keeping(memory, key, coarse=may_be_coarse(grid.pixel_size, info))


class Keeping:
    """Keeps a pair while a run answers its first question.

    Args:
        memory: to keep it in.
        key: of the pair, see :func:`key_for`.
        coarse: questions may be about coarse pixels, see :func:`may_be_coarse`.
    """

    def __init__(self, memory: PairMemory, key: str, *, coarse: bool) -> None:
        self._memory, self._key, self._coarse = memory, key, coarse
        self._writing: Optional[Writing] = None
        self._dropped = False

    def add(
        self, system: OpenedSystem, number: int, dates: tuple[np.ndarray, ...], valid: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Encode a tile pair (H, W, 3) and keep it, with where it is valid (H, W); return both."""
        features = dict(system.encode(*dates, coarse=self._coarse))
        features[_VALID] = np.packbits(valid)
        if self._writing is None and not self._dropped:
            self._writing = self._memory.write(self._key)
        if self._writing is not None:
            self._writing.add(number, features)
        return features

    def finish(self, tiles: int, seen: Seen, request: ChangeRequest) -> None:
        """Complete the entry, of so many tiles."""
        if self._writing is not None:
            named = {name: getattr(request, name) for name in ("before", "after", "system")}
            self._writing.finish(tiles, {**named, "seen": asdict(seen)})

    def drop(self) -> None:
        """Keep nothing, also of tiles to come, unless :meth:`finish` was called."""
        self._dropped = True
        if self._writing is not None:
            self._writing.drop()


class Recalled:
    """A remembered pair."""

    def __init__(self, memory: PairMemory, entry: Entry) -> None:
        self._memory, self._entry = memory, entry

    def forget(self) -> None:
        """Delete the entry."""
        self._memory.remove(self._entry.key)

    def facts(self) -> Seen:
        """Return what reading the rasters found out."""
        seen = self._entry.facts["seen"]
        shift = seen["alignment"]
        return Seen(tuple(seen["warnings"]), shift and Alignment(**shift), seen["hidden"])

    def check(self, tiles: TilePlan) -> None:
        """Check that the entry has these tiles.

        Raises:
            BrokenEntryError: it has others.
        """
        if self._entry.tiles != len(tiles):
            raise BrokenEntryError(f"{len(tiles)} tiles")

    def read(self, number: int, tile: Tile) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return what is kept of a tile, nothing without data, and where it is valid (H, W).

        Raises:
            BrokenEntryError: it is damaged.
        """
        kept = self._entry.read(number)
        if kept is None:
            return {}, np.zeros((tile.height, tile.width), bool)
        try:
            bits = np.unpackbits(kept.pop(_VALID), count=tile.height * tile.width)
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenEntryError(str(error)) from error
        return kept, bits.reshape(tile.height, tile.width).astype(bool)


def may_be_coarse(pixel_size: Optional[float], info: SystemInfo) -> bool:
    """Tell whether :attr:`..request.Hints.coarse` may be set for any question about a pair."""
    if pixel_size is None:
        return True
    return much_larger(pixel_size, info.pixel_sizes) or too_coarse(pixel_size, info.pixel_sizes)


def is_remembered(request: ChangeRequest) -> bool:
    """Tell whether any question about the pair of a request is answered from the memory."""
    try:
        info = systems.create(request.system).info
        if not (request.remember and info.remembers):
            return False
        with open_rasters(request) as (before, after):
            grid = grid_for(request, before, after, info.pixel_sizes)
            key = key_for(request, info, grid, before, after)
        return key is not None and PairMemory().has(key)
    except (ChangeScribeError, OSError):
        return False
