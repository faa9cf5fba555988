# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixel grids: size, geotransform and CRS, with the geometry that follows from them.

Which grid a pair of rasters is analysed on is decided in :mod:`.common_grid`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Optional, TypeVar

import numpy as np
from osgeo import gdal

from .support import ecef, full_turn, same_crs, spatial_reference

#: One coordinate, or an array of coordinates.
Coordinate = TypeVar("Coordinate", float, np.ndarray)
#: Geotransform of a raster without georeference, as QGIS draws it: x = column, y = -row.
PIXEL_GEOTRANSFORM = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
#: Offsets below this fraction of a pixel are rounding errors.
SNAP = 1e-3


@dataclass(frozen=True)
class Grid:
    """A grid of pixels, with or without georeference.

    Pixel coordinates are (column, row) as floats: (0, 0) is the upper left corner of the upper
    left pixel, (0.5, 0.5) its centre.

    Attributes:
        width: in pixels.
        height: in pixels.
        geotransform: GDAL's six numbers: x = g0 + column g1 + row g2, y = g3 + column g4 + row g5.
        crs_wkt: WKT of the CRS; "" if unknown.
    """

    width: int
    height: int
    geotransform: tuple[float, float, float, float, float, float]
    crs_wkt: str

    def window(self, x: int, y: int, width: int, height: int) -> Grid:
        """Return a rectangle of pixels from column x and row y; it may extend past the edges."""
        left, top = self.pixel_to_map(x, y)
        _, g1, g2, _, g4, g5 = self.geotransform
        return Grid(width, height, (left, g1, g2, top, g4, g5), self.crs_wkt)

    def scaled(self, across: float, down: float) -> Grid:
        """Return a grid of the same origin and extent with pixels of another size.

        ``across`` and ``down`` are factors. The last column and row may extend past the edges.
        """
        g0, g1, g2, g3, g4, g5 = self.geotransform
        return Grid(
            max(1, math.ceil(self.width / across - SNAP)),
            max(1, math.ceil(self.height / down - SNAP)),
            (g0, g1 * across, g2 * down, g3, g4 * across, g5 * down),
            self.crs_wkt,
        )

    def pixel_to_map(self, x: Coordinate, y: Coordinate) -> tuple[Coordinate, Coordinate]:
        """Convert pixel coordinates, floats or arrays, to coordinates in the CRS."""
        g0, g1, g2, g3, g4, g5 = self.geotransform
        return g0 + x * g1 + y * g2, g3 + x * g4 + y * g5

    def map_to_pixel(self, x: Coordinate, y: Coordinate) -> tuple[Coordinate, Coordinate]:
        """Convert coordinates in the CRS, floats or arrays, to pixel coordinates."""
        g0, g1, g2, g3, g4, g5 = self.geotransform
        determinant = g1 * g5 - g2 * g4
        dx, dy = x - g0, y - g3
        return (dx * g5 - dy * g2) / determinant, (dy * g1 - dx * g4) / determinant

    def turned_to(self, other: Grid) -> Grid:
        """Return this grid with the longitudes of another one, such as 0 to 360 for -180 to 180.

        Grids that are not in degrees are returned unchanged.
        """
        both = [full_turn(spatial_reference(g.crs_wkt)) for g in (self, other) if g.crs_wkt]
        turn = both[0] if len(both) == 2 and both[0] == both[1] else None
        if turn is None:
            return self
        centres = [g.pixel_to_map(g.width / 2, g.height / 2)[0] for g in (self, other)]
        turns = round((centres[1] - centres[0]) / turn)
        if not turns:
            return self
        g0, g1, g2, g3, g4, g5 = self.geotransform
        return replace(self, geotransform=(g0 + turns * turn, g1, g2, g3, g4, g5))

    def offset_in(self, other: Grid) -> Optional[tuple[int, int]]:
        """Find the (column, row) of this grid's origin in a grid with coinciding pixels.

        It may be negative or past the edges of ``other``; None if the CRSs differ or the pixels do
        not coincide (within 1/100 pixel).
        """
        if not same_crs(self.crs_wkt, other.crs_wkt):
            return None
        x, y = other.map_to_pixel(*self.pixel_to_map(0, 0))
        column, row = round(x), round(y)
        for corner_x, corner_y in ((0, 0), (self.width, 0), (0, self.height)):
            x, y = other.map_to_pixel(*self.pixel_to_map(corner_x, corner_y))
            if max(abs(x - column - corner_x), abs(y - row - corner_y)) > 10 * SNAP:
                return None
        return column, row

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Bounding box in the CRS: xmin, ymin, xmax, ymax."""
        corners = [self.pixel_to_map(x, y) for x in (0, self.width) for y in (0, self.height)]
        xs, ys = zip(*corners)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def georeferenced(self) -> bool:
        """Whether coordinates are more than columns and rows."""
        return bool(self.crs_wkt) or self.geotransform != PIXEL_GEOTRANSFORM

    @cached_property
    def ground_sides(self) -> Optional[tuple[float, float]]:
        """Width and height of the central pixel on the ground, in metres; None without a CRS.

        Measured on the ellipsoid, so it holds for degrees, feet, and EPSG:3857, whose map metres
        are not metres on the ground.
        """
        vectors = self._ground_vectors
        if vectors is None:
            return None
        return float(np.linalg.norm(vectors[0])), float(np.linalg.norm(vectors[1]))

    @cached_property
    def pixel_size(self) -> Optional[float]:
        """Square root of the ground area of the central pixel, in metres; None without a CRS."""
        vectors = self._ground_vectors
        if vectors is None:
            return None
        return float(np.sqrt(np.linalg.norm(np.cross(vectors[0], vectors[1]))))

    @cached_property
    def _ground_vectors(self) -> Optional[tuple[np.ndarray, np.ndarray]]:
        """Vectors in space, in metres, of one column and one row at the centre of the grid."""
        if not self.crs_wkt:
            return None
        srs = spatial_reference(self.crs_wkt)
        # Measured over up to 16 pixels: inverse projections are exact to micrometres only.
        span_x, span_y = min(16, self.width), min(16, self.height)
        x, y = self.width / 2, self.height / 2
        pixels = [
            (x - span_x / 2, y),
            (x + span_x / 2, y),
            (x, y - span_y / 2),
            (x, y + span_y / 2),
        ]
        points = np.array([self.pixel_to_map(*pixel) for pixel in pixels])
        space = ecef(srs, points)
        if space is None or not np.isfinite(space).all():
            if srs.IsGeographic():
                return None
            unit = srs.GetLinearUnits()
            space = np.column_stack([points * unit, np.zeros(4)])
        return (space[1] - space[0]) / span_x, (space[3] - space[2]) / span_y


def memory_dataset(grid: Grid, bands: int, data_type: int) -> gdal.Dataset:
    """Make a raster in memory; ``data_type`` is GDAL's code, such as ``gdal.GDT_Byte``."""
    dataset = gdal.GetDriverByName("MEM").Create("", grid.width, grid.height, bands, data_type)
    dataset.SetGeoTransform(grid.geotransform)
    if grid.crs_wkt:
        dataset.SetProjection(grid.crs_wkt)
    return dataset
