# SPDX-License-Identifier: GPL-3.0-or-later
"""Polygons in the form that the engine reads: straight lines without Z and M values."""

from __future__ import annotations

from qgis.core import QgsGeometry

from ..compat import GEOMETRY_POLYGON


def plain(geometry: QgsGeometry) -> QgsGeometry:
    """Return a copy without curves, Z and M values: OGR cannot read QGIS's "PolygonZ"."""
    copy = QgsGeometry(geometry)
    copy.convertToStraightSegment()
    copy.get().dropZValue()
    copy.get().dropMValue()
    return copy


def valid(geometry: QgsGeometry) -> QgsGeometry:
    """Return a plain geometry as valid polygons of the same area."""
    if geometry.isGeosValid():
        return geometry
    repaired = geometry.makeValid()
    # makeValid() may leave lines of collapsed corners.
    repaired.convertGeometryCollectionToSubclass(GEOMETRY_POLYGON)
    return repaired
