# SPDX-License-Identifier: GPL-3.0-or-later
"""Overlap of footprints in different CRSs.

A footprint is a list of rings, (N, 2) arrays of coordinates. The smaller of two footprints is
densified and transformed to the CRS of the larger one: the outline of a UTM tile is well defined
in degrees, but that of a world raster is not in UTM.
"""

from __future__ import annotations

import math
from typing import Optional

import numpy as np
from osgeo import ogr

from ..errors import ChangeScribeError
from .support import (
    full_turn,
    gdal_call,
    same_crs,
    spatial_reference,
    transform_points,
    unwrapped,
)
from .texts import RasterTexts

#: Points along a ring before a transformation: straight edges are curves in another CRS.
POINTS_PER_RING = 128

Rings = list  # of (N, 2) float64 arrays; the first point is not repeated at the end


def rectangle(xmin: float, ymin: float, xmax: float, ymax: float) -> np.ndarray:
    """Return the (4, 2) corners of a rectangle."""
    return np.array([[xmin, ymin], [xmax, ymin], [xmax, ymax], [xmin, ymax]], dtype=np.float64)


def densify(ring: np.ndarray, points: int = POINTS_PER_RING) -> np.ndarray:
    """Add about ``points`` points along the edges of an (N, 2) ring and keep its vertices."""
    ends = np.roll(ring, -1, axis=0)
    lengths = np.linalg.norm(ends - ring, axis=1)
    step = max(float(lengths.sum()) / points, 1e-300)
    parts = []
    for start, end, length in zip(ring, ends, lengths):
        count = max(1, math.ceil(length / step))
        fraction = np.arange(count)[:, None] / count
        parts.append(start + (end - start) * fraction)
    return np.concatenate(parts)


def overlap(rings: Rings, crs_wkt: str, other: np.ndarray, other_crs: str) -> Rings:
    """Clip a footprint to a rectangle in another CRS.

    Args:
        rings: footprint in ``crs_wkt``.
        crs_wkt: "" if unknown; ``other_crs`` is ignored then.
        other: (4, 2) corners of the rectangle in ``other_crs``.
        other_crs: WKT, or any text that GDAL understands as a CRS.

    Returns:
        Rings in ``crs_wkt``; empty if the two do not overlap.

    Raises:
        ChangeScribeError: GDAL cannot intersect polygons.
    """
    if not crs_wkt or same_crs(crs_wkt, other_crs):
        # Longitudes may run from -180 to 180 or from 0 to 360.
        return _intersect([other], rings, turn=_turn(crs_wkt))
    outward = _transformed(rings, crs_wkt, other_crs)
    if outward is not None and _extent_area(outward) < _extent_area([other]):
        shared = _intersect(outward, [other], turn=_turn(other_crs))
        back = _transformed(shared, other_crs, crs_wkt) or []
        return _intersect(back, rings, turn=_turn(crs_wkt))
    inward = _transformed([other], other_crs, crs_wkt) or []
    return _intersect(inward, rings, turn=_turn(crs_wkt))


def _turn(crs: str) -> Optional[float]:
    return full_turn(spatial_reference(crs)) if crs else None


def _extent_area(rings: Rings) -> float:
    if not rings:
        return 0.0
    points = np.concatenate(rings)
    return float(np.prod(points.max(axis=0) - points.min(axis=0)))


def _transformed(rings: Rings, source: str, target: str) -> Optional[Rings]:
    """Densify and transform rings; None if a part of them cannot be transformed."""
    source_srs, target_srs = spatial_reference(source), spatial_reference(target)
    result = []
    for ring in rings:
        points = transform_points(source_srs, target_srs, densify(ring))
        if not np.isfinite(points).all():
            return None
        turn = full_turn(target_srs)
        if turn is not None:
            # A ring across the antimeridian would jump from 180 to -180.
            points[:, 0] = unwrapped(points[:, 0], turn)
        result.append(points)
    return result


def _intersect(first: Rings, second: Rings, *, turn: Optional[float]) -> Rings:
    """Intersect two footprints in the same CRS; the result has the longitudes of ``second``.

    ``turn`` is 360 degrees where x is longitude, by which ``first`` may be shifted.
    """
    for shift in (0.0,) if turn is None else (0.0, turn, -turn):
        moved = [ring + np.array([shift, 0.0]) for ring in first]
        shared, problem = gdal_call(_intersection, moved, second)
        if shared is None:
            raise ChangeScribeError(RasterTexts.overlap_fails(), details=problem)
        rings = _rings(shared)
        if rings:
            return rings
    return []


def _intersection(first: Rings, second: Rings) -> Optional[ogr.Geometry]:
    return _geometry(first).Intersection(_geometry(second))


def _geometry(rings: Rings) -> ogr.Geometry:
    collection = ogr.Geometry(ogr.wkbMultiPolygon)
    for points in rings:
        ring = ogr.Geometry(ogr.wkbLinearRing)
        for x, y in [*points.tolist(), points[0].tolist()]:
            ring.AddPoint_2D(x, y)
        polygon = ogr.Geometry(ogr.wkbPolygon)
        polygon.AddGeometry(ring)
        collection.AddGeometry(polygon)
    return collection if collection.IsValid() else collection.Buffer(0)


def _rings(geometry: ogr.Geometry) -> Rings:
    """Outer rings of the polygons in a geometry; points and lines are dropped."""
    if ogr.GT_Flatten(geometry.GetGeometryType()) == ogr.wkbPolygon:
        if geometry.IsEmpty() or geometry.GetArea() <= 0:
            return []
        return [np.array(geometry.GetGeometryRef(0).GetPoints())[:-1, :2]]
    rings: Rings = []
    for index in range(geometry.GetGeometryCount()):
        part = geometry.GetGeometryRef(index)
        if part.GetDimension() == 2:
            rings += _rings(part)
    return rings
