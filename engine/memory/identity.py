# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pair is known by: the identity of its files, and all that decides how they are read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from osgeo import gdal

#: File systems of GDAL whose files are archives; the archive's own identity counts as well.
_ARCHIVES = ("/vsizip/", "/vsitar/", "/vsigzip/", "/vsi7z/", "/vsirar/")


def places_of(files: Iterable[str]) -> Optional[list[list[Any]]]:
    """Return the identity of files: path, size, time of change, and inode or ETag.

    None if there are none, or if one cannot be identified, such as a table of a database.
    """
    places = [_place_of(name) for name in sorted(set(files))]
    if not places or any(place is None for place in places):
        return None
    return [place for place in places if place is not None]


def _place_of(name: str) -> Optional[list[Any]]:
    try:
        found = os.stat(name)
    except (OSError, ValueError):
        return _virtual_place(name)
    return [os.path.realpath(name), found.st_size, found.st_mtime_ns, found.st_ino]


def _virtual_place(name: str) -> Optional[list[Any]]:
    """Return the identity of a file in an archive or on a server."""
    if not name.startswith("/vsi") or name.startswith("/vsimem/"):
        return None
    found = gdal.VSIStatL(name)
    if found is None:
        return None
    if name.startswith(_ARCHIVES):
        inner = name.split("/", 2)[2].lstrip("{")
        outer = next((path for path in _parents(inner) if os.path.isfile(path)), None)
        return None if outer is None else [name, found.size, *(_place_of(outer) or ())]
    headers = gdal.GetFileMetadata(name, "HEADERS") or {}
    tag = next((text for key, text in headers.items() if key.lower() == "etag"), "")
    return [name, found.size, found.mtime, tag] if tag or found.mtime else None


def _parents(path: str) -> Iterable[str]:
    while path and path != os.path.dirname(path):
        yield path
        path = os.path.dirname(path)


def key_of(facts: Mapping[str, Any]) -> str:
    """Return the key of facts, 40 hexadecimal digits; they must be JSON values."""
    text = json.dumps(facts, sort_keys=True, allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()[:40]
