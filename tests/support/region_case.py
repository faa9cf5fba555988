# SPDX-License-Identifier: GPL-3.0-or-later
"""Score planes on a grid, converted to a mask and regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from osgeo import gdal

from changescribe.engine import regions
from changescribe.engine.raster.grid import Grid
from changescribe.engine.raster.support import spatial_reference
from changescribe.engine.raster.writer import RasterWriter
from changescribe.engine.regions.facts import RegionShape
from changescribe.engine.request import Query

UTM33 = spatial_reference("EPSG:32633").ExportToWkt()


def grid_of(width: int, height: int, pixel: float = 5.0) -> Grid:
    return Grid(width, height, (500000.0, pixel, 0.0, 5000000.0, 0.0, -pixel), UTM33)


class Case:
    """Score planes on a grid, with both conversions."""

    def __init__(
        self,
        folder: Path,
        planes: Sequence[np.ndarray],
        queries: Sequence[Query],
        grid: Grid | None = None,
    ) -> None:
        self.folder, self.queries = folder, tuple(queries)
        height, width = planes[0].shape
        self.grid = grid or grid_of(width, height)
        self.score, self.mask = str(folder / "score.tif"), str(folder / "mask.tif")
        self.raster("score.tif", *planes)
        self.components = regions.Components()

    def raster(self, name: str, *planes: np.ndarray) -> str:
        with RasterWriter(str(self.folder / name), self.grid, len(planes)) as writer:
            writer.write(0, 0, np.array(planes, dtype=np.uint8))
            writer.commit()
        return str(self.folder / name)

    def build(self, **options: object) -> regions.MaskSummary:
        self.components.close()
        self.components = regions.Components(str(self.folder))
        with RasterWriter(self.mask, self.grid, nodata=255) as writer:
            summary = regions.build_mask(
                self.score, writer, self.grid, self.queries, self.components, **options
            )
            writer.commit()
        return summary

    def values(self) -> np.ndarray:
        return gdal.Open(self.mask).ReadAsArray()

    def extract(self, **options: object) -> list[RegionShape]:
        return list(regions.extract(self.components, self.grid, self.queries, **options))
