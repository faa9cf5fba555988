# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening files without the network: a local file must not make GDAL fetch anything.

A VRT can name sources on a server, and a file called ``.tif`` can be the description of a web
service. Opened as any raster, it would tell that server who looks at it and when. Only an address
that the user typed is fetched.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Any, Optional

from osgeo import gdal

from ..errors import InputError
from .support import gdal_call, thread_options
from .texts import RasterTexts

_REMOTE = re.compile(
    r"^/vsi(curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs)(_streaming)?[/?]|\b(https?|ftp)://|"
    r"^(WMS|WMTS|WCS|WFS|WFS3|OAPIF|OGCAPI|TMS|IIP|EEDA|EEDAI|PLMOSAIC|PLSCENES|STACIT|STACTA|"
    r"CARTO|ELASTIC|ES|NGW|AMIGOCLOUD|DAAS|RDA):",
    re.IGNORECASE,
)
#: Root elements of descriptions of web services.
_SERVICES = {
    "GDAL_WMS", "GDAL_WMTS", "WCS_GDAL", "WMT_MS_Capabilities", "WMS_Capabilities",
    "WMS_Tile_Service", "Capabilities", "TileMap", "OGRWFSDataSource",
}  # fmt: skip
#: Elements of a VRT, for rasters or vectors, that name a source.
_SOURCES = {"SourceFilename", "SourceDataset", "SrcDataSource", "FileName", "IndexDataset"}
#: Nothing is fetched while these are set: no name ends so, and nobody listens there.
_OFFLINE = {
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
    "GDAL_HTTP_PROXY": "127.0.0.1:9",
    "GDAL_HTTPS_PROXY": "127.0.0.1:9",
    "GDAL_HTTP_MAX_RETRY": "0",
}
#: Larger texts are no descriptions of a raster.
_MAX_TEXT = 16 << 20


def open_file(path: str, flags: int) -> tuple[Optional[gdal.Dataset], str]:
    """Open a raster or vector file; return it, or None, and GDAL's error message.

    Raises:
        InputError: it is a device or a pipe; or see :func:`check_offline`.
    """
    _check_kind(path)
    check_offline(path)
    with thread_options(**({} if _REMOTE.search(path) else _OFFLINE)):
        return gdal_call(gdal.OpenEx, path, flags)


def check_offline(path: str) -> None:
    """Refuse a local file whose data are on the network.

    Raises:
        InputError: it is one.
    """
    source = "" if _REMOTE.search(path) else _remote_source(path, set())
    if source:
        raise InputError(RasterTexts.remote_source(path=path), details=source)


def _check_kind(path: str) -> None:
    """Raise InputError for a device or a pipe, which would be waited for without end.

    It may be part of a path of GDAL's: ``/vsigzip//folder/pipe``, ``NETCDF:/dev/stdin:layer``.
    """
    parts = [path, *re.findall(r"[/:,{?\"](/[^{}\":,?]*)", path)[:9]]
    if path.startswith("/vsistdin") or any(map(_special, parts)):
        raise InputError(RasterTexts.not_a_file(path=path))


def _special(path: str) -> bool:
    for _ in range(9):
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            # A pipe has no files in it, but GDAL would look for them.
            path = path.rpartition("/")[0]
        else:
            return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def _remote_source(path: str, seen: set[str]) -> str:
    """Return the first source on the network of an XML file or of the files that it names."""
    if path in seen:
        return ""
    seen.add(path)
    text = _xml(path)
    root = gdal_call(gdal.ParseXMLString, text)[0] if text else None
    if root is None:
        return ""
    folder = os.path.dirname(path)
    for name, value in _leaves(root):
        if _REMOTE.search(value) or name in _SERVICES:
            return value or name
        if value.lstrip().startswith("<"):
            nested = value
        else:
            nested = value if os.path.isabs(value) else os.path.join(folder, value)
        found = _remote_source(nested, seen)
        if found:
            return found
    return ""


def _xml(path: str) -> str:
    """Return the text of a file, or of a path that is one, if it is XML; else ""."""
    if path.lstrip().startswith("<"):
        return path
    _check_kind(path)
    file, _ = gdal_call(gdal.VSIFOpenL, path, "rb")
    if file is None:
        return ""
    try:
        start = gdal.VSIFReadL(1, 256, file) or b""
        if not bytes(start).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            return ""
        rest = gdal.VSIFReadL(1, _MAX_TEXT, file) or b""
    finally:
        gdal.VSIFCloseL(file)
    return (bytes(start) + bytes(rest)).decode("utf-8", "replace").lstrip("\ufeff")


def _leaves(root: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield sources of a parsed VRT, and web services: (element, text).

    Nodes are GDAL's: [kind, name or text, *children].
    """
    nodes = [root]
    while nodes:
        kind, name, *children = nodes.pop()
        if kind == gdal.CXT_Element and name in _SERVICES:
            yield name, ""
        if kind == gdal.CXT_Element and name in _SOURCES:
            yield name, "".join(child[1] for child in children if child[0] == gdal.CXT_Text)
        nodes += reversed(children)
