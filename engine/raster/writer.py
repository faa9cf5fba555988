# SPDX-License-Identifier: GPL-3.0-or-later
"""Write GeoTIFFs that appear under their name only when they are complete."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import TYPE_CHECKING, Callable, Optional, TypedDict, Union, final

import numpy as np
from osgeo import gdal, gdal_array

from ..errors import CancelledError, InputError
from ..writing import could_not_write
from .support import gdal_call, memory_dataset, warp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from numpy.typing import DTypeLike

    from ..errors import ChangeScribeError
    from .grid import Grid

#: Blocks in which a raster is warped: whole tiles of the GeoTIFF.
_BLOCK_WIDTH = 2048
_BLOCK_HEIGHT = 512
_OPTIONS = [
    "TILED=YES",
    "BLOCKXSIZE=256",
    "BLOCKYSIZE=256",
    "COMPRESS=DEFLATE",
    "BIGTIFF=IF_SAFER",
    "INTERLEAVE=BAND",
]
#: Three or four bands of bytes would be taken for a picture, the fourth for its transparency.
_NOT_A_PICTURE = ["PHOTOMETRIC=MINISBLACK", "ALPHA=NO"]


@final
class RasterWriter:
    """A compressed, tiled GeoTIFF in the making.

    It is written under a temporary name in the folder of its final one. Pixels that are never
    written hold ``nodata``. As a context manager it is removed at the end unless committed.

    Args:
        path: final name; an existing file is replaced at :meth:`commit`.
        grid: its pixels.
        bands: number of bands.
        dtype: numpy type.
        nodata: value for no data; None for none.
        descriptions: of the bands, or nothing.
        scale: factor from stored values to real ones, such as 1/254; None for none.
        colours: red, green, blue, alpha (0 to 255) of values, for one band of bytes.
        shown_as: file named in messages, where ``path`` is only on the way to it.

    Raises:
        InputError: the folder is missing or cannot be written to.
        OutputError: the file cannot be made for another reason.
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
            raise self._given_up(problem)
        _, problem = gdal_call(self._describe, nodata, descriptions, scale, colours)
        if problem:
            raise self._given_up(problem)

    def __enter__(self) -> RasterWriter:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.abort()

    @property
    def dataset(self) -> gdal.Dataset:
        """The open dataset, for what GDAL writes by itself; None once finished."""
        return self._dataset

    def write(self, x: int, y: int, array: np.ndarray) -> None:
        """Write a block.

        Args:
            x: column of its left edge.
            y: row of its upper edge.
            array: (bands, H, W), within the raster.

        Raises:
            OutputError: the disk is full; nothing is left behind.
        """

        def write_bands() -> bool:
            results = [
                self._dataset.GetRasterBand(band + 1).WriteArray(plane, x, y)
                for band, plane in enumerate(array)
            ]
            return not any(results)

        done, problem = gdal_call(write_bands)
        if not done or problem:
            raise self._given_up(problem)

    def flush(self) -> None:
        """Write what is still in memory, so that the file can be read.

        Raises:
            OutputError: the disk is full; nothing is left behind.
        """
        _, problem = gdal_call(self._dataset.FlushCache)
        if problem:
            raise self._given_up(problem)

    def commit(self) -> None:
        """Complete the file and give it its name.

        Raises:
            OutputError: the disk is full, or the file to be replaced is in use; nothing is
                left behind.
        """
        self.flush()
        _, problem = gdal_call(self._close)
        if problem:
            raise self._given_up(problem)
        try:
            os.replace(self._temporary, self.path)
        except OSError as error:
            raise self._given_up(error) from error
        # Overviews and statistics of a file that was replaced would be shown for the new one.
        for suffix in (".ovr", ".aux.xml", ".msk"):
            with contextlib.suppress(OSError):
                os.remove(self.path + suffix)
        # A CRS that TIFF cannot hold (a rotated pole) is in a file beside it.
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._temporary + ".aux.xml", self.path + ".aux.xml")

    def abort(self) -> None:
        """Remove the temporary file. Does nothing after :meth:`commit`."""
        gdal_call(self._close)
        for suffix in ("", ".aux.xml"):
            with contextlib.suppress(OSError):
                os.remove(self._temporary + suffix)

    def _close(self) -> None:
        # GDAL writes its last blocks when the last reference goes.
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
        """Say that the file could not be written, and why where that is known."""
        return could_not_write(self._shown_as, problem)

    def _given_up(self, problem: Union[str, OSError]) -> ChangeScribeError:
        # A full disk is no longer full once the file is removed.
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
    """Warp a raster to another grid, block by block: memory does not grow with the raster.

    Type, nodata, band descriptions, scale and colours are kept. A pixel has no data where the
    nearest pixel of the source has none, with every way of resampling, so that scores and
    classes agree on it.

    Args:
        src_path: raster on the working grid, with a CRS.
        grid: grid wanted.
        dst_path: GeoTIFF to write; it appears when complete.
        resample: ``"bilinear"`` for scores, ``"nearest"`` for classes.
        progress: called with the part done, 0 to 1; False stops.
        shown_as: file named in messages, where ``dst_path`` is only on the way to it.

    Raises:
        InputError: the source cannot be read, or the folder cannot be written to.
        OutputError: the result cannot be written.
        CancelledError: ``progress`` returned False.
    """
    source, problem = gdal_call(gdal.OpenEx, src_path, gdal.OF_RASTER | gdal.OF_READONLY)
    if source is None:
        raise InputError(f'"{src_path}" could not be read.', "", problem)
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
                if progress is not None and not progress((done + 1) / len(blocks)):
                    raise CancelledError
            writer.commit()
    finally:
        # An error on its way up refers to what is here: the file would stay open.
        source = None


def _warped(source: gdal.Dataset, grid: Grid, method: str) -> np.ndarray:
    """Warp all bands of a raster to a grid, (bands, H, W)."""
    first = source.GetRasterBand(1)
    nodata = first.GetNoDataValue()
    target = memory_dataset(grid, source.RasterCount, first.DataType)
    if nodata is not None:
        for number in range(1, source.RasterCount + 1):
            target.GetRasterBand(number).SetNoDataValue(nodata)
            target.GetRasterBand(number).Fill(nodata)
    done, problem = warp(
        source, target, method, unified_nodata=False, srcNodata=nodata, dstNodata=nodata
    )
    if not done or problem:
        name, source = source.GetDescription(), None  # the error refers to what is here
        raise InputError(f'"{name}" could not be read.', "", problem)
    values = target.ReadAsArray()
    return values[None] if values.ndim == 2 else values


class _Layout(TypedDict):
    """Arguments of a writer."""

    bands: int
    dtype: DTypeLike
    nodata: Optional[float]
    descriptions: list[str]
    scale: Optional[float]
    colours: Optional[dict[int, tuple[int, int, int, int]]]


def _layout(source: gdal.Dataset) -> _Layout:
    """Arguments of a writer for a raster with the bands of another."""
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
