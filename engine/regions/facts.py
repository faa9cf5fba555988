# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts and polygon of one region, from its runs and sums over its pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
from osgeo import ogr, osr

from ..class_rules import Companion, rules_of
from ..classes import class_of, index_among
from ..raster.geodesy import Compass
from ..raster.grid import Grid
from ..raster.runs import Runs
from ..raster.support import gdal_call, same_crs, spatial_reference
from ..request import APPEARED, OUTLINE_MODES, REMOVED, SCORE_SCALE, Query, Region
from .components import Sums
from .outline import Polygon, enclosed, perimeter, simplify, to_wkb, trace
from .regular import COARSEST_M, regular

#: A region is line-like from this ratio of length to width.
_MIN_ELONGATION = 3.0
#: A region's class on the other date is given only if it has this share of the pixels.
_MIN_SHARE = 1 / 3


@dataclass(frozen=True)
class RegionShape:
    """A region with its polygons.

    Attributes:
        query: index of the query that it answers.
        wkb: MultiPolygon, little-endian WKB, in the CRS of the layer.
        region: its facts; ``change_id`` is 0 and there is no caption until all regions are known.
    """

    query: int
    wkb: bytes
    region: Region


class RegionDescriber:
    """Turns runs and sums into polygons and facts.

    Args:
        grid: of the mask.
        queries: one per value of the runs, from 1.
        class_names: of the class counts.
        tolerance: of the simplification, in pixels.
        crs: CRS of the polygons; None is that of the grid.
        outlines: see :class:`~changescribe.engine.request.ChangeRequest`.
        companions: what regions may lie along, in the order of :attr:`Sums.near`.

    Raises:
        InputError: ``crs`` is not a CRS, or the grid has none to transform from.
    """

    def __init__(
        self,
        grid: Grid,
        queries: Sequence[Query],
        class_names: Sequence[str],
        tolerance: float,
        crs: Optional[str],
        companions: Sequence[Companion],
        outlines: str = OUTLINE_MODES[1],
    ) -> None:
        self._grid = grid
        self._queries = tuple(queries)
        self._names = tuple(class_names)
        self._tolerance = tolerance
        sides = grid.ground_sides
        fine = sides is not None and max(sides) <= COARSEST_M
        self._sides = sides if fine and outlines == OUTLINE_MODES[0] else None
        self._right_angles = [rules_of(query.object).right_angles for query in queries]
        self._companions = companions
        self._compass = Compass(grid)
        self._transform = _transformation(grid, crs)
        self._classes = [class_of(query.object) for query in queries]
        self._has_length = [rules_of(query.object).has_length for query in queries]
        g = grid.geotransform
        self._mirrored = g[1] * g[5] - g[2] * g[4] > 0

    def describe(self, runs: Runs, label: np.ndarray, sums: Sums) -> Iterator[RegionShape]:
        """Yield the region of each component.

        ``runs`` are sorted, of whole components; ``label`` is the (N,) component of each, from 0.
        """
        value = np.zeros(len(sums), dtype=np.int64)
        value[label] = runs.value
        for index, outline in enumerate(trace(runs, label, len(sums))):
            yield self._shape(int(value[index]) - 1, outline, sums.take(slice(index, index + 1)))

    def _shape(self, query: int, outline: list[Polygon], sums: Sums) -> RegionShape:
        pixels, ground = float(sums.pixels[0]), float(sums.area[0])
        column, row = sums.centroid[0].tolist()
        polygons = self._outline(query, outline)
        geometry = self._on_map(polygons)
        # Of the polygon that is stored; simplification cuts corners off the pixels.
        area = ground * enclosed(polygons) / pixels
        xmin, xmax, ymin, ymax = geometry.GetEnvelope()
        before, after = self._change_of_class(query, sums)
        region = Region(
            change_id=0,
            object=self._queries[query].object,
            direction=self._queries[query].direction,
            from_class=before,
            to_class=after,
            score=round(float(sums.score[0]) / SCORE_SCALE, 4),
            area_m2=area if area > 0 else None,
            area_px=int(pixels),
            length_m=self._length(polygons, pixels, ground) if self._has_length[query] else None,
            position=self._compass.position(column, row) or "",
            bounds=(xmin, ymin, xmax, ymax),
            along=self._along(query, sums.near[0]),
        )
        return RegionShape(query, bytes(geometry.ExportToWkb(ogr.wkbNDR)), region)

    def _outline(self, query: int, traced: list[Polygon]) -> list[Polygon]:
        """Return the outline that is stored: regular, or else simplified."""
        found = None
        if self._sides is not None and self._right_angles[query]:
            found = regular(traced, self._sides)
        return found or simplify(traced, self._tolerance)

    def _on_map(self, polygons: list[Polygon]) -> ogr.Geometry:
        placed = [[self._place(ring) for ring in polygon] for polygon in polygons]
        geometry = ogr.CreateGeometryFromWkb(to_wkb(placed))
        if self._transform is None:
            return geometry
        moved = geometry.Clone()
        status, _ = gdal_call(moved.Transform, self._transform)
        if status == 0 and moved.IsValid():
            return moved
        return _polygons_only(moved.MakeValid() if status == 0 else None) or moved

    def _place(self, ring: np.ndarray) -> np.ndarray:
        x, y = self._grid.pixel_to_map(ring[:, 0], ring[:, 1])
        placed = np.column_stack([x, y])
        return placed[::-1] if self._mirrored else placed

    def _length(self, polygons: list[Polygon], pixels: float, ground: float) -> Optional[float]:
        """Length of a band of the same area and outline.

        A band of length L and width W has L W = area and 2 (L + W) = perimeter; L is the
        larger solution. For a network of roads that is the sum of its branches.
        """
        sides = self._grid.ground_sides
        size = self._grid.pixel_size
        if sides is None or size is None or ground <= 0:
            return None
        scale = math.sqrt(ground / pixels) / size
        half = perimeter(polygons, sides[0] * scale, sides[1] * scale) / 2
        root = half * half - 4 * ground
        if root <= 0:
            return None
        length = (half + math.sqrt(root)) / 2
        return length if length * length / ground >= _MIN_ELONGATION else None

    def _along(self, query: int, near: np.ndarray) -> str:
        names = [
            companion.name
            for companion, pixels in zip(self._companions, near)
            if pixels > 0 and query in companion.queries
        ]
        return names[0] if names else ""

    def _change_of_class(self, query: int, sums: Sums) -> tuple[Optional[str], Optional[str]]:
        """Class on both dates; an object that appeared was not there before, and vice versa."""
        own = self._own_class(query)
        direction = self._queries[query].direction
        before, after = sums.before, sums.after
        came, went = direction == APPEARED, direction == REMOVED
        from_class = own if went and own else self._majority(before, own if came else None)
        to_class = own if came and own else self._majority(after, own if went else None)
        return from_class, to_class

    def _own_class(self, query: int) -> Optional[str]:
        """Return the class of a query's object, by the system's name if it has one."""
        index = index_among(self._queries[query].object, self._names)
        if index is not None:
            return self._names[index]
        land_cover = self._classes[query]
        return None if land_cover is None else land_cover.name

    def _majority(self, counts: np.ndarray, excluded: Optional[str]) -> Optional[str]:
        own = self._names.index(excluded) if excluded in self._names else -1
        most = int(class_of_most(counts, np.array([own]))[0])
        return self._names[most] if most >= 0 else None


