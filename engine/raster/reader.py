# SPDX-License-Identifier: GPL-3.0-or-later
"""Read three bands of any raster on any grid."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Optional, final

import numpy as np
from osgeo import gdal

from ..errors import InputError
from ..request import NODATA_AUTO
from .dates import date_of
from .files import file_states
from .grid import Grid
from .source import (
    choose_bands,
    grid_of,
    inverted_from,
    open_dataset,
    palette_of,
    raw_type,
    warped_grid,
)
from .support import gdal_call
from .texts import RasterTexts
from .validity import Box, Validity
from .windowing import Placement

#: A raster whose pixels are finer than the grid's by more than this factor is averaged instead of
#: interpolated.
AVERAGE_FROM = 1.1
#: Pixels that are warped at once, at most; more are averaged first.
MAX_PIXELS = 1 << 25
#: Pixels that are read at once to be averaged.
_STRIP_PIXELS = 1 << 22


@final
class RasterSource:
    """A raster opened for reading; a context manager. Open one with :meth:`open`.

    Threads may take turns but must not use a source at the same time, since GDAL datasets have no
    lock. Nothing is ever written beside the file.

    Example::

        with RasterSource.open("before.tif") as source:
            array, valid = source.read(source.grid.window(0, 0, 512, 512))

    Attributes:
        path: as given.
        name: file name, for messages.
        grid: pixels of the raster; if it has ground control points only, those it is warped to.
        bands: three 1-based band numbers, read as red, green and blue.
        dtype: numpy type of the arrays that :meth:`read` returns.
        notes: what was decided about invalid pixels that a user may not expect.
        date: ISO date (``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``) of the image, or None.
        excluded: functions that return where the pixels of a grid are invalid for other reasons,
            (H, W) bool.
    """

    def __init__(
        self,
        path: str,
        dataset: gdal.Dataset,
        bands: Optional[tuple[int, ...]],
        crs: Optional[str] = None,
        nodata: str = NODATA_AUTO,
        ranges: Sequence[tuple[float, float]] = (),
        *,
        classes: bool = False,
    ) -> None:
        self.path = path
        self.name = os.path.basename(path.rstrip("/\\")) or path
        self.bands = choose_bands(self.name, dataset, bands)
        self.date = date_of(dataset, self.name)
        self._files: Sequence[str] = dataset.GetFileList() or ()
        self._states = file_states(self._files)
        self._dataset: Optional[gdal.Dataset] = dataset
        self._points: Sequence[gdal.GCP] = ()
        own = grid_of(self.name, dataset, crs)
        self.grid = own
        if dataset.GetGeoTransform(can_return_null=True) is None and dataset.GetGCPCount():
            self._points = dataset.GetGCPs()
            self.grid = warped_grid(self.name, dataset, crs)
            own = replace(own, crs_wkt=self.grid.crs_wkt)
        self._placement = Placement(own, self._points)
        self._unique = sorted(set(self.bands))
        self._order = [self._unique.index(band) for band in self.bands]
        first = dataset.GetRasterBand(self._unique[0])
        self._palette = None if classes or len(self._unique) > 1 else palette_of(first)
        self._nearest = classes or self._palette is not None
        self._black = None if self._nearest else inverted_from(dataset, first)
        self._raw_type = raw_type(dataset, self._unique)
        self.dtype = self._raw_type if self._palette is None else np.dtype(np.uint8)
        self._validity = Validity(self.name, dataset, self._unique, nodata, ranges, self._read_band)
        self.notes = self._validity.notes
        self.excluded: list[Callable[[Grid], np.ndarray]] = []
        self._reductions: dict[tuple[object, ...], float] = {}

    @classmethod
    def open(
        cls,
        path: str,
        bands: Optional[tuple[int, ...]] = None,
        crs: Optional[str] = None,
        nodata: str = NODATA_AUTO,
        ranges: Sequence[tuple[float, float]] = (),
        *,
        classes: bool = False,
    ) -> RasterSource:
        """Open a raster.

        Args:
            path: file, or anything else that GDAL opens (``/vsizip/...``, ``NETCDF:...``).
            bands: one to three 1-based band numbers for red, green and blue. One is used for all
                three; of two, the first is used for red and green. None takes the bands marked
                red, green and blue, or else the first three.
            crs: CRS that overrides the one in the file, as WKT, EPSG code or PROJ string.
            nodata: how invalid pixels are found, one of :data:`..request.NODATA_MODES`.
            ranges: further values (lowest, highest) that are no data.
            classes: the values are numbers of classes, which are neither averaged nor looked up
                in a palette.

        Raises:
            InputError: the file does not exist, is not a raster, is an online map, or lacks
                the bands; or ``crs`` is not a CRS.
        """
        return cls(path, open_dataset(path), bands, crs, nodata, ranges, classes=classes)

    def __enter__(self) -> RasterSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._dataset = None

    @property
    def files(self) -> Sequence[str]:
        """Names of the raster's files, those of its parts and georeference included."""
        return self._files

    @property
    def changed(self) -> bool:
        """Whether a file was replaced, written or removed since the raster was opened."""
        return file_states(self._files) != self._states

    @property
    def states(self) -> Sequence[object]:
        """What tells each file of the raster from a changed one: inode, size and time."""
        return self._states

    @property
    def declares_nodata(self) -> bool:
        """Whether the file marks invalid pixels, or its colours are those of a palette."""
        return self._validity.declared or self._palette is not None

    def hide(self, hidden: Callable[[Box], np.ndarray]) -> None:
        """Make more pixels invalid: where a function of a box returns True, (h, w) bool."""
        self._validity.hidden.append(hidden)

    def strips(self, grid: Grid) -> Iterator[tuple[Box, np.ndarray]]:
        """Yield the pixels under a grid, (C, h, w), as they are in the file, strip by strip."""
        box = self._placement.under(grid, 2)
        if box is None or self._dataset is None:
            return
        x, y, width, height = box
        block = self._dataset.GetRasterBand(self._unique[0]).GetBlockSize()[1]
        rows = max(1, min(_STRIP_PIXELS // width, max(block, _STRIP_PIXELS // 4 // width)))
        for top in range(y, y + height, rows):
            part = (x, top, width, min(rows, y + height - top))
            yield part, self._read_box(part)[0]
            self.free_cache()

    def free_cache(self) -> None:
        """Free the blocks of the raster in GDAL's cache, whose size is that of the process."""
        if self._dataset is not None:
            for number in range(1, self._dataset.RasterCount + 1):
                gdal_call(self._dataset.GetRasterBand(number).GetMaskBand().FlushCache)
            gdal_call(self._dataset.FlushCache)

    def read(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Read the part of the raster that a grid covers.

        Pixels that coincide with those of the raster are copied. Otherwise the raster is warped:
        averaged if the grid is coarser (see :data:`AVERAGE_FROM`), else interpolated bilinearly;
        palettes by nearest neighbour.

        Args:
            grid: any CRS and pixel size; it may extend past the raster.

        Returns:
            ``(array, valid)``: (H, W, 3) of :attr:`dtype`, 0 where invalid; and (H, W) bool, see
            :meth:`.validity.Validity.of`. Pixels outside the raster are invalid.

        Raises:
            InputError: the file is damaged.
            ValueError: the source is closed.
        """
        place = grid.turned_to(self.grid)
        offset = None if self._points else place.offset_in(self.grid)
        if offset is not None:
            planes, valid = self._read_window(place, *offset)
        else:
            planes, valid = self._read_warped(place)
        for excluded in self.excluded:
            valid &= ~excluded(grid)
        if self._palette is not None:
            array = self._palette[np.where(valid, planes[0], 0).astype(np.int64)]
        else:
            array = np.stack([planes[plane] for plane in self._order], axis=-1)
        if not valid.all():
            array[~valid] = 0
        return array, valid

    def _read_window(self, grid: Grid, x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
        """Copy pixels; ``x``, ``y`` is the origin of the grid in the raster."""
        planes, valid = self._nothing(grid)
        x0, y0 = max(x, 0), max(y, 0)
        x1 = min(x + grid.width, self.grid.width)
        y1 = min(y + grid.height, self.grid.height)
        if x0 < x1 and y0 < y1:
            rows, columns = slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)
            read = self._read_box((x0, y0, x1 - x0, y1 - y0))
            planes[:, rows, columns], valid[rows, columns] = read
        return planes, valid

    def _nothing(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Return planes and validity of a grid without any pixel of the raster."""
        shape = (grid.height, grid.width)
        return np.zeros((len(self._unique), *shape), self._raw_type), np.zeros(shape, dtype=bool)

    def _read_box(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels of a box of the raster, (C, h, w), and where they are valid."""
        if self._dataset is None:
            raise ValueError(f"{self.path} is closed")
        planes = np.empty((len(self._unique), box[3], box[2]), self._raw_type)
        for plane, number in zip(planes, self._unique):
            plane[...] = self._read_band(self._dataset.GetRasterBand(number), box)
        valid = self._validity.of(planes, box)
        return planes if self._black is None else self._black - planes, valid

    def _read_band(self, band: gdal.Band, box: Box) -> np.ndarray:
        values, problem = gdal_call(band.ReadAsArray, *box)
        if values is None or problem:
            raise self._damaged(problem)
        return values

    def _read_warped(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Warp the part of the raster that a grid covers."""
        reduction = self._reduction(grid)
        step = 1 if self._nearest else max(1, int(reduction))
        box = self._placement.under(grid, 2 * step)
        if box is None:
            return self._nothing(grid)
        # Near a pole, the pixels under a tile may be many more than those of the tile.
        step = max(step, math.ceil((box[2] * box[3] / MAX_PIXELS) ** 0.5))
        method = "bilinear"
        if self._nearest:
            method = "near"
        elif step <= 1 and reduction > AVERAGE_FROM:
            method = "average"
        planes, share = self._averaged(box, step)
        whole = share.min() == 1 and self._placement.inside(grid, 2 * step)
        planes, valid, problem = self._placement.warp(
            planes, None if whole else share, box, step, grid, method
        )
        if "transform" in problem.lower():
            # The grid lies outside the area in which the CRS of the raster is defined.
            return self._nothing(grid)
        if problem:
            raise self._damaged(problem)
        return planes, valid

    def _averaged(self, box: Box, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return means of the valid among ``step`` x ``step`` pixels, and how many are valid.

        GDAL's own decimated read is no faster, and takes overviews for the raster, which may be
        those of another one. Palettes have no means: they keep one pixel of each block.

        Returns:
            (C, h, w), and their share in [0, 1], (h, w) float32.
        """
        if step == 1:
            planes, valid = self._read_box(box)
            if not valid.all():
                planes[:, ~valid] = 0
            return planes, valid.astype(np.float32)
        x, y, width, height = box
        across = math.ceil(width / step)
        result = np.zeros((len(self._unique), math.ceil(height / step), across), self._raw_type)
        share = np.zeros(result.shape[1:], np.float32)
        rows = max(1, _STRIP_PIXELS // (step * width)) * step
        for top in range(0, height, rows):
            planes, valid = self._read_box((x, y + top, width, min(rows, height - top)))
            lines = slice(top // step, top // step + math.ceil(valid.shape[0] / step))
            count = _block_sums(valid, step)
            share[lines] = count / step**2
            for plane, means in zip(planes, result):
                if self._nearest:
                    means[lines] = plane[::step, ::step]
                    continue
                sums = _block_sums(np.where(valid, plane, 0), step)
                mean = sums / np.maximum(count, 1)
                means[lines] = mean if plane.dtype.kind == "f" else np.rint(mean)
        return result, share

    def _reduction(self, grid: Grid) -> float:
        """Return the width of the grid's pixels in pixels of the raster."""
        key = (grid.crs_wkt, grid.geotransform[1:3], grid.geotransform[4:6])
        if key not in self._reductions:
            target, own = grid.pixel_size, self.grid.pixel_size
            if target is None or own is None:
                target, own = _map_size(grid), _map_size(self.grid)
            self._reductions[key] = target / own
        return self._reductions[key]

    def _damaged(self, problem: str) -> InputError:
        return InputError(RasterTexts.damaged(name=self.name), details=problem)


def _block_sums(plane: np.ndarray, step: int) -> np.ndarray:
    """Return float64 sums of ``step`` x ``step`` pixels of (h, w); the last ones may have fewer."""
    rows = np.add.reduceat(plane, np.arange(0, plane.shape[0], step), axis=0, dtype=np.float64)
    return np.add.reduceat(rows, np.arange(0, plane.shape[1], step), axis=1)


def _map_size(grid: Grid) -> float:
    """Square root of a pixel's area in map units."""
    _, g1, g2, _, g4, g5 = grid.geotransform
    return abs(g1 * g5 - g2 * g4) ** 0.5
