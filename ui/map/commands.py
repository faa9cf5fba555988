# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as a command, for scripts: of changescribe or of qgis_process."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, Optional

from ...engine.request import ALIGN_MODES, CLOUD_MODES, DEVICES, NODATA_AUTO, OUTLINE_MODES

if TYPE_CHECKING:
    from ...engine.request import ChangeRequest


def changescribe_command(request: ChangeRequest, area_file: Optional[str] = None) -> str:
    """Return the command that repeats a run.

    Args:
        request: with the output to write.
        area_file: file with the polygons of ``request.area``, if it has any.
    """
    extent = request.extent
    options: list[tuple[str, object]] = [
        ("prompt", request.prompt),
        ("out", request.output),
        ("system", request.system),
        ("extent", extent and _numbers(extent.xmin, extent.ymin, extent.xmax, extent.ymax)),
        ("aoi", area_file if request.area else None),
        ("threshold", f"{request.threshold:g}"),
        ("min-area", None if request.min_area is None else f"{request.min_area:g}"),
        ("bands-before", ",".join(map(str, request.bands_before or ()))),
        ("bands-after", ",".join(map(str, request.bands_after or ()))),
        ("competing", ", ".join(request.hints.competing or ())),
        ("pixel-size", request.pixel_size and f"{request.pixel_size:g}"),
        ("nodata", _unless(request.nodata, NODATA_AUTO)),
        ("mask-before", request.mask_before),
        ("mask-after", request.mask_after),
        ("clouds", _unless(request.clouds, CLOUD_MODES[0])),
        ("align", _unless(request.align, ALIGN_MODES[0])),
        ("outlines", _unless(request.outlines, OUTLINE_MODES[0])),
        ("device", _unless(request.device, DEVICES[0])),
        ("crs", request.crs),
        ("date-before", request.date_before),
        ("date-after", request.date_after),
    ]
    if extent and extent.crs:
        options[3] = ("extent", f"{options[3][1]},{extent.crs}")
    words = ["changescribe", "detect", request.before, request.after]
    for name, value in options:
        if value not in (None, ""):
            words += [f"--{name}", str(value)]
    return " ".join(map(quoted, words))


def processing_command(request: ChangeRequest) -> str:
    """Return the call of ``qgis_process`` that repeats a run; polygons become their rectangle."""
    extent = request.extent
    values: dict[str, object] = {
        "BEFORE": request.before,
        "AFTER": request.after,
        "PROMPT": request.prompt,
        "SYSTEM": request.system,
        "THRESHOLD": f"{request.threshold:g}",
        "MIN_AREA": None if request.min_area is None else f"{request.min_area:g}",
        "EXTENT": extent and _numbers(extent.xmin, extent.xmax, extent.ymin, extent.ymax),
        "PIXEL_SIZE": request.pixel_size and f"{request.pixel_size:g}",
        "NODATA": _unless(request.nodata, NODATA_AUTO),
        "DEVICE": _unless(request.device, DEVICES[0]),
        "CLOUDS": _unless(request.clouds, CLOUD_MODES[0]),
        "ALIGN": _unless(request.align, ALIGN_MODES[0]),
        "OUTLINES": _unless(request.outlines, OUTLINE_MODES[0]),
        "BANDS_BEFORE": ";".join(map(str, request.bands_before or ())),
        "BANDS_AFTER": ";".join(map(str, request.bands_after or ())),
        "COMPETING": ", ".join(request.hints.competing or ()),
        "OUTPUT": request.output,
    }
    for name, mask in (("MASK_BEFORE", request.mask_before), ("MASK_AFTER", request.mask_after)):
        path, colon, numbers = (mask or "").rpartition(":")
        plain = not colon or os.path.exists(mask or "")
        values[name] = mask if plain else path
        if not plain:
            values["MASK_VALUES"] = numbers
    if extent and extent.crs and re.fullmatch(r"\w+:\w+", extent.crs):
        values["EXTENT"] = f"{values['EXTENT']} [{extent.crs}]"
    words = ["qgis_process", "run", "changescribe:detectchanges", "--"]
    words += [f"{name}={value}" for name, value in values.items() if value not in (None, "")]
    return " ".join(map(quoted, words))


def quoted(word: str) -> str:
    """Return a word as the shell of this system needs it."""
    if os.name == "posix":
        return shlex.quote(word)
    return word if re.fullmatch(r"[\w.:\\/,=-]+", word) else '"{}"'.format(word.replace('"', '\\"'))


def _numbers(*values: float) -> str:
    return ",".join(f"{value:.12g}" for value in values)


def _unless(value: str, default: str) -> Optional[str]:
    return None if value == default else value
