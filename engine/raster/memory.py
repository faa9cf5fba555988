# SPDX-License-Identifier: GPL-3.0-or-later
"""Rasters in memory."""

from __future__ import annotations

from osgeo import gdal

from .grid import Grid


def memory_dataset(grid: Grid, bands: int, data_type: int) -> gdal.Dataset:
    """Make a raster in memory; ``data_type`` is GDAL's code, such as ``gdal.GDT_Byte``."""
    dataset = gdal.GetDriverByName("MEM").Create("", grid.width, grid.height, bands, data_type)
    dataset.SetGeoTransform(grid.geotransform)
    if grid.crs_wkt:
        dataset.SetProjection(grid.crs_wkt)
    return dataset
