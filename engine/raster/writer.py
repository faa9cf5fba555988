# SPDX-License-Identifier: GPL-3.0-or-later
"""Write GeoTIFFs that get their final name only once they are complete."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import TYPE_CHECKING, Callable, Optional, TypedDict, Union, final

import numpy as np
from osgeo import gdal, gdal_array

from ..errors import CancelledError, InputError
from ..writing import could_not_write
from .grid import memory_dataset
from .support import gdal_call, warp
from .texts import RasterTexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike

    from ..errors import ChangeScribeError
    from .grid import Grid

#: Rasters are warped in blocks of whole tiles of the GeoTIFF.
_BLOCK_WIDTH = 2048
_BLOCK_HEIGHT = 512
#: Bytes written before they leave GDAL's cache for the disk.
_CACHED_BYTES = 1 << 23
_OPTIONS = [
    "TILED=YES",
    "BLOCKXSIZE=256",
    "BLOCKYSIZE=256",
    "COMPRESS=DEFLATE",
    "BIGTIFF=IF_SAFER",
    "INTERLEAVE=BAND",
]
#: Keeps GDAL from marking three or four bands of bytes as red, green, blue and alpha.
_NOT_A_PICTURE = ["PHOTOMETRIC=MINISBLACK", "ALPHA=NO"]


@final
class RasterWriter:
    """Writes a compressed, tiled GeoTIFF block by block; a context manager.

    The file has a temporary name in its folder until :meth:`commit`. On exit without a commit it
    is removed. Pixels that are never written have the value ``nodata``.

    Example::

        with RasterWriter("mask.tif", grid, nodata=255) as writer:
            writer.write(0, 0, block)
            writer.commit()

    Args:
        path: final name; an existing file is replaced at :meth:`commit`.
        grid: size, geotransform and CRS.
        bands: number of bands.
        dtype: numpy type.
        nodata: nodata value; None for none.
        descriptions: names of the bands, in order.
        scale: factor from stored to real values, such as 1/254; None for none.
        colours: palette of a single band of bytes: red, green, blue, alpha (0 to 255) by value.
        shown_as: file name for messages, if ``path`` is only an intermediate file.

    Raises:
        InputError: the folder is missing or not writable.
        OutputError: the file cannot be created for another reason.
    """

    def __init__(
        self,
        path: str,
        grid: Grid,
        bands: int = 1,
        dtype: DTypeLike = np.uint8,
        nodata: Optional[float] = None,
        descriptions: Sequence[str] = (),
        scale: Optional[float] = None,
        colours: Optional[dict[int, tuple[int, int, int, int]]] = None,
        shown_as: Optional[str] = None,
    ) -> None:
        self.path = path
        self.grid = grid
        self._shown_as = shown_as or path
        self._cached = 0
        self._temporary = f"{os.path.abspath(path)}.{uuid.uuid4().hex[:8]}.part"
        code = gdal_array.NumericTypeCodeToGDALTypeCode(np.dtype(dtype).type)
        options = _OPTIONS if colours else _OPTIONS + _NOT_A_PICTURE
        self._dataset, problem = gdal_call(
            gdal.GetDriverByName("GTiff").Create,
            self._temporary,
            grid.width,
            grid.height,
            bands,
            code,
            options=options,
        )
        if self._dataset is None:
            raise self._abandon(problem)
        _, problem = gdal_call(self._describe, nodata, descriptions, scale, colours)
        if problem:
            raise self._abandon(problem)

    def __enter__(self) -> RasterWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.abort()

    @property
    def dataset(self) -> gdal.Dataset:
        """The open dataset, for functions of GDAL that write to it; None once closed."""
        return self._dataset

    def write(self, x: int, y: int, array: np.ndarray) -> None:
        """Write a (bands, H, W) block whose first column and row are x, y.

        Raises:
            OutputError: the disk is full; the temporary file is removed.
        """

        def write_bands() -> bool:
            results = [
                self._dataset.GetRasterBand(band + 1).WriteArray(plane, x, y)
                for band, plane in enumerate(array)
            ]
            return not any(results)

        done, problem = gdal_call(write_bands)
        if not done or problem:
            raise self._abandon(problem)
        self._cached += array.nbytes
        if self._cached >= _CACHED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write cached blocks to disk, so that the temporary file can be read.

        Raises:
            OutputError: the disk is full; the temporary file is removed.
        """
        self._cached = 0
        _, problem = gdal_call(self._dataset.FlushCache)
        if problem:
            raise self._abandon(problem)

    def commit(self) -> None:
        """Complete the file and rename it to its final name.

        Raises:
            OutputError: the disk is full, or the file to be replaced is in use; the temporary
                file is removed.
        """
        self.flush()
        _, problem = gdal_call(self._close)
        if problem:
            raise self._abandon(problem)
        try:
            os.replace(self._temporary, self.path)
        except OSError as error:
            raise self._abandon(error) from error
        # GDAL would use overviews and statistics of a replaced file for the new one.
        for suffix in (".ovr", ".aux.xml", ".msk"):
            with contextlib.suppress(OSError):
                os.remove(self.path + suffix)
        # A CRS that GeoTIFF cannot store (a rotated pole) goes to a sidecar file.
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._temporary + ".aux.xml", self.path + ".aux.xml")

    def abort(self) -> None:
        """Remove the temporary file; does nothing after :meth:`commit`."""
        gdal_call(self._close)
        for suffix in ("", ".aux.xml"):
            with contextlib.suppress(OSError):
                os.remove(self._temporary + suffix)

    def _close(self) -> None:
        # GDAL writes the last blocks when the last reference is dropped.
        self._dataset = None

    def _describe(
        self,
        nodata: Optional[float],
        descriptions: Sequence[str],
        scale: Optional[float],
        colours: Optional[dict[int, tuple[int, int, int, int]]],
    ) -> None:
        self._dataset.SetGeoTransform(self.grid.geotransform)
        if self.grid.crs_wkt:
            self._dataset.SetProjection(self.grid.crs_wkt)
        for number in range(1, self._dataset.RasterCount + 1):
            band = self._dataset.GetRasterBand(number)
            if nodata is not None:
                band.SetNoDataValue(nodata)
            if number <= len(descriptions):
                band.SetDescription(descriptions[number - 1])
            if scale is not None:
                band.SetScale(scale)
                band.SetOffset(0.0)
        if colours:
            table = gdal.ColorTable()
            for value, colour in colours.items():
                table.SetColorEntry(value, colour)
            self._dataset.GetRasterBand(1).SetRasterColorTable(table)

    def failed(self, problem: Union[str, OSError]) -> ChangeScribeError:
        """Return the error for a failed write, with its cause if known."""
        return could_not_write(self._shown_as, problem)

    def _abandon(self, problem: Union[str, OSError]) -> ChangeScribeError:
        # The cause is found first: a full disk is no longer full once the file is removed.
        error = self.failed(problem)
        self.abort()
        return error


