# SPDX-License-Identifier: GPL-3.0-or-later
"""Rasters of a run, read by strips or windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from osgeo import gdal

from ..errors import InputError
from ..raster.grid import Grid
from ..raster.offline import open_file
from ..raster.support import gdal_call
from .texts import RegionsTexts


@dataclass(frozen=True)
class ClassMaps:
    """The class of the ground on both dates: rasters of uint8, an index into ``names``."""

    before: str
    after: str
    names: Sequence[str]


class Band:
    """One band of a raster on a known grid, read by strips."""

    def __init__(self, path: str, grid: Grid, bands: int = 1) -> None:
        dataset, problem = open_file(path, gdal.OF_RASTER | gdal.OF_READONLY)
        if dataset is None:
            raise InputError(RegionsTexts.cannot_open(path=path), details=problem)
        if (dataset.RasterXSize, dataset.RasterYSize) != (grid.width, grid.height):
            raise InputError(RegionsTexts.other_grid(path=path))
        if dataset.RasterCount < bands:
            raise InputError(RegionsTexts.too_few_bands(path=path))
        self._path = path
        self._width = grid.width
        self._dataset: Any = dataset

    def close(self) -> None:
        """Close the file, even if something else still refers to this band."""
        self._dataset = None

    def read(self, y: int, height: int, band: int = 1) -> np.ndarray:
        """Return rows of full width, (height, W) uint8."""
        array = self.window(0, y, self._width, height, band)
        gdal_call(self._dataset.FlushCache)  # else GDAL caches all of it
        return array

    def window(self, x: int, y: int, width: int, height: int, band: int = 1) -> np.ndarray:
        """Return (height, width) uint8 from column x and row y."""
        source = self._dataset.GetRasterBand(band)
        array, problem = gdal_call(source.ReadAsArray, x, y, width, height)
        if array is None or problem:
            raise InputError(RegionsTexts.damaged(path=self._path), details=problem)
        return array
