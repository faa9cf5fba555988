# SPDX-License-Identifier: GPL-3.0-or-later
"""Polygons as the engine reads them: straight lines, without heights or measures."""

from __future__ import annotations

from qgis.core import QgsGeometry

from ..compat import GEOMETRY_POLYGON


def plain(geometry: QgsGeometry) -> QgsGeometry:
    """Return a copy without curves, heights and measures: OGR cannot read QGIS's "PolygonZ"."""
    copy = QgsGeometry(geometry)
    copy.convertToStraightSegment()
    copy.get().dropZValue()
    copy.get().dropMValue()
    return copy


def valid(geometry: QgsGeometry) -> QgsGeometry:
    """Return valid polygons that cover what a plain geometry does."""
    if geometry.isGeosValid():
        return geometry
    mended = geometry.makeValid()
    # A corner that was folded away may be left as a line.
    mended.convertGeometryCollectionToSubclass(GEOMETRY_POLYGON)
    return mended