def warp_to(
    src_path: str,
    grid: Grid,
    dst_path: str,
    resample: str = "bilinear",
    progress: Optional[Callable[[float], bool]] = None,
    shown_as: Optional[str] = None,
) -> None:
    """Warp a raster to another grid, block by block, so that memory does not grow with it.

    Type, nodata value, band descriptions, scale and palette are kept. With either method, a pixel
    is nodata where the nearest pixel of the source is, so that scores and classes agree.

    Args:
        src_path: raster with a CRS.
        grid: grid of the result.
        dst_path: GeoTIFF to write.
        resample: ``"bilinear"`` for scores, ``"nearest"`` for classes.
        progress: called with the fraction done, 0 to 1; returning False cancels.
        shown_as: file name for messages, if ``dst_path`` is only an intermediate file.

    Raises:
        InputError: the source cannot be read, or the folder is not writable.
        OutputError: the result cannot be written.
        CancelledError: ``progress`` returned False.
    """
    source, problem = gdal_call(gdal.OpenEx, src_path, gdal.OF_RASTER | gdal.OF_READONLY)
    if source is None:
        raise InputError(RasterTexts.cannot_read(path=src_path), details=problem)
    nodata = source.GetRasterBand(1).GetNoDataValue()
    blocks = [
        (x, y, min(_BLOCK_WIDTH, grid.width - x), min(_BLOCK_HEIGHT, grid.height - y))
        for y in range(0, grid.height, _BLOCK_HEIGHT)
        for x in range(0, grid.width, _BLOCK_WIDTH)
    ]
    try:
        with RasterWriter(dst_path, grid, shown_as=shown_as, **_layout(source)) as writer:
            for done, block in enumerate(blocks):
                part = grid.window(*block)
                values = _warped(source, part, "near")
                if resample != "nearest":
                    missing = values == nodata
                    values = _warped(source, part, resample)
                    if nodata is not None:
                        values[missing] = nodata
                writer.write(block[0], block[1], values)
                gdal_call(source.FlushCache)  # else GDAL caches all of it
                if progress is not None and not progress((done + 1) / len(blocks)):
                    raise CancelledError
            writer.commit()
    finally:
        # The traceback of an error refers to the locals here and would keep the file open.
        source = None


def _warped(source: gdal.Dataset, grid: Grid, method: str) -> np.ndarray:
    """Warp all bands of a raster to a grid; return (bands, H, W)."""
    first = source.GetRasterBand(1)
    nodata = first.GetNoDataValue()
    target = memory_dataset(grid, source.RasterCount, first.DataType)
    if nodata is not None:
        for number in range(1, source.RasterCount + 1):
            target.GetRasterBand(number).SetNoDataValue(nodata)
            target.GetRasterBand(number).Fill(nodata)
    done, problem = warp(source, target, method, srcNodata=nodata, dstNodata=nodata)
    if not done or problem:
        path, source = source.GetDescription(), None  # see warp_to
        raise InputError(RasterTexts.cannot_read(path=path), details=problem)
    values = target.ReadAsArray()
    return values[None] if values.ndim == 2 else values


class _Layout(TypedDict):
    """Arguments of :class:`RasterWriter` that describe its bands."""

    bands: int
    dtype: DTypeLike
    nodata: Optional[float]
    descriptions: list[str]
    scale: Optional[float]
    colours: Optional[dict[int, tuple[int, int, int, int]]]


def _layout(source: gdal.Dataset) -> _Layout:
    """Return the arguments of a writer for bands like those of another raster."""
    bands = [source.GetRasterBand(number + 1) for number in range(source.RasterCount)]
    table = bands[0].GetRasterColorTable()
    colours = None
    if table is not None:
        colours = {index: table.GetColorEntry(index) for index in range(table.GetCount())}
    return {
        "bands": len(bands),
        "dtype": gdal_array.GDALTypeCodeToNumericTypeCode(bands[0].DataType),
        "nodata": bands[0].GetNoDataValue(),
        "descriptions": [band.GetDescription() for band in bands],
        "scale": bands[0].GetScale(),
        "colours": colours,
    }
