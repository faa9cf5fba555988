# SPDX-License-Identifier: GPL-3.0-or-later
"""Ground areas of pixels, and compass directions within a grid."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np
from osgeo import osr

from .grid import Grid
from .support import ecef, spatial_reference, transform_points

#: Maximum number of nodes along each side of the lattice on which pixel areas are computed.
_NODES = 129

POSITIONS = (
    "north",
    "north-east",
    "east",
    "south-east",
    "south",
    "south-west",
    "west",
    "north-west",
)
CENTRE = "centre"


class PixelAreas:
    """Ground areas of the pixels of a grid; :attr:`known` is False if it has no CRS.

    In degrees and in Mercator projections the pixels of a raster differ in size. Areas are
    computed on the ellipsoid for a lattice of pixels and interpolated bilinearly in between.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._columns = np.linspace(0.5, grid.width - 0.5, min(grid.width, _NODES))
        self._rows = np.linspace(0.5, grid.height - 0.5, min(grid.height, _NODES))
        self._areas = self._lattice()

    @property
    def known(self) -> bool:
        """Whether areas can be given."""
        return self._areas is not None

    def at(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the areas of (N,) pixels in square metres; NaN if the grid has no CRS."""
        if self._areas is None:
            return np.full(len(columns), np.nan)
        x = np.interp(columns, self._columns, np.arange(len(self._columns), dtype=float))
        y = np.interp(rows, self._rows, np.arange(len(self._rows), dtype=float))
        left = np.minimum(x.astype(np.intp), max(len(self._columns) - 2, 0))
        top = np.minimum(y.astype(np.intp), max(len(self._rows) - 2, 0))
        right = np.minimum(left + 1, len(self._columns) - 1)
        bottom = np.minimum(top + 1, len(self._rows) - 1)
        u, v = x - left, y - top
        a = self._areas
        upper = a[top, left] * (1 - u) + a[top, right] * u
        lower = a[bottom, left] * (1 - u) + a[bottom, right] * u
        return upper * (1 - v) + lower * v

    def _lattice(self) -> Optional[np.ndarray]:
        if not self._grid.crs_wkt:
            return None
        crs = spatial_reference(self._grid.crs_wkt)
        columns, rows = np.meshgrid(self._columns, self._rows)
        corners = []
        for dx, dy in ((-0.5, -0.5), (0.5, 0.5), (0.5, -0.5), (-0.5, 0.5)):
            x, y = self._grid.pixel_to_map(columns + dx, rows + dy)
            space = ecef(crs, np.column_stack([np.ravel(x), np.ravel(y)]))
            if space is None:
                return self._planar(columns.shape)
            corners.append(space)
        # Area of a plane quadrangle: half the cross product of its diagonals. Neglecting the
        # curvature of the Earth costs 1e-4 of the area of a pixel of one degree.
        areas = (
            np.linalg.norm(np.cross(corners[1] - corners[0], corners[3] - corners[2]), axis=1) / 2
        )
        areas[~np.isfinite(areas)] = 0.0
        return areas.reshape(columns.shape)

    def _planar(self, shape: tuple[int, ...]) -> Optional[np.ndarray]:
        """Areas in a local (engineering) CRS, which has no ellipsoid."""
        size = self._grid.pixel_size
        return None if size is None else np.full(shape, size**2)


class Compass:
    """Names the position of a pixel within a grid by the points of the compass.

    Directions refer to true north at the centre of the grid, so grid convergence and rotated
    rasters are allowed for. Without a CRS every position is None, since north is unknown.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._axes = _axes(grid)

    def position(self, column: float, row: float) -> Optional[str]:
        """Return one of :data:`POSITIONS`, :data:`CENTRE` for the middle ninth, or None."""
        if self._axes is None:
            return None
        u = 2 * column / self._grid.width - 1
        v = 2 * row / self._grid.height - 1
        if max(abs(u), abs(v)) < 1 / 3:
            return CENTRE
        east, north = u * self._axes[0] + v * self._axes[1]
        return POSITIONS[round(math.degrees(math.atan2(east, north)) / 45) % 8]


def _axes(grid: Grid) -> Optional[np.ndarray]:
    """Return unit vectors (east, north) of a step to the right and a step down, (2, 2).

    None if the grid has no CRS on an ellipsoid.
    """
    crs = _horizontal(grid.crs_wkt)
    if crs is None:
        return None
    column, row = grid.width / 2, grid.height / 2
    places = [grid.pixel_to_map(column + dx, row + dy) for dx, dy in ((0, 0), (0.5, 0), (0, 0.5))]
    degrees = transform_points(crs, _geographic(crs), np.array(places))
    steps = degrees[1:] - degrees[0]
    steps[:, 0] = (steps[:, 0] + 180) % 360 - 180
    steps[:, 0] *= math.cos(math.radians(degrees[0, 1]))
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        return None
    return steps / lengths[:, None]


def _horizontal(crs_wkt: str) -> Optional[osr.SpatialReference]:
    """Return the CRS without heights, x first; None if it has no ellipsoid."""
    if not crs_wkt:
        return None
    crs = spatial_reference(crs_wkt)
    if crs.IsCompound():
        crs.StripVertical()
    return crs if crs.IsProjected() or crs.IsGeographic() else None


def _geographic(crs: osr.SpatialReference) -> osr.SpatialReference:
    """Return the geographic CRS on the datum of ``crs``, longitude first."""
    geographic = osr.SpatialReference()
    geographic.CopyGeogCSFrom(crs)
    geographic.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return geographic
