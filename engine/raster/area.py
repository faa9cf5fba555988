# SPDX-License-Identifier: GPL-3.0-or-later
"""Areas of interest: polygons, and their masks on any grid."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Callable, Optional

import numpy as np
from osgeo import gdal, ogr, osr

from ..errors import InputError
from ..request import Area
from .grid import memory_dataset
from .offline import open_file
from .support import (
    full_turn,
    gdal_call,
    same_crs,
    spatial_reference,
    transform_points,
    unwrapped,
)
from .texts import RasterTexts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .grid import Grid

#: Segments per longest side before a transformation: straight sides are curves in another CRS.
_SEGMENTS = 256
#: Nodes along each side of the lattice that says where a grid lies in another CRS.
_NODES = 17


def _polygons(geometry: ogr.Geometry) -> list[ogr.Geometry]:
    """Return the polygons of a geometry; they may overlap."""
    flat = geometry.GetLinearGeometry()
    if ogr.GT_Flatten(flat.GetGeometryType()) in (ogr.wkbTIN, ogr.wkbPolyhedralSurface):
        flat = ogr.ForceToMultiPolygon(flat)
    if ogr.GT_Flatten(flat.GetGeometryType()) == ogr.wkbPolygon:
        return [flat]
    parts = (flat.GetGeometryRef(number).Clone() for number in range(flat.GetGeometryCount()))
    return [polygon for part in parts for polygon in _polygons(part)]


def _moved(polygon: ogr.Geometry, move: Callable[[np.ndarray], np.ndarray]) -> ogr.Geometry:
    """Return a polygon whose rings, (N, 2) arrays of points, have gone through ``move``."""
    result = ogr.Geometry(ogr.wkbPolygon)
    for number in range(polygon.GetGeometryCount()):
        points = np.array(polygon.GetGeometryRef(number).GetPoints() or [(0, 0)])[:, :2]
        ring = ogr.Geometry(ogr.wkbLinearRing)
        for x, y in move(points).tolist():
            ring.AddPoint_2D(x, y)
        result.AddGeometry(ring)
    return result


def _transformed(
    polygon: ogr.Geometry, source: osr.SpatialReference, target: osr.SpatialReference
) -> ogr.Geometry:
    """Densify and transform a polygon.

    Raises:
        InputError: a point cannot be transformed.
    """

    def move(points: np.ndarray) -> np.ndarray:
        points = transform_points(source, target, points)
        if not np.isfinite(points).all():
            raise InputError(RasterTexts.area_crs_fails())
        turn = full_turn(target)
        if turn is not None:  # a ring across the antimeridian would jump from 180 to -180
            points[:, 0] = unwrapped(points[:, 0], turn)
        return points

    xmin, xmax, ymin, ymax = polygon.GetEnvelope()
    polygon.Segmentize(max(xmax - xmin, ymax - ymin) / _SEGMENTS)
    return _moved(polygon, move)


def _box(
    grid: Grid, source: osr.SpatialReference, target: osr.SpatialReference
) -> Optional[tuple[float, float, float, float]]:
    """Return xmin, ymin, xmax, ymax around a grid in another CRS; None if it is not defined.

    A grid that covers a pole has every longitude.
    """
    nodes = np.linspace(-0.02, 1.02, _NODES)
    columns, rows = np.meshgrid(nodes * grid.width, nodes * grid.height)
    points = np.column_stack([np.ravel(v) for v in grid.pixel_to_map(columns, rows)])
    if not source.IsSame(target):
        points = transform_points(source, target, points)
    if not np.isfinite(points).all():
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    turn = full_turn(target)
    if turn is not None and not source.IsSame(target):
        lattice = points[:, 0].reshape(_NODES, _NODES)
        lattice = unwrapped(unwrapped(lattice, turn, 1), turn, 0)
        low[0], high[0] = lattice.min(), lattice.max()
        if source.IsProjected() and _covers_pole(grid, source, target, turn / 4):
            low[0], high[0] = -turn / 2, turn / 2
            low[1], high[1] = (low[1], turn / 4) if high[1] > 0 else (-turn / 4, high[1])
    margin = (high - low) / (_NODES - 1)
    low, high = low - margin, high + margin
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _covers_pole(
    grid: Grid, crs: osr.SpatialReference, geographic: osr.SpatialReference, quarter: float
) -> bool:
    for latitude in (quarter, -quarter):
        ((x, y),) = transform_points(geographic, crs, np.array([[0.0, latitude]]))
        column, row = grid.map_to_pixel(x, y)
        if 0 <= column <= grid.width and 0 <= row <= grid.height:
            return True
    return False


def _clipped(
    polygons: Iterable[ogr.Geometry],
    box: Optional[tuple[float, float, float, float]],
    turn: Optional[float],
) -> list[ogr.Geometry]:
    """Clip polygons to a box; ``turn`` is 360 degrees where x is longitude, else None."""
    if box is None:
        return list(polygons)
    xmin, ymin, xmax, ymax = box
    frame = ogr.CreateGeometryFromWkt(
        f"POLYGON(({xmin} {ymin},{xmax} {ymin},{xmax} {ymax},{xmin} {ymax},{xmin} {ymin}))"
    )
    result = []
    for polygon in polygons:
        for shift in (0.0,) if turn is None else (0.0, turn, -turn):
            west, east, south, north = polygon.GetEnvelope()
            west, east = west + shift, east + shift
            if west > xmax or east < xmin or south > ymax or north < ymin:
                continue
            part = _moved(polygon, partial(np.add, (shift, 0.0)))
            if west < xmin or east > xmax or south < ymin or north > ymax:
                valid = part if part.IsValid() else gdal_call(part.MakeValid)[0] or part
                shared, _ = gdal_call(valid.Intersection, frame)
                result += _polygons(shared) if shared is not None else [part]
            else:
                result.append(part)
    return [part for part in result if part.GetArea() > 0]


def _together(polygons: Iterable[ogr.Geometry]) -> ogr.Geometry:
    result = ogr.Geometry(ogr.wkbMultiPolygon)
    for polygon in polygons:
        result.AddGeometry(polygon)
    return result


def polygon_of(corners: Sequence[tuple[float, float]], crs: Optional[str]) -> Area:
    """Return a polygon as an area; the first of its corners is not repeated."""
    ring = ", ".join(f"{float(x)!r} {float(y)!r}" for x, y in (*corners, corners[0]))
    return Area(f"POLYGON (({ring}))", crs)


def place_of(grid: Grid, x: int, y: int, width: int, height: int) -> Area:
    """Return a window of pixels as a polygon; on a rotated grid its sides are not north-south."""
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return polygon_of([grid.pixel_to_map(*xy) for xy in corners], grid.crs_wkt or None)


class AreaMask:
    """An area of interest that can be rasterized tile by tile, on windows of ``grid``.

    Clipped to the grid before it is transformed: the world has no outline in UTM.

    Raises:
        InputError: the WKT is not a polygon, or cannot be transformed to the CRS of the grid.
    """

    def __init__(self, area: Area, grid: Grid) -> None:
        geometry, _ = gdal_call(ogr.CreateGeometryFromWkt, area.wkt)
        if geometry is None or geometry.GetDimension() != 2 or geometry.IsEmpty():
            raise InputError(RasterTexts.area_is_no_polygon())
        self._crs = spatial_reference(grid.crs_wkt) if grid.crs_wkt else None
        parts = _polygons(geometry)
        if self._crs is not None:
            source = spatial_reference(area.crs) if area.crs else self._crs
            parts = _clipped(parts, _box(grid, self._crs, source), full_turn(source))
            if not source.IsSame(self._crs):
                moved = [_transformed(part, source, self._crs) for part in parts]
                parts = _clipped(moved, _box(grid, self._crs, self._crs), full_turn(self._crs))
        self.geometry = _together(parts)

    @property
    def envelope(self) -> tuple[float, float, float, float]:
        """xmin, ymin, xmax, ymax in the CRS of the grid.

        Raises:
            InputError: no polygon lies on the grid.
        """
        if self.geometry.IsEmpty():
            raise InputError(RasterTexts.extent_outside())
        xmin, xmax, ymin, ymax = self.geometry.GetEnvelope()
        return xmin, ymin, xmax, ymax

    def on(self, grid: Grid) -> np.ndarray:
        """Return (H, W) bool: True for pixels whose centre lies in the area.

        Raises:
            InputError: GDAL cannot rasterize the polygons.
        """
        raster = memory_dataset(grid, 1, gdal.GDT_Byte)
        source = ogr.GetDriverByName("Memory").CreateDataSource("")
        layer = source.CreateLayer("area", srs=self._crs)
        for part in _polygons(self.geometry):
            feature = ogr.Feature(layer.GetLayerDefn())
            feature.SetGeometry(part)
            layer.CreateFeature(feature)
        _, problem = gdal_call(gdal.RasterizeLayer, raster, [1], layer, burn_values=[1])
        if problem:
            raise InputError(RasterTexts.area_cannot_be_drawn(), details=problem)
        return raster.ReadAsArray().astype(bool)


def read_area(path: str) -> Area:
    """Read all polygons in all layers of a vector file as one area of interest.

    Raises:
        InputError: the file cannot be opened or contains no polygons.
    """
    source, _ = open_file(path, gdal.OF_VECTOR | gdal.OF_READONLY)
    if source is None or source.GetLayerCount() == 0:
        raise InputError(RasterTexts.area_cannot_be_opened(path=path))
    parts: list[tuple[ogr.Geometry, str]] = []
    for number in range(source.GetLayerCount()):
        layer = source.GetLayer(number)
        reference = layer.GetSpatialRef()
        crs = reference.ExportToWkt() if reference else ""
        for feature in layer:
            geometry = feature.GetGeometryRef()
            if geometry is not None and geometry.GetDimension() == 2:
                parts += [(part, crs) for part in _polygons(geometry) if not part.IsEmpty()]
    if not parts:
        raise InputError(RasterTexts.no_polygon(path=path))
    common = parts[0][1]
    if any(not same_crs(common, crs) for _, crs in parts):
        common = spatial_reference("EPSG:4326").ExportToWkt()
        parts = [
            (_transformed(part, *map(spatial_reference, (crs, common))) if crs else part, common)
            for part, crs in parts
        ]
    return Area(_together(part for part, _ in parts).ExportToWkt(), common or None)
