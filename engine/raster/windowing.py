# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pixels of a raster lie under a grid, and their transformation to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
from osgeo import gdal, gdal_array

from .grid import Grid, memory_dataset
from .support import gdal_call, same_crs, warp
from .validity import Box

#: Points along a side of a grid whose places in the raster are computed.
_POINTS = 33


@dataclass(frozen=True)
class Placement:
    """Where the pixels of a raster lie.

    Attributes:
        grid: pixels of the raster; of the raster that is placed by control points, its size in
            pixels, and its CRS.
        control_points: ground control points of a raster without geotransform.
    """

    grid: Grid
    control_points: Sequence[gdal.GCP] = ()

    def under(self, grid: Grid, margin: int) -> Optional[Box]:
        """Return the pixels under a grid, and ``margin`` more around; None if there are none."""
        span = self.span(grid, margin)
        if span is None:
            return None
        x0, y0 = (max(0, value) for value in span[:2])
        x1, y1 = min(self.grid.width, span[2]), min(self.grid.height, span[3])
        return (x0, y0, x1 - x0, y1 - y0) if x0 < x1 and y0 < y1 else None

    def inside(self, grid: Grid, margin: int) -> bool:
        """Return whether all of :meth:`under` and its margin lies in the raster.

        Only known where both have the same CRS; else False.
        """
        span = self.span(grid, margin) if self._is_affine(grid) else None
        if span is None:
            return False
        return min(span) >= 0 and span[2] <= self.grid.width and span[3] <= self.grid.height

    def span(self, grid: Grid, margin: int) -> Optional[tuple[int, int, int, int]]:
        """Return first and last columns and rows (x0, y0, x1, y1) under a grid, also outside."""
        found = self._points_under(grid)
        if found is None or not len(found):
            return None
        low, high = found.min(axis=0), found.max(axis=0)
        # Straight sides are curves in another CRS, and lie further out between the points.
        around = margin + 0.02 * (high - low)
        x0, y0 = (math.floor(value) for value in low - around)
        x1, y1 = (math.ceil(value) for value in high + around)
        return x0, y0, x1, y1

    def _is_affine(self, grid: Grid) -> bool:
        return not self.control_points and same_crs(grid.crs_wkt, self.grid.crs_wkt)

    def _points_under(self, grid: Grid) -> Optional[np.ndarray]:
        """Return pixel coordinates of points spread over a grid, (N, 2); None on an error."""
        if self._is_affine(grid):
            corners = ((0, 0), (grid.width, 0), (0, grid.height), (grid.width, grid.height))
            return np.array([self.grid.map_to_pixel(*grid.pixel_to_map(*xy)) for xy in corners])
        source = gdal.GetDriverByName("VRT").Create("", self.grid.width, self.grid.height, 0)
        self._place(source, 0, 0, 1)
        target = gdal.GetDriverByName("VRT").Create("", grid.width, grid.height, 0)
        target.SetGeoTransform(grid.geotransform)
        if grid.crs_wkt:
            target.SetProjection(grid.crs_wkt)
        transformer, _ = gdal_call(gdal.Transformer, source, target, [])
        if transformer is None:
            return None
        across = np.linspace(0, grid.width, _POINTS)
        down = np.linspace(0, grid.height, _POINTS)
        points = [(float(x), float(y)) for y in down for x in across]
        answer, _ = gdal_call(transformer.TransformPoints, 1, points)
        if answer is None:
            return None
        found = np.array([p[:2] for p, right in zip(*answer) if right], np.float64).reshape(-1, 2)
        return found[np.isfinite(found).all(axis=1)]

    def warp(
        self,
        planes: np.ndarray,
        share: Optional[np.ndarray],
        box: Box,
        step: int,
        grid: Grid,
        method: str,
    ) -> tuple[np.ndarray, np.ndarray, str]:
        """Warp pixels to a grid.

        Args:
            planes: (C, h, w), each the mean of ``step`` x ``step`` pixels.
            share: (h, w) in [0, 1]: share of these that are valid; weighs them. None if
                all are, and the grid lies inside of them: GDAL is three times as fast then.
            box: the pixels.
            step: see ``planes``.
            grid: where to.
            method: GDAL's name of the resampling.

        Returns:
            The planes on the grid; where at least half is valid, bool; GDAL's error message.
        """
        count, height, width = planes.shape
        code = gdal_array.NumericTypeCodeToGDALTypeCode(planes.dtype.type)
        source = gdal.GetDriverByName("MEM").Create("", width, height, count, code)
        self._place(source, box[0], box[1], step)
        target = memory_dataset(grid, count, code)
        if share is not None:
            for dataset in (source, target):
                dataset.AddBand(gdal.GDT_Byte)
                dataset.GetRasterBand(count + 1).SetColorInterpretation(gdal.GCI_AlphaBand)
            source.GetRasterBand(count + 1).WriteArray(np.rint(share * 255).astype(np.uint8))
        for number, plane in enumerate(planes, 1):
            source.GetRasterBand(number).WriteArray(plane)
        _, problem = warp(source, target, method)
        result = np.stack([target.GetRasterBand(i + 1).ReadAsArray() for i in range(count)])
        if share is None:
            return result, np.ones(result.shape[1:], bool), problem
        return result, target.GetRasterBand(count + 1).ReadAsArray() > 127, problem

    def _place(self, dataset: gdal.Dataset, x: int, y: int, step: int) -> None:
        """Place a dataset whose pixels are ``step`` wide and begin at column x and row y."""
        if self.control_points:
            moved = [
                gdal.GCP(p.GCPX, p.GCPY, p.GCPZ, (p.GCPPixel - x) / step, (p.GCPLine - y) / step)
                for p in self.control_points
            ]
            dataset.SetGCPs(moved, self.grid.crs_wkt)
            return
        dataset.SetGeoTransform(self.grid.window(x, y, 1, 1).scaled(step, step).geotransform)
        if self.grid.crs_wkt:
            dataset.SetProjection(self.grid.crs_wkt)
