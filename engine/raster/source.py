# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of a raster: bands, validity, georeference, palette."""

from __future__ import annotations

import os
import re
from typing import Optional

import numpy as np
from osgeo import gdal, gdal_array

from ..errors import InputError
from .files import check_complete
from .grid import PIXEL_GEOTRANSFORM, Grid
from .offline import open_file
from .support import gdal_call, spatial_reference
from .texts import RasterTexts

_ONLINE = re.compile(
    r"type=(xyz|wms|wmts|wcs)|url=https?:|contextualWMSLegend=|<GDAL_W|"
    r"^(WMS|WMTS|WCS|XYZ):|^https?://",
    re.IGNORECASE,
)
_ONLINE_DRIVERS = {"WMS", "WMTS", "WCS", "OGCAPI", "PLMOSAIC"}
#: No CRS has larger coordinates; the distance of the Moon is 4e8 m.
_FARTHEST = 1e11
#: "NETCDF:file.nc:layer", "<VRTDataset>", "/vsizip/..."; not "C:\file.tif".
_NOT_A_PLAIN_PATH = re.compile(r"^[A-Za-z][A-Za-z0-9_]+:|^<|^/vsi")


def open_dataset(path: str) -> gdal.Dataset:
    """Open a file, or anything else that GDAL opens, for reading.

    Raises:
        InputError: the path is empty, the file does not exist, is not a raster, or is an online
            map.
    """
    if not path or not path.strip():
        raise InputError(RasterTexts.no_path())
    if _ONLINE.search(path):
        raise InputError(RasterTexts.online_map(), details=path)
    if "\0" in path or not (_NOT_A_PLAIN_PATH.search(path) or os.path.exists(path)):
        raise InputError(RasterTexts.missing_file(path=path))
    flags = gdal.OF_RASTER | gdal.OF_READONLY | gdal.OF_VERBOSE_ERROR
    dataset, problem = open_file(path, flags)
    if dataset is None:
        raise InputError(RasterTexts.not_a_raster(path=path), details=problem)
    if dataset.GetDriver().ShortName.upper() in _ONLINE_DRIVERS:
        raise InputError(RasterTexts.online_map(), details=path)
    check_complete(path, dataset)
    return dataset


def choose_bands(
    name: str, dataset: gdal.Dataset, numbers: Optional[tuple[int, ...]]
) -> tuple[int, int, int]:
    """Choose the bands to read as red, green and blue.

    ``numbers`` are one to three 1-based band numbers; None chooses by colour interpretation.

    Raises:
        InputError: the raster has no bands or lacks one of these, a band contains complex
            numbers, or more than three are given.
    """
    count = dataset.RasterCount
    if count == 0:
        layers = [text for text, _ in dataset.GetSubDatasets()]
        text = RasterTexts.subdatasets if layers else RasterTexts.no_bands
        raise InputError(text(name=name), details="\n".join(layers))
    bands = list(numbers) if numbers else _default_bands(dataset)
    for band in bands:
        if not 1 <= band <= count:
            text = RasterTexts.no_such_band if count > 1 else RasterTexts.only_one_band
            raise InputError(text(name=name, band=band, count=count))
        kind = gdal.GetDataTypeName(dataset.GetRasterBand(band).DataType)
        if kind.startswith("C"):
            raise InputError(RasterTexts.complex_band(name=name, band=band))
    if len(bands) == 1:
        bands *= 3
    elif len(bands) == 2:
        bands = [bands[0], bands[0], bands[1]]
    if len(bands) != 3:
        raise InputError(RasterTexts.too_many_bands(count=len(bands)))
    return bands[0], bands[1], bands[2]


def _default_bands(dataset: gdal.Dataset) -> list[int]:
    """Return the bands marked red, green and blue, or else the first three that are not alpha."""
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


def warped_grid(name: str, dataset: gdal.Dataset, crs: Optional[str]) -> Grid:
    """Return the grid that suits a raster with ground control points only.

    Raises:
        InputError: no transformation fits the points.
    """
    warped, problem = gdal_call(gdal.Warp, "", dataset, format="VRT")
    if warped is None:
        raise InputError(RasterTexts.bad_control_points(name=name), details=problem)
    return grid_of(name, warped, crs)


def grid_of(name: str, dataset: gdal.Dataset, crs: Optional[str]) -> Grid:
    """Return the grid of a raster; without georeference, that of QGIS (x = column, y = -row).

    ``crs`` (WKT, EPSG code, PROJ string) replaces that of the file. A raster without georeference
    has none, since its coordinates are pixels.

    Raises:
        InputError: the georeference is impossible, or ``crs`` is not a CRS.
    """
    reference = spatial_reference(crs) if crs else None
    size = (dataset.RasterXSize, dataset.RasterYSize)
    transform = dataset.GetGeoTransform(can_return_null=True)
    srs = dataset.GetSpatialRef()
    if reference is not None and (srs is None or not srs.IsSame(reference)):
        srs = reference
    crs_wkt = srs.ExportToWkt() if srs is not None else ""
    if transform is None:
        return Grid(*size, PIXEL_GEOTRANSFORM, "")
    transform = tuple(float(value) for value in transform)
    if not _possible(transform, size):
        raise InputError(RasterTexts.broken_georeference(name=name), details=repr(transform))
    pixels_only = transform[:5] == PIXEL_GEOTRANSFORM[:5] and abs(transform[5]) == 1.0
    if pixels_only and not crs_wkt:
        return Grid(*size, PIXEL_GEOTRANSFORM, "")
    return Grid(*size, transform, crs_wkt)


def _possible(transform: tuple[float, ...], size: tuple[int, int]) -> bool:
    """Return whether the pixels have an area, and their corners differ in float64."""
    x0, a, b, y0, d, e = transform
    far = abs(x0) + abs(y0) + (abs(a) + abs(d)) * size[0] + (abs(b) + abs(e)) * size[1]
    # NaN compares false.
    return far < _FARTHEST and (abs(a * e - b * d)) ** 0.5 > far * 1e-12


def inverted_from(dataset: gdal.Dataset, band: gdal.Band) -> Optional[int]:
    """Return the value that is black where 0 is white (TIFF's MINISWHITE); None elsewhere."""
    if dataset.GetMetadataItem("MINISWHITE", "IMAGE_STRUCTURE") != "YES":
        return None
    bits = band.GetMetadataItem("NBITS", "IMAGE_STRUCTURE")
    return 2 ** int(bits or gdal.GetDataTypeSize(band.DataType)) - 1


def palette_of(band: gdal.Band) -> Optional[np.ndarray]:
    """Return the colours of a palette, (N, 3) uint8; None if the band has no palette."""
    table = band.GetRasterColorTable()
    if table is None or band.GetColorInterpretation() != gdal.GCI_PaletteIndex:
        return None
    entries = [table.GetColorEntry(index)[:3] for index in range(table.GetCount())]
    return np.array(entries, dtype=np.uint8) if entries else None


def raw_type(dataset: gdal.Dataset, bands: list[int]) -> np.dtype:
    """Return the smallest numpy type that holds the values of all these bands."""
    codes = [dataset.GetRasterBand(band).DataType for band in bands]
    return np.result_type(*(gdal_array.GDALTypeCodeToNumericTypeCode(code) for code in codes))
