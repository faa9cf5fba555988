# SPDX-License-Identifier: GPL-3.0-or-later
"""Acquisition dates, from metadata or file names."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Optional

# The dock reads dates in file names, so this module must import neither GDAL nor numpy.
if TYPE_CHECKING:
    from osgeo import gdal

_IN_NAME = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)"
    r"(?:(?P<separator>[-_.]?)(?P<month>0[1-9]|1[0-2])"
    r"(?:(?P=separator)(?P<day>0[1-9]|[12]\d|3[01]))?)?(?!\d)"
)
_IN_METADATA = re.compile(r"^\s*(\d{4})[-:/](\d{2})[-:/](\d{2})")
_ISO = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
#: Aerial imagery is hardly ever older.
_FIRST_YEAR = 1900


def date_of(dataset: gdal.Dataset, name: str) -> Optional[str]:
    """Find the date of an image, as ``YYYY-MM-DD``, ``YYYY-MM`` or ``YYYY``; None if it has none.

    The acquisition date in the metadata comes first, then a date in the file ``name``, since
    somebody chose it, and last the TIFF's own date, which is often the date of processing.
    """
    acquired = dataset.GetMetadataItem("ACQUISITIONDATETIME", "IMAGERY")
    acquired = acquired or dataset.GetMetadataItem("ACQUISITIONDATETIME")
    return (
        _from_metadata(acquired)
        or date_in_name(name)
        or _from_metadata(dataset.GetMetadataItem("TIFFTAG_DATETIME"))
    )


def date_in_name(name: str) -> Optional[str]:
    """Find a date such as 2019, 2019-06, 201906 or 2019_06_12 in a file name."""
    latest = dt.datetime.now(dt.timezone.utc).year + 1
    for found in _IN_NAME.finditer(name):
        parts = [part for part in found.group("year", "month", "day") if part]
        if _FIRST_YEAR <= int(parts[0]) <= latest and _exists(parts):
            return "-".join(parts)
    return None


def is_iso_date(text: str) -> bool:
    """Return whether a text is a valid date in the form YYYY, YYYY-MM or YYYY-MM-DD."""
    return bool(_ISO.fullmatch(text)) and _exists(text.split("-"))


def reversed_dates(before: Optional[str], after: Optional[str]) -> bool:
    """Return whether the date of the earlier image is later than that of the later image.

    ISO dates of different precision are compared to the precision that both have: 2012-05-04 and
    2012 are not reversed in either order.
    """
    if not before or not after:
        return False
    common = min(len(before), len(after))
    return before[:common] > after[:common]


def _from_metadata(text: Optional[str]) -> Optional[str]:
    found = _IN_METADATA.match(text or "")
    if found is None or not _exists(list(found.groups())):
        return None
    return "-".join(found.groups())


def _exists(parts: list[str]) -> bool:
    numbers = [int(part) for part in parts] + [1] * (3 - len(parts))
    try:
        dt.date(numbers[0], numbers[1], numbers[2])
    except ValueError:
        return False
    return True
