# SPDX-License-Identifier: GPL-3.0-or-later
"""What an opened raster is: its bands, its validity, its place on the ground."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Optional

import numpy as np
from osgeo import gdal, gdal_array

from ..errors import InputError
from .grid import PIXEL_GEOTRANSFORM, Grid
from .support import gdal_call, spatial_reference, warp

_ONLINE = re.compile(
    r"type=(xyz|wms|wmts|wcs)|url=https?:|contextualWMSLegend=|<GDAL_W|"
    r"^(WMS|WMTS|WCS|XYZ):|^https?://",
    re.IGNORECASE,
)
_ONLINE_DRIVERS = {"WMS", "WMTS", "WCS", "OGCAPI", "PLMOSAIC"}
#: "NETCDF:file.nc:layer", "<VRTDataset>", "/vsizip/..."; not "C:\file.tif".
_NOT_A_PLAIN_PATH = re.compile(r"^[A-Za-z][A-Za-z0-9_]+:|^<|^/vsi")


@dataclass(frozen=True)
class Validity:
    """Where a raster says which of its pixels are valid.

    Attributes:
        nodata: some of the bands read have a nodata value.
        mask: the raster has a mask of its own.
        alpha: number of its alpha band, or 0.
        alpha_max: value of an opaque pixel.
    """

    nodata: bool
    mask: bool
    alpha: int
    alpha_max: float


def open_dataset(path: str) -> gdal.Dataset:
    """Open a raster for reading, or say why not.

    Args:
        path: file, or anything else that GDAL opens.

    Raises:
        InputError: no path, no such file, not a raster, or an online map.
    """
    if not path or not path.strip():
        raise InputError("No raster is given.", "Choose a raster file.")
    if _ONLINE.search(path):
        raise _online_error(path)
    if not _NOT_A_PLAIN_PATH.search(path) and not os.path.exists(path):
        raise InputError(
            f'The raster "{path}" does not exist.',
            "Check the path, and that the drive is connected.",
        )
    flags = gdal.OF_RASTER | gdal.OF_READONLY | gdal.OF_VERBOSE_ERROR
    dataset, problem = gdal_call(gdal.OpenEx, path, flags)
    if dataset is None:
        raise InputError(
            f'"{path}" is not a raster that can be read.',
            "Use a raster file such as GeoTIFF; a file that was not copied whole cannot be read "
            "either.",
            problem,
        )
    if dataset.GetDriver().ShortName.upper() in _ONLINE_DRIVERS:
        raise _online_error(path)
    return dataset


def _online_error(path: str) -> InputError:
    return InputError(
        "Online maps cannot be analysed as they are.",
        "Save the area of interest as a GeoTIFF first (Export > Save As, raw data or rendered "
        "image), where the terms of the service allow it.",
        path,
    )


def choose_bands(
    name: str, dataset: gdal.Dataset, wanted: Optional[tuple[int, ...]]
) -> tuple[int, int, int]:
    """Choose the bands read as red, green and blue.

    Args:
        name: of the raster, for messages.
        dataset: opened raster.
        wanted: one to three 1-based numbers; None chooses by itself.

    Raises:
        InputError: the raster has no bands, or not those wanted.
    """
    count = dataset.RasterCount
    if count == 0:
        layers = [text for text, _ in dataset.GetSubDatasets()]
        raise InputError(
            f'"{name}" has no bands.',
            "It contains several rasters; choose one of them."
            if layers
            else "Choose another raster.",
            "\n".join(layers),
        )
    bands = list(wanted) if wanted else _default_bands(dataset)
    for band in bands:
        if not 1 <= band <= count:
            raise InputError(
                f'"{name}" has no band {band}.',
                f"Its bands are numbered 1 to {count}." if count > 1 else "It has one band.",
            )
        kind = gdal.GetDataTypeName(dataset.GetRasterBand(band).DataType)
        if kind.startswith("C"):
            raise InputError(
                f'Band {band} of "{name}" holds complex numbers.',
                "Use the amplitude as a raster of real numbers.",
            )
    if len(bands) == 1:
        bands *= 3
    elif len(bands) == 2:
        bands = [bands[0], bands[0], bands[1]]
    if len(bands) != 3:
        raise InputError(
            f"{len(bands)} bands are given, three are read.", "Name the red, green and blue band."
        )
    return bands[0], bands[1], bands[2]


def _default_bands(dataset: gdal.Dataset) -> list[int]:
    """Bands marked red, green, blue; else the first three that are not alpha."""
    kinds = {
        number: dataset.GetRasterBand(number).GetColorInterpretation()
        for number in range(1, dataset.RasterCount + 1)
    }
    marked = []
    for kind in (gdal.GCI_RedBand, gdal.GCI_GreenBand, gdal.GCI_BlueBand):
        marked += [number for number, value in kinds.items() if value == kind][:1]
    if len(marked) == 3:
        return marked
    colours = [number for number, value in kinds.items() if value != gdal.GCI_AlphaBand]
    return (colours or list(kinds))[:3]


def placed(name: str, dataset: gdal.Dataset) -> gdal.Dataset:
    """Warp a raster that has ground control points only; any other is returned as it is.

    Raises:
        InputError: the ground control points fit no transformation.
    """
    if dataset.GetGeoTransform(can_return_null=True) is not None or dataset.GetGCPCount() == 0:
        return dataset
    warped, problem = warp(
        dataset, "", "bilinear", unified_nodata=True, format="VRT", dstAlpha=True
    )
    if warped is None:
        raise InputError(
            f'The ground control points of "{name}" do not fit together.',
            "Georeference the raster again (Layer > Georeferencer) and save it warped.",
            problem,
        )
    return warped


def assigned(name: str, dataset: gdal.Dataset, crs: str) -> gdal.Dataset:
    """A raster with another CRS than the one in its file, as a user assigns one in QGIS.

    A raster without georeference stays as it is: its coordinates are pixels.

    Raises:
        InputError: the text is not a CRS.
    """
    reference = spatial_reference(crs)
    if dataset.GetGeoTransform(can_return_null=True) is None:
        return dataset
    present = dataset.GetSpatialRef()
    if present is not None and present.IsSame(reference):
        return dataset
    wkt = reference.ExportToWkt()
    view, problem = gdal_call(gdal.Translate, "", dataset, format="VRT", outputSRS=wkt)
    if view is None:
        raise InputError(
            f'"{name}" cannot be read in the coordinate reference system assigned to it.',
            "Check it in Layer Properties > Source.",
            problem,
        )
    return view


def grid_of(dataset: gdal.Dataset) -> Grid:
    """Grid of an opened raster; without georeference (column, -row), as QGIS draws it."""
    size = (dataset.RasterXSize, dataset.RasterYSize)
    transform = dataset.GetGeoTransform(can_return_null=True)
    srs = dataset.GetSpatialRef()
    crs_wkt = srs.ExportToWkt() if srs is not None else ""
    if transform is None:
        return Grid(*size, PIXEL_GEOTRANSFORM, "")
    transform = tuple(float(value) for value in transform)
    pixels_only = transform[:5] == PIXEL_GEOTRANSFORM[:5] and abs(transform[5]) == 1.0
    if pixels_only and not crs_wkt:
        return Grid(*size, PIXEL_GEOTRANSFORM, "")
    return Grid(*size, transform, crs_wkt)


def palette_of(band: gdal.Band) -> Optional[np.ndarray]:
    """Colours of a paletted band, (N, 3) uint8; None where it has no palette."""
    table = band.GetRasterColorTable()
    if table is None or band.GetColorInterpretation() != gdal.GCI_PaletteIndex:
        return None
    entries = [table.GetColorEntry(index)[:3] for index in range(table.GetCount())]
    return np.array(entries, dtype=np.uint8) if entries else None


def raw_type(dataset: gdal.Dataset, bands: list[int]) -> np.dtype:
    """Smallest numpy type that holds the values of all the bands."""
    codes = [dataset.GetRasterBand(band).DataType for band in bands]
    return np.result_type(*(gdal_array.GDALTypeCodeToNumericTypeCode(code) for code in codes))


def find_validity(dataset: gdal.Dataset, bands: list[int]) -> Validity:
    """Find out where a raster says which of its pixels are valid."""
    flags = [dataset.GetRasterBand(band).GetMaskFlags() for band in bands]
    shared = bool(flags[0] & gdal.GMF_PER_DATASET)
    alpha, alpha_max = 0, 255.0
    for number in range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        if band.GetColorInterpretation() == gdal.GCI_AlphaBand and number not in bands:
            alpha = number
            alpha_max = {gdal.GDT_UInt16: 65535.0, gdal.GDT_Int16: 32767.0}.get(
                band.DataType, 255.0
            )
    return Validity(
        nodata=any(dataset.GetRasterBand(band).GetNoDataValue() is not None for band in bands),
        mask=shared and not flags[0] & gdal.GMF_ALPHA,
        alpha=alpha,
        alpha_max=alpha_max,
    )
