# SPDX-License-Identifier: GPL-3.0-or-later
"""Quality rasters of one date: where clouds, shadows or missing data hide the ground."""

from __future__ import annotations

import os
import re

import numpy as np

from ...errors import InputError
from ..grid import Grid
from ..reader import RasterSource
from ..texts import RasterTexts

#: Classes of Sentinel-2's scene classification that hide the ground: no data, saturated, cloud
#: shadow, cloud of medium and high probability, thin cirrus.
SCL_HIDDEN = frozenset((0, 1, 3, 8, 9, 10))
#: Bits of Landsat Collection 2's QA_PIXEL that hide the ground: fill, dilated cloud, cirrus, cloud,
#: cloud shadow.
QA_PIXEL_BITS = 0b11111
_TOKEN = re.compile(r"(?P<first>\d+)(-(?P<last>\d+))?|bit(?P<bit>\d+)|(?P<name>scl|qa_pixel)")
_NAMED = (("scl", re.compile(r"(?<![a-z])scl(?![a-z])")), ("qa_pixel", re.compile(r"qa_?pixel")))
_MAX_VALUE, _MAX_BIT = 1 << 16, 31
#: Pixels of a side of the grid on which shares are measured, at most.
_SAMPLED = 1024


class QualityMask:
    """A raster whose values say which pixels must not be compared; a context manager.

    Args:
        text: ``FILE`` or ``FILE:values``. The values that hide the ground are numbers and ranges
            ("3,8-10"), ``bitN`` (any value with that bit set), ``scl`` (:data:`SCL_HIDDEN`) or
            ``qa_pixel`` (:data:`QA_PIXEL_BITS`), separated by commas. Without values, ``scl`` or
            ``qa_pixel`` is taken from the file name; of another file, 0 hides the ground. Nodata
            and pixels outside the raster always do.

    Raises:
        InputError: the file cannot be read, or the values are something else.
    """

    def __init__(self, text: str) -> None:
        path, values = split(text)
        name = os.path.basename(path).lower()
        values = values or next((key for key, found in _NAMED if found.search(name)), "0")
        self._values, self._bits = parse_values(values)
        self._source = RasterSource.open(path, (1,), classes=True)
        if self._source.dtype.kind not in "iu":
            self._source.close()
            raise InputError(RasterTexts.mask_not_integer(name=name))

    def __enter__(self) -> QualityMask:
        return self

    def __exit__(self, *error: object) -> None:
        self._source.close()

    def check(self, grid: Grid) -> None:
        """Check that the mask can be placed on the grid of its image.

        Raises:
            InputError: one has a georeference and the other has none, or without one they differ
                in size.
        """
        own = self._source.grid
        same_size = (own.width, own.height) == (grid.width, grid.height)
        if own.georeferenced != grid.georeferenced or not (own.georeferenced or same_size):
            raise InputError(RasterTexts.mask_without_place(name=self._source.name))

    def hidden(self, grid: Grid) -> np.ndarray:
        """Return where the ground is hidden, (H, W) bool."""
        array, valid = self._source.read(grid)
        plane = array[..., 0].astype(np.int64)
        return ~valid | np.isin(plane, self._values) | (plane & self._bits > 0)


def hidden_share(source: RasterSource, grid: Grid) -> float:
    """Return about which share of a grid is left out of a raster, in [0, 1]."""
    step = max(1.0, max(grid.width, grid.height) / _SAMPLED)
    coarse = grid.scaled(step, step)
    return float(np.any([hidden(coarse) for hidden in source.excluded], axis=0).mean())


def split(text: str) -> tuple[str, str]:
    """Split ``FILE:values``; the values are "" if there are none."""
    path, colon, values = text.rpartition(":")
    known = all(_TOKEN.fullmatch(part.strip().lower()) for part in values.split(","))
    if not colon or os.path.exists(text) or not known:
        return text, ""
    return path, values


def parse_values(text: str) -> tuple[list[int], int]:
    """Return the values, and the bits, that hide the ground.

    Raises:
        InputError: the text is something else.
    """
    values: set[int] = set()
    bits = 0
    for part in text.split(","):
        found = _TOKEN.fullmatch(part.strip().lower())
        if found is None:
            raise InputError(RasterTexts.bad_mask_values(values=text))
        if found["name"] == "scl":
            values |= SCL_HIDDEN
        elif found["name"]:
            bits |= QA_PIXEL_BITS
        elif found["bit"]:
            bits |= 1 << min(int(found["bit"]), _MAX_BIT)
        else:
            first, last = int(found["first"]), int(found["last"] or found["first"])
            if max(first, last) >= _MAX_VALUE:
                raise InputError(RasterTexts.bad_mask_values(values=text))
            values.update(range(first, last + 1))
    return sorted(values), bits
