# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pixels of a raster are valid: nodata values, masks, alpha bands, transparent palettes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

import numpy as np
from osgeo import gdal, gdal_array

from ..messages import Text
from ..request import NODATA_ALPHA, NODATA_AUTO, NODATA_NONE
from .texts import RasterTexts

#: Column, row, width and height of a rectangle of pixels.
Box = tuple[int, int, int, int]
#: Reads a box of a band.
ReadBand = Callable[[gdal.Band, Box], np.ndarray]
#: Alpha of an opaque pixel: 1 in floating point, or the largest number of some bits.
_OPAQUE = (1.0, *(2.0**bits - 1 for bits in (8, 10, 11, 12, 14, 15, 16)))
#: An alpha band has fewer levels between transparent and opaque than an image has.
_LEVELS = 16
#: The alpha band is judged by PARTS x PARTS windows of SIDE x SIDE pixels.
_PARTS, _SIDE = 8, 64


class Validity:
    """How a raster marks invalid pixels.

    Args:
        name: file name, for messages.
        dataset: the raster.
        bands: 1-based numbers of the bands that are read.
        mode: one of :data:`..request.NODATA_MODES`.
        ranges: values (lowest, highest) that the user declared as nodata.
        read: reads a box of a band.

    Attributes:
        notes: what was decided that a user may not expect.
        declared: the file marks invalid pixels, if only by a value that none can have.
        hidden: functions that return where the pixels of a box are invalid for other reasons.
    """

    def __init__(
        self,
        name: str,
        dataset: gdal.Dataset,
        bands: Sequence[int],
        mode: str,
        ranges: Sequence[tuple[float, float]],
        read: ReadBand,
    ) -> None:
        self.notes: tuple[Text, ...] = ()
        self.hidden: list[Callable[[Box], np.ndarray]] = []
        self._read = read
        self._values: list[Optional[np.generic]] = [None] * len(bands)
        self._ranges = tuple(ranges)
        self._masks: list[gdal.Band] = []
        self._alpha: Optional[gdal.Band] = None
        self._opaque = 0.0
        self._colours: Optional[np.ndarray] = None
        self.declared = bool(ranges)
        if mode == NODATA_NONE:
            return
        chosen = [dataset.GetRasterBand(number) for number in bands]
        self._values = [_nodata_value(band) for band in chosen]
        self._masks = _masks(chosen)
        self._colours = _opaque_colours(chosen[0]) if len(chosen) == 1 else None
        alpha = _alpha_band(dataset, bands)
        if alpha is not None and mode in (NODATA_AUTO, NODATA_ALPHA):
            sample = np.concatenate([read(alpha, box).ravel() for box in _spread(alpha)])
            self._opaque = _opaque_value(sample)
            if mode == NODATA_ALPHA or _is_alpha(sample, self._opaque):
                self._alpha = alpha
            else:
                self.notes = (RasterTexts.alpha_is_image(name=name, band=alpha.GetBand()),)
        self.declared |= bool(self._masks) or self._alpha is not None
        self.declared |= any(band.GetNoDataValue() is not None for band in chosen)

    def of(self, planes: np.ndarray, box: Box) -> np.ndarray:
        """Return where pixels are valid, (h, w) bool.

        A pixel is invalid where all bands are nodata, where any is NaN, where a mask hides it,
        where its alpha is below half of opaque, and where its palette colour is transparent.

        Args:
            planes: (bands, h, w), as read.
            box: where.
        """
        valid = ~self._is_nodata(planes)
        if planes.dtype.kind == "f":
            valid &= np.isfinite(planes).all(axis=0)
        for mask in self._masks:
            valid &= self._read(mask, box) > 0
        if self._alpha is not None:
            valid &= self._read(self._alpha, box) >= self._opaque / 2
        if self._colours is not None:
            index = planes[0].astype(np.int64)
            known = (index >= 0) & (index < len(self._colours))
            valid &= known & self._colours[np.where(known, index, 0)]
        for hidden in self.hidden:
            valid &= ~hidden(box)
        return valid

    def _is_nodata(self, planes: np.ndarray) -> np.ndarray:
        """Return where all bands have a nodata value."""
        nodata = np.zeros(planes.shape, dtype=bool)
        for number, (plane, value) in enumerate(zip(planes, self._values)):
            if value is not None:
                nodata[number] |= plane == value
            for low, high in self._ranges:
                nodata[number] |= (plane >= low) & (plane <= high)
        return np.all(nodata, axis=0)


def _nodata_value(band: gdal.Band) -> Optional[np.generic]:
    """Return the nodata value in the type of a band; None if no pixel can have it.

    GDAL takes 300 for 255 in a raster of bytes, which is white ground.
    """
    value = band.GetNoDataValue()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    dtype = np.dtype(gdal_array.GDALTypeCodeToNumericTypeCode(band.DataType))
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    limits = np.iinfo(dtype)
    fits = value == math.floor(value) and limits.min <= value <= limits.max
    return dtype.type(int(value)) if fits else None


def _masks(bands: Sequence[gdal.Band]) -> list[gdal.Band]:
    """Return the masks of bands: one for the whole raster, or one per band."""
    flags = bands[0].GetMaskFlags()
    if flags & gdal.GMF_PER_DATASET and not flags & gdal.GMF_ALPHA:
        return [bands[0].GetMaskBand()]
    return [band.GetMaskBand() for band in bands if band.GetMaskFlags() == 0]


def _alpha_band(dataset: gdal.Dataset, bands: Sequence[int]) -> Optional[gdal.Band]:
    """Return the last band marked as alpha that is not read as a colour."""
    for number in range(dataset.RasterCount, 0, -1):
        band = dataset.GetRasterBand(number)
        if band.GetColorInterpretation() == gdal.GCI_AlphaBand and number not in bands:
            return band
    return None


def _opaque_value(sample: np.ndarray) -> float:
    """Return the alpha of an opaque pixel, which is not the largest number of its type."""
    highest = float(sample.max(initial=0))
    return next((value for value in _OPAQUE if value >= highest), highest)


def _is_alpha(sample: np.ndarray, opaque: float) -> bool:
    """Tell an alpha band from an image: GDAL marks the fourth band of any four bytes as alpha.

    Nearly all of an alpha band is transparent or opaque; levels between the two are few, or rare.
    """
    between = sample[(sample != 0) & (sample != opaque)]
    rare = len(between) <= int((sample == opaque).sum())
    return rare or len(np.unique(between)) <= _LEVELS


def _spread(band: gdal.Band) -> Iterator[Box]:
    """Yield boxes spread over a band; all of a small one."""
    for y, height in _pieces(band.YSize):
        for x, width in _pieces(band.XSize):
            yield x, y, width, height


def _pieces(size: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of pieces spread over one side."""
    if size <= _PARTS * _SIDE:
        yield 0, size
        return
    for number in range(_PARTS):
        yield number * (size - _SIDE) // (_PARTS - 1), _SIDE


def _opaque_colours(band: gdal.Band) -> Optional[np.ndarray]:
    """Return for each palette index whether its colour is opaque, (N,) bool; None: no palette."""
    table: Any = band.GetRasterColorTable()
    if table is None or band.GetColorInterpretation() != gdal.GCI_PaletteIndex:
        return None
    alphas = [table.GetColorEntry(index)[3] for index in range(table.GetCount())]
    return np.array(alphas) > 127 if alphas else None
