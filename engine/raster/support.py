# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of GDAL and OSR that check errors and leave the process as it was.

The engine shares QGIS's process with other plugins, any of which may have switched GDAL's
exceptions on or off. Both cases are handled here, and configuration options are set for the
calling thread only, and restored.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union, cast

import numpy as np
from osgeo import gdal, osr

from ..errors import InputError, raise_out_of_memory
from .texts import RasterTexts

if TYPE_CHECKING:
    from collections.abc import Iterator


Result = TypeVar("Result")

#: Memory in MB that one warp may use in addition to its result.
_WARP_MEMORY_MB = 64


@contextmanager
def thread_options(**options: str) -> Iterator[None]:
    """Set GDAL configuration options for this thread, and restore them afterwards.

    Does nothing with versions of GDAL whose Python bindings have no thread-local options, so no
    result may depend on the options.
    """
    if not hasattr(gdal, "GetThreadLocalConfigOption"):
        yield
        return
    saved = {name: gdal.GetThreadLocalConfigOption(name) for name in options}
    for name, value in options.items():
        gdal.SetThreadLocalConfigOption(name, value)
    try:
        yield
    finally:
        for name, value in saved.items():
            gdal.SetThreadLocalConfigOption(name, value)


def gdal_call(
    function: Callable[..., Result], *arguments: object, **options: object
) -> tuple[Result, str]:
    """Call a function that calls GDAL, quietly, and return its value and GDAL's error message.

    The message is "" without an error. The value is None if the function raised; check the message
    before using it. Warnings of GDAL are dropped.

    Raises:
        OutOfMemoryError: GDAL found too little memory.
    """
    gdal.ErrorReset()
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        value = function(*arguments, **options)
    except RuntimeError as error:
        raise_out_of_memory(error)
        return cast("Result", None), str(error) or "GDAL error"
    except (TypeError, UnicodeError) as error:
        # A text with NUL or half a character cannot be handed to GDAL.
        if isinstance(error, TypeError) and "not a string" not in str(error):
            raise
        return cast("Result", None), str(error)
    finally:
        gdal.PopErrorHandler()
    if gdal.GetLastErrorType() >= gdal.CE_Failure:
        raise_out_of_memory(gdal.GetLastErrorMsg())
        return value, gdal.GetLastErrorMsg() or "GDAL error"
    return value, ""


def warp(
    source: gdal.Dataset,
    target: Union[gdal.Dataset, str],
    method: str,
    **options: object,
) -> tuple[Any, str]:
    """Warp a raster into ``target`` ("" makes a new one); return what :func:`gdal_call` returns.

    ``method`` is GDAL's name of the resampling. Each band has nodata by itself. Further ``options``
    are those of ``gdal.Warp``.
    """
    return gdal_call(
        gdal.Warp,
        target,
        source,
        resampleAlg=method,
        warpMemoryLimit=_WARP_MEMORY_MB,
        warpOptions=["UNIFIED_SRC_NODATA=NO"],
        **options,
    )


def spatial_reference(text: str) -> osr.SpatialReference:
    """Make a CRS with x (or longitude) first from WKT, a PROJ string or a code (``EPSG:4326``).

    Raises:
        InputError: GDAL does not understand the text.
    """
    srs = osr.SpatialReference()
    status, problem = gdal_call(srs.SetFromUserInput, text)
    if status != 0 or problem:
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise InputError(RasterTexts.unknown_crs(crs=shown), details=problem)
    srs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return srs


def full_turn(crs: osr.SpatialReference) -> Optional[float]:
    """Return 360 degrees in the unit of a geographic CRS; None where x is not longitude."""
    return float(2 * np.pi / crs.GetAngularUnits()) if crs.IsGeographic() else None


def unwrapped(longitudes: np.ndarray, turn: float, axis: int = 0) -> np.ndarray:
    """Return longitudes without the jump at the antimeridian; ``turn`` is 360 degrees."""
    radians = 2 * np.pi / turn
    return np.unwrap(longitudes * radians, axis=axis) / radians


def named_crs(local: osr.SpatialReference) -> Optional[str]:
    """Return the projected CRS ("EPSG:...") whose name a local one has.

    None if there is none in the same unit.
    """
    rows, _ = gdal_call(osr.GetCRSInfoListFromDatabase, "EPSG")
    code = next((row.code for row in rows or () if row.name == local.GetName()), None)
    found = spatial_reference(f"EPSG:{code}") if code else local
    same = found.IsProjected() and found.GetLinearUnits() == local.GetLinearUnits()
    return f"EPSG:{code}" if same else None


def same_crs(first: str, second: str) -> bool:
    """Return whether two texts describe the same CRS; "" equals only ""."""
    if first == second:
        return True
    if not first or not second:
        return False
    return bool(spatial_reference(first).IsSame(spatial_reference(second)))


def transform_points(
    source: osr.SpatialReference, target: osr.SpatialReference, points: np.ndarray
) -> np.ndarray:
    """Transform (N, 2) float64 points, x first, between two CRSs.

    Points that cannot be transformed become NaN.
    """
    result = np.full((len(points), 2), np.nan)
    transformation, problem = gdal_call(osr.CoordinateTransformation, source, target)
    if transformation is None or problem:
        return result
    values, _ = gdal_call(transformation.TransformPoints, points.tolist())
    if values is None:
        # With exceptions on, one bad point makes the whole call fail.
        values = [gdal_call(transformation.TransformPoint, x, y)[0] for x, y in points.tolist()]
    for row, value in enumerate(values):
        if value is not None:
            result[row] = value[:2]
    result[~np.isfinite(result).all(axis=1)] = np.nan
    return result


def ecef(srs: osr.SpatialReference, points: np.ndarray) -> Optional[np.ndarray]:
    """Convert (N, 2) points, x first, to Earth-centred, Earth-fixed coordinates, at height 0.

    The distance of two near points in space is their distance on the ground, even at the poles
    and across the antimeridian. Returns (N, 3) metres; NaN for points outside the CRS; None if the
    CRS has no ellipsoid (a local engineering CRS).
    """
    if srs.IsLocal():
        return None
    geographic = srs.CloneGeogCS()
    if geographic is None:
        return None
    geographic.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    degrees = points if srs.IsGeographic() else transform_points(srs, geographic, points)
    radians = np.asarray(degrees, dtype=np.float64) * geographic.GetAngularUnits()
    lon, lat = radians[:, 0], radians[:, 1]
    semi_major = geographic.GetSemiMajor()
    inverse_flattening = geographic.GetInvFlattening()
    flattening = 1.0 / inverse_flattening if inverse_flattening else 0.0
    e2 = flattening * (2.0 - flattening)
    normal = semi_major / np.sqrt(1.0 - e2 * np.sin(lat) ** 2)
    return np.stack(
        [
            normal * np.cos(lat) * np.cos(lon),
            normal * np.cos(lat) * np.sin(lon),
            normal * (1.0 - e2) * np.sin(lat),
        ],
        axis=1,
    )
