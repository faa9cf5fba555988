# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about QGIS layers for the engine, read on the main thread before a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional

from qgis.core import (
    QgsCoordinateTransform,
    QgsCsException,
    QgsDistanceArea,
    QgsGeometry,
    QgsProject,
    QgsProviderRegistry,
    QgsRectangle,
)

from ...engine.errors import InputError
from ...engine.raster.dates import date_in_name
from ...engine.raster.files import same_raster
from ..compat import FIXED_TEMPORAL_RANGE
from ..translation import tr

if TYPE_CHECKING:
    from qgis.core import QgsCoordinateReferenceSystem, QgsRasterLayer


def source_path(layer: QgsRasterLayer) -> Optional[str]:
    """Return the GDAL source of a layer; None for online maps and database rasters."""
    if layer.providerType() != "gdal":
        return None
    parts = QgsProviderRegistry.instance().decodeUri("gdal", layer.source())
    name = parts.get("layerName")
    if name:  # a subdataset, which only the full source names
        return layer.source().split("|", 1)[0]
    # The three parts of a raster in an archive: "/vsizip/", "a.zip", "/b.tif".
    whole = (parts.get(key) or "" for key in ("vsiPrefix", "path", "vsiSuffix"))
    return "".join(whole) or layer.source()


def not_a_file(layer: QgsRasterLayer) -> InputError:
    """Return the error for a layer without a :func:`source_path`."""
    return InputError(
        tr('"{layer}" is an online map or a database raster, which cannot be read.').format(
            layer=layer.name()
        ),
        tr(
            "Save the area as a GeoTIFF first (right-click the layer, Export > Save As), "
            "if the terms of use allow it."
        ),
    )


def assigned_crs(layer: QgsRasterLayer) -> Optional[str]:
    """Return the CRS assigned by the user as WKT; None if it is that of the file."""
    crs = layer.crs()
    if not crs.isValid() or crs == layer.dataProvider().crs():
        return None
    return crs.toWkt()


def user_nodata(layer: QgsRasterLayer) -> tuple[tuple[float, float], ...]:
    """Return the additional no data values of a layer, (lowest, highest), of all its bands."""
    provider = layer.dataProvider()
    ranges = {
        (span.min(), span.max())
        for band in range(1, layer.bandCount() + 1)
        for span in provider.userNoDataValues(band)
    }
    return tuple(sorted(ranges))


def has_georeference(layer: QgsRasterLayer) -> bool:
    """Whether a layer is georeferenced; QGIS draws others at (column, -row)."""
    return layer.crs().isValid() or not _drawn_by_pixels(layer)


def has_pixel_size(layer: QgsRasterLayer) -> bool:
    """Whether a layer defines the size of its pixels on the ground.

    A CRS that was assigned to a layer drawn at (column, -row) does not make its pixels metres.
    """
    return layer.crs().isValid() and not _drawn_by_pixels(layer)


def _drawn_by_pixels(layer: QgsRasterLayer) -> bool:
    return layer.extent() == QgsRectangle(0.0, -layer.height(), layer.width(), 0.0)


def date_of(layer: QgsRasterLayer) -> str:
    """Return the ISO date (year, month or day) of a layer, or an empty text.

    Taken from the fixed temporal range, else from the name of the file or of the layer.
    """
    temporal = layer.temporalProperties()
    if temporal.isActive() and temporal.mode() == FIXED_TEMPORAL_RANGE:
        begin = temporal.fixedTemporalRange().begin()
        if begin.isValid():
            return begin.date().toString("yyyy-MM-dd")
    path = source_path(layer) or ""
    return date_in_name(os.path.basename(path)) or date_in_name(layer.name()) or ""


def same_source(first: QgsRasterLayer, second: QgsRasterLayer) -> bool:
    """Whether two layers show the same raster."""
    return first.id() == second.id() or same_raster(
        source_path(first) or first.source(), source_path(second) or second.source()
    )


def to_crs(
    rectangle: QgsRectangle,
    source: QgsCoordinateReferenceSystem,
    target: QgsCoordinateReferenceSystem,
) -> QgsRectangle:
    """Return a rectangle in another CRS; empty if it cannot be transformed.

    Without a CRS on either side, the coordinates are used unchanged.
    """
    if not source.isValid() or not target.isValid() or source == target:
        return QgsRectangle(rectangle)
    transform = QgsCoordinateTransform(source, target, QgsProject.instance())
    try:
        return transform.transformBoundingBox(rectangle)
    except QgsCsException:
        return QgsRectangle()


def overlap_of(before: QgsRasterLayer, after: QgsRasterLayer) -> QgsRectangle:
    """Return the overlap of both layers in the CRS of ``before``; may be empty."""
    return before.extent().intersect(to_crs(after.extent(), after.crs(), before.crs()))


def area_m2(rectangle: QgsRectangle, crs: QgsCoordinateReferenceSystem) -> Optional[float]:
    """Return the ellipsoidal area of a rectangle in m2; None without a CRS."""
    if not crs.isValid():
        return None
    measure = QgsDistanceArea()
    measure.setSourceCrs(crs, QgsProject.instance().transformContext())
    measure.setEllipsoid(crs.ellipsoidAcronym() or "EPSG:7030")
    return measure.measureArea(QgsGeometry.fromRect(rectangle))
