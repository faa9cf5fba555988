# SPDX-License-Identifier: GPL-3.0-or-later
"""Size and estimated time of a run, as text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from qgis.PyQt.QtCore import QLocale

from ...engine.raster.common_grid import working_size
from ...engine.wording.facts import format_area
from ..map.layer_source import area_m2
from ..translation import tr

if TYPE_CHECKING:
    from qgis.core import QgsRasterLayer, QgsRectangle

_MINUTE = 60.0
_HOUR = 3600.0


@dataclass(frozen=True)
class Estimate:
    """Size of a run.

    Attributes:
        area_m2: ground area in m2; None without a CRS.
        working_pixels: number of pixels at the system's own pixel size.
        seconds: estimated time; None before the system's first run on this machine.
        ready: the pair is remembered: only the question remains to be answered.
    """

    area_m2: Optional[float]
    pixels: int
    working_pixels: float
    seconds: Optional[float]
    ready: bool = False

    def text(self) -> str:
        """Return the estimate as one line."""
        parts = []
        if self.area_m2 is not None:
            parts.append(format_area(self.area_m2))
        parts.append(pixels_text(self.pixels))
        if self.ready:
            parts.append(tr("ready"))
        if self.seconds is not None:
            parts.append(tr("about {time}").format(time=duration_text(self.seconds)))
        return " \N{MIDDLE DOT} ".join(parts)


def estimate(
    before: QgsRasterLayer,
    rectangle: QgsRectangle,
    pixel_sizes: tuple[float, ...],
    speed: Optional[float],
    user_pixel_size: Optional[float] = None,
    *,
    ready: bool = False,
) -> Estimate:
    """Estimate a run in a rectangle, in the CRS of ``before``.

    Pixel sizes are in metres: ``pixel_sizes`` those that the system was trained on, towards which
    other rasters are resampled, ``user_pixel_size`` that of a layer which does not define it.
    ``speed`` is working pixels per second; None if not measured yet.
    """
    width, height = before.rasterUnitsPerPixelX(), before.rasterUnitsPerPixelY()
    pixels = 0
    if width > 0 and height > 0:
        pixels = round(rectangle.width() / width) * round(rectangle.height() / height)
    area = area_m2(rectangle, before.crs())
    working = float(pixels)
    size = math.sqrt(area / pixels) if area and pixels else user_pixel_size
    if size and pixel_sizes:
        working = pixels * (size / working_size(size, pixel_sizes)) ** 2
    return Estimate(area, pixels, working, working / speed if speed else None, ready)


def pixels_text(pixels: int) -> str:
    """Return a number of pixels as text."""
    million = 1_000_000
    if pixels >= million:
        return tr("{count} million pixels").format(count=_figures(pixels / million))
    return tr("{count} pixels").format(count=QLocale().toString(pixels))


def duration_text(seconds: float) -> str:
    """Return a duration as text, rounded as an estimate should be."""
    if seconds < _MINUTE:
        return tr("{count} s").format(count=max(1, round(seconds)))
    if seconds < _HOUR:
        return tr("{count} min").format(count=round(seconds / _MINUTE))
    return tr("{count} h").format(count=_figures(seconds / _HOUR))


def _figures(value: float) -> str:
    decimals = 1 if value < 100 and value != round(value) else 0
    return QLocale().toString(float(value), "f", decimals)