def class_of_most(counts: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """Return the (C,) class that most pixels of each component have.

    -1 if less than a third of the pixels have it, or fewer than have no known class. ``counts`` are
    (C, K + 1) pixels of each of K classes, and of none; a component cannot have its (C,)
    ``excluded`` class (-1 for none).
    """
    rows = np.arange(len(counts))
    if counts.shape[1] == 1:
        return np.full(len(counts), -1)
    known = counts[:, :-1].copy()
    cannot = np.flatnonzero(excluded >= 0)
    known[cannot, excluded[cannot]] = 0
    best = known.argmax(axis=1)
    number = known[rows, best]
    total = counts.sum(axis=1)
    enough = (total > 0) & (number >= _MIN_SHARE * total) & (number > counts[:, -1])
    return np.where(enough, best, -1)


def _transformation(grid: Grid, crs: Optional[str]) -> Optional[osr.CoordinateTransformation]:
    if crs is None or not grid.crs_wkt or same_crs(grid.crs_wkt, crs):
        if crs is not None:
            spatial_reference(crs)
        return None
    return osr.CoordinateTransformation(spatial_reference(grid.crs_wkt), spatial_reference(crs))


def _polygons_only(geometry: Optional[ogr.Geometry]) -> Optional[ogr.Geometry]:
    """Return the polygons of a geometry as a MultiPolygon; None if there are none."""
    if geometry is None:
        return None
    found = ogr.Geometry(ogr.wkbMultiPolygon)
    parts = (
        [geometry]
        if geometry.GetGeometryCount() == 0
        or ogr.GT_Flatten(geometry.GetGeometryType()) == ogr.wkbPolygon
        else [geometry.GetGeometryRef(i) for i in range(geometry.GetGeometryCount())]
    )
    for part in parts:
        if ogr.GT_Flatten(part.GetGeometryType()) == ogr.wkbPolygon:
            found.AddGeometry(part)
        elif ogr.GT_Flatten(part.GetGeometryType()) == ogr.wkbMultiPolygon:
            for i in range(part.GetGeometryCount()):
                found.AddGeometry(part.GetGeometryRef(i))
    return None if found.IsEmpty() else found
