# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine needs to know of a QGIS layer, taken on the main thread before a run."""

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

from ...engine.raster.dates import date_in_name
from ..compat import FIXED_TEMPORAL_RANGE

if TYPE_CHECKING:
    from qgis.core import QgsCoordinateReferenceSystem, QgsRasterLayer


def source_path(layer: QgsRasterLayer) -> Optional[str]:
    """Return what GDAL opens for the layer, or None for online maps and database rasters."""
    if layer.providerType() != "gdal":
        return None
    parts = QgsProviderRegistry.instance().decodeUri("gdal", layer.source())
    name = parts.get("layerName")
    if name:  # a sub-dataset: only the whole text names it
        return layer.source().split("|", 1)[0]
    return parts.get("path") or layer.source()


def assigned_crs(layer: QgsRasterLayer) -> Optional[str]:
    """Return the CRS that the user assigned to the layer, as WKT; None for that of its file."""
    crs = layer.crs()
    if not crs.isValid() or crs == layer.dataProvider().crs():
        return None
    return crs.toWkt()


def has_georeference(layer: QgsRasterLayer) -> bool:
    """Whether a layer lies somewhere on the ground; else QGIS draws it at (column, -row)."""
    return layer.crs().isValid() or not _drawn_by_pixels(layer)


def tells_pixel_size(layer: QgsRasterLayer) -> bool:
    """Whether the size of a layer's pixels on the ground is known.

    A CRS that was assigned to a layer drawn at (column, -row) does not make its pixels metres.
    """
    return layer.crs().isValid() and not _drawn_by_pixels(layer)


def _drawn_by_pixels(layer: QgsRasterLayer) -> bool:
    return layer.extent() == QgsRectangle(0.0, -layer.height(), layer.width(), 0.0)


def date_of(layer: QgsRasterLayer) -> str:
    """Return the ISO date (year, month or day) of a layer, or an empty text.

    The layer's fixed temporal range comes first, then the names of its file and of the layer.
    """
    temporal = layer.temporalProperties()
    if temporal.isActive() and temporal.mode() == FIXED_TEMPORAL_RANGE:
        begin = temporal.fixedTemporalRange().begin()
        if begin.isValid():
            return begin.date().toString("yyyy-MM-dd")
    path = source_path(layer) or ""
    return date_in_name(os.path.basename(path)) or date_in_name(layer.name()) or ""


def same_source(first: QgsRasterLayer, second: QgsRasterLayer) -> bool:
    """Whether two layers show the same file."""
    return first.id() == second.id() or first.source() == second.source()


def to_crs(
    rectangle: QgsRectangle,
    source: QgsCoordinateReferenceSystem,
    target: QgsCoordinateReferenceSystem,
) -> QgsRectangle:
    """Return a rectangle in another CRS; empty where it cannot be transformed.

    A side without CRS is taken to share the other's coordinates.
    """
    if not source.isValid() or not target.isValid() or source == target:
        return QgsRectangle(rectangle)
    transform = QgsCoordinateTransform(source, target, QgsProject.instance())
    try:
        return transform.transformBoundingBox(rectangle)
    except QgsCsException:
        return QgsRectangle()


def overlap_of(before: QgsRasterLayer, after: QgsRasterLayer) -> QgsRectangle:
    """Return the rectangle, in the CRS of ``before``, that both layers cover; may be empty."""
    return before.extent().intersect(to_crs(after.extent(), after.crs(), before.crs()))


def area_m2(rectangle: QgsRectangle, crs: QgsCoordinateReferenceSystem) -> Optional[float]:
    """Return the ellipsoidal area of a rectangle; None without CRS."""
    if not crs.isValid():
        return None
    measure = QgsDistanceArea()
    measure.setSourceCrs(crs, QgsProject.instance().transformContext())
    measure.setEllipsoid(crs.ellipsoidAcronym() or "EPSG:7030")
    return measure.measureArea(QgsGeometry.fromRect(rectangle))
