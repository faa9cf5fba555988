# SPDX-License-Identifier: GPL-3.0-or-later
"""Read three bands of any raster on any grid."""

from __future__ import annotations

import os
from typing import Optional, final

import numpy as np
from osgeo import gdal, gdal_array

from ..errors import InputError
from .dates import date_of
from .grid import Grid
from .memory import memory_dataset
from .source import (
    assigned,
    choose_bands,
    find_validity,
    grid_of,
    open_dataset,
    palette_of,
    placed,
    raw_type,
)
from .support import gdal_call, warp
from .texts import RasterTexts

#: A raster whose pixels are finer than the grid's by more than this factor is averaged instead of
#: interpolated.
AVERAGE_FROM = 1.1


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
        date: ISO date (``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``) of the image, or None.
    """

    def __init__(
        self,
        path: str,
        dataset: gdal.Dataset,
        bands: Optional[tuple[int, ...]],
        crs: Optional[str] = None,
    ) -> None:
        self.path = path
        self.name = os.path.basename(path.rstrip("/\\")) or path
        self.bands = choose_bands(self.name, dataset, bands)
        self.date = date_of(dataset, self.name)
        self._original: Optional[gdal.Dataset] = dataset
        on_ground = placed(self.name, dataset)
        # Kept open, since the dataset may be a view of it.
        self._placed: Optional[gdal.Dataset] = on_ground
        self._dataset: Optional[gdal.Dataset] = (
            assigned(self.name, on_ground, crs) if crs else on_ground
        )
        self.grid = grid_of(self.name, self._dataset)
        self._unique = sorted(set(self.bands))
        self._order = [self._unique.index(band) for band in self.bands]
        self._palette = None
        if len(self._unique) == 1:
            self._palette = palette_of(dataset.GetRasterBand(self._unique[0]))
        self._raw_type = raw_type(self._dataset, self._unique)
        self.dtype = self._raw_type if self._palette is None else np.dtype(np.uint8)
        self._validity = find_validity(self._dataset, self._unique)
        self._warpable: dict[int, gdal.Dataset] = {}
        self._reductions: dict[tuple[object, ...], float] = {}

    @classmethod
    def open(
        cls, path: str, bands: Optional[tuple[int, ...]] = None, crs: Optional[str] = None
    ) -> RasterSource:
        """Open a raster.

        Args:
            path: file, or anything else that GDAL opens (``/vsizip/...``, ``NETCDF:...``).
            bands: one to three 1-based band numbers for red, green and blue. One is used for all
                three; of two, the first is used for red and green. None takes the bands marked
                red, green and blue, or else the first three.
            crs: CRS that overrides the one in the file, as WKT, EPSG code or PROJ string.

        Raises:
            InputError: the file does not exist, is not a raster, is an online map, or lacks
                the bands; or ``crs`` is not a CRS.
        """
        return cls(path, open_dataset(path), bands, crs)

    def __enter__(self) -> RasterSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._warpable = {}
        self._dataset = None
        self._placed = None
        self._original = None

    def read(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Read the part of the raster that a grid covers.

        Pixels that coincide with those of the raster are copied. Otherwise the raster is warped:
        averaged if the grid is coarser (see :data:`AVERAGE_FROM`), else interpolated bilinearly;
        palettes by nearest neighbour.

        Args:
            grid: any CRS and pixel size; it may extend past the raster.

        Returns:
            ``(array, valid)``: (H, W, 3) of :attr:`dtype`, 0 where invalid; and (H, W) bool.
            A pixel is invalid outside the raster, where all bands read are nodata, where any is
            NaN, where the mask hides it, and where its alpha is below half of opaque.

        Raises:
            InputError: the file is damaged.
            ValueError: the source is closed.
        """
        offset = grid.offset_in(self.grid)
        if offset is not None:
            planes, valid = self._read_window(grid, *offset)
        else:
            planes, valid = self._read_warped(grid)
        if planes.dtype.kind == "f":
            valid &= np.isfinite(planes).all(axis=0)
        if self._palette is not None:
            index = np.clip(planes[0].astype(np.int64), 0, len(self._palette) - 1)
            array = self._palette[index]
        else:
            array = np.stack([planes[plane] for plane in self._order], axis=-1)
        array[~valid] = 0
        return array, valid

    def _read_window(self, grid: Grid, x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
        """Copy pixels; ``x``, ``y`` is the origin of the grid in the raster."""
        planes = np.zeros((len(self._unique), grid.height, grid.width), self._raw_type)
        valid = np.zeros((grid.height, grid.width), dtype=bool)
        x0, y0 = max(x, 0), max(y, 0)
        x1 = min(x + grid.width, self.grid.width)
        y1 = min(y + grid.height, self.grid.height)
        if x0 >= x1 or y0 >= y1:
            return planes, valid
        area = (x0, y0, x1 - x0, y1 - y0)
        rows, columns = slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)
        for plane, number in enumerate(self._unique):
            planes[plane, rows, columns] = self._read_band(self._band(number), area)
        valid[rows, columns] = self._read_validity(area)
        return planes, valid

    def _band(self, number: int) -> gdal.Band:
        if self._dataset is None:
            raise ValueError(f"{self.path} is closed")
        return self._dataset.GetRasterBand(number)

    def _read_band(self, band: gdal.Band, area: tuple[int, int, int, int]) -> np.ndarray:
        values, problem = gdal_call(band.ReadAsArray, *area)
        if values is None or problem:
            raise self._damaged(problem)
        return values

    def _read_validity(self, area: tuple[int, int, int, int]) -> np.ndarray:
        """Return the validity of an area (x, y, width, height) of the raster."""
        valid = np.ones((area[3], area[2]), dtype=bool)
        if self._validity.nodata:
            valid = np.zeros_like(valid)
            for band in self._unique:
                valid |= self._read_band(self._band(band).GetMaskBand(), area) > 0
        elif self._validity.mask:
            valid &= self._read_band(self._band(self._unique[0]).GetMaskBand(), area) > 127
        if self._validity.alpha:
            alpha = self._read_band(self._band(self._validity.alpha), area)
            valid &= alpha >= self._validity.alpha_max / 2
        return valid

    def _read_warped(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Warp the part of the raster that a grid covers into memory."""
        reduction = self._reduction(grid)
        # A decimated read averages whole pixels some fifteen times faster than GDAL's warper.
        step = int(reduction) if self._palette is None else 1
        source = self._warpable_at(max(1, min(step, self.grid.width, self.grid.height)))
        count = len(self._unique)
        code = gdal_array.NumericTypeCodeToGDALTypeCode(self._raw_type.type)
        target = memory_dataset(grid, count, code)
        target.AddBand(gdal.GDT_Byte)
        target.GetRasterBand(count + 1).SetColorInterpretation(gdal.GCI_AlphaBand)
        method = "bilinear"
        if self._palette is not None:
            method = "near"
        elif step <= 1 and reduction > AVERAGE_FROM:
            method = "average"
        done, problem = warp(source, target, method, unified_nodata=True)
        if not done:
            if "transform" in problem.lower():
                # The grid lies outside the area in which the CRS of the raster is defined.
                shape = (grid.height, grid.width)
                return np.zeros((count, *shape), self._raw_type), np.zeros(shape, dtype=bool)
            raise self._damaged(problem)
        planes = np.stack([target.GetRasterBand(i + 1).ReadAsArray() for i in range(count)])
        return planes, target.GetRasterBand(count + 1).ReadAsArray() > 127

    def _warpable_at(self, step: int) -> gdal.Dataset:
        """Return the raster for warping, averaged over ``step`` x ``step`` pixels."""
        if 1 not in self._warpable:
            self._warpable[1] = self._make_warpable()
        if step not in self._warpable:
            reduced, problem = gdal_call(
                gdal.Translate,
                "",
                self._warpable[1],
                format="VRT",
                width=round(self.grid.width / step),
                height=round(self.grid.height / step),
                resampleAlg="average",
            )
            if reduced is None:
                raise self._damaged(problem)
            self._warpable[step] = reduced
        return self._warpable[step]

    def _make_warpable(self) -> gdal.Dataset:
        """Make a virtual raster of the bands read, with alpha or mask (if any) as its alpha band.

        GDAL then leaves invalid pixels out of averages.
        """
        bands: list[object] = list(self._unique)
        if self._validity.alpha:
            bands.append(self._validity.alpha)
        elif self._validity.mask and not self._validity.nodata:
            bands.append(f"mask,{self._unique[0]}")
        virtual, problem = gdal_call(
            gdal.Translate,
            "",
            self._dataset,
            format="VRT",
            bandList=bands,
            maskBand="none",
            nogcp=True,
        )
        if virtual is None:
            raise self._damaged(problem)
        for number in range(1, virtual.RasterCount + 1):
            band = virtual.GetRasterBand(number)
            colour = number <= len(self._unique)
            band.SetColorInterpretation(gdal.GCI_Undefined if colour else gdal.GCI_AlphaBand)
            if colour and self._raw_type.kind == "f" and band.GetNoDataValue() is None:
                band.SetNoDataValue(float("nan"))
        virtual.SetGeoTransform(self.grid.geotransform)
        return virtual

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


def _map_size(grid: Grid) -> float:
    """Square root of a pixel's area in map units."""
    _, g1, g2, _, g4, g5 = grid.geotransform
    return abs(g1 * g5 - g2 * g4) ** 0.5
