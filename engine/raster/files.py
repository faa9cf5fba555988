# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of rasters: whether two are the same, complete, and unchanged."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Optional

from osgeo import gdal

from ..errors import InputError
from .support import gdal_call
from .texts import RasterTexts

#: "/vsizip/", "NETCDF:"; not "C:\".
_PREFIXES = re.compile(r"^(?:/vsi\w+/|[A-Za-z]\w+:)+")
#: QGIS writes these beside a raster whenever it likes.
_SIDECARS = (".aux.xml", ".ovr")


def same_raster(first: str, second: str) -> bool:
    """Return whether two paths (or connection strings) lead to the same raster."""
    return _identity(first) == _identity(second)


def file_on_disk(path: str) -> str:
    """Return the file on disk that a path leads to, such as the archive of a raster in it."""
    return _split(path)[0]


def check_distinct(
    before: str,
    after: str,
    bands_before: Optional[Sequence[int]] = None,
    bands_after: Optional[Sequence[int]] = None,
) -> None:
    """Check that two paths are not those of one raster, unless other bands of it are read.

    Raises:
        InputError: they are.
    """
    if bands_before == bands_after and same_raster(before, after):
        raise InputError(RasterTexts.same_raster(path=after))


def check_complete(path: str, dataset: gdal.Dataset) -> None:
    """Check the length of an ENVI file: GDAL reads zeros past its end, but errors in others.

    Raises:
        InputError: the file is shorter than its header says.
    """
    fields = dataset.GetMetadata("ENVI")
    if dataset.GetDriver().ShortName != "ENVI" or fields.get("file_compression") == "1":
        return
    bits = sum(
        gdal.GetDataTypeSize(dataset.GetRasterBand(number).DataType)
        for number in range(1, dataset.RasterCount + 1)
    )
    length = int(fields.get("header_offset") or 0)
    length += dataset.RasterXSize * dataset.RasterYSize * bits // 8
    status, _ = gdal_call(gdal.VSIStatL, dataset.GetDescription())
    if status is not None and not status.IsDirectory() and status.size < length:
        raise InputError(RasterTexts.too_short(path=path, size=status.size, length=length))


def file_states(files: Sequence[str]) -> list[Optional[tuple[int, int, int]]]:
    """Return inode, size and time of each file; None if it does not exist."""
    states: list[Optional[tuple[int, int, int]]] = []
    for name in files:
        if name.lower().endswith(_SIDECARS):
            continue
        try:
            status = os.stat(_split(name)[0])
            states.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except (OSError, ValueError):
            states.append(None)
    return states


def _identity(path: str) -> tuple[object, ...]:
    """Return what two paths of one raster have in common."""
    file, rest = _split(path)
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        return (os.path.normpath(path),)
    if status.st_ino:
        return status.st_dev, status.st_ino, rest
    return os.path.normcase(os.path.realpath(file)), rest


def _split(path: str) -> tuple[str, str]:
    """Split a path into the file on disk and the place of the raster in it.

    Such as "/vsizip/a.zip/b.tif" into "a.zip" and "/b.tif"; without such a file, the rest is "".
    """
    if os.path.exists(path):
        return path, ""
    text = _PREFIXES.sub("", path.replace('"', ""))
    file = text
    while file and not os.path.isfile(file):
        file = re.sub(r"[/\\:]?[^/\\:]*$", "", file)
    return (file, os.path.normpath(text[len(file) :])) if file else (path, "")
