# SPDX-License-Identifier: GPL-3.0-or-later
"""Areas of interest: polygons, and their masks on any grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osgeo import gdal, ogr, osr

from ..errors import InputError
from ..request import Area
from .grid import memory_dataset
from .offline import open_file
from .support import gdal_call, spatial_reference
from .texts import RasterTexts

if TYPE_CHECKING:
    import numpy as np

    from .grid import Grid

#: Segments per longest side before a transformation: straight sides are curves in another CRS.
_SEGMENTS = 32


def _transform(
    geometry: ogr.Geometry, source: osr.SpatialReference, target: osr.SpatialReference
) -> int:
    """Densify and transform a geometry in place; return GDAL's status, 0 for success."""
    if source.IsSame(target):
        return 0
    xmin, xmax, ymin, ymax = geometry.GetEnvelope()
    geometry.Segmentize(max(xmax - xmin, ymax - ymin) / _SEGMENTS)
    return geometry.Transform(osr.CoordinateTransformation(source, target))


def _polygons(geometry: ogr.Geometry) -> list[ogr.Geometry]:
    """Return the polygons of a geometry; they may overlap."""
    flat = geometry.GetLinearGeometry()
    if ogr.GT_Flatten(flat.GetGeometryType()) == ogr.wkbPolygon:
        return [flat]
    parts = (flat.GetGeometryRef(number).Clone() for number in range(flat.GetGeometryCount()))
    return [polygon for part in parts for polygon in _polygons(part)]


class AreaMask:
    """An area of interest that can be rasterized tile by tile, on grids of the CRS of ``grid``.

    Raises:
        InputError: the WKT is not a polygon, or cannot be transformed to the CRS of the grid.
    """

    def __init__(self, area: Area, grid: Grid) -> None:
        geometry, _ = gdal_call(ogr.CreateGeometryFromWkt, area.wkt)
        if geometry is None or geometry.GetDimension() != 2 or geometry.IsEmpty():
            raise InputError(RasterTexts.area_is_no_polygon())
        self._crs = spatial_reference(grid.crs_wkt) if grid.crs_wkt else None
        if area.crs and self._crs is not None:
            source = spatial_reference(area.crs)
            status, problem = gdal_call(_transform, geometry, source, self._crs)
            if status != 0:
                raise InputError(RasterTexts.area_crs_fails(), details=problem)
        self.geometry = geometry

    @property
    def envelope(self) -> tuple[float, float, float, float]:
        """xmin, ymin, xmax, ymax in the CRS of the grid."""
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
    """Read all polygons in the first layer of a vector file as one area of interest.

    Raises:
        InputError: the file cannot be opened or contains no polygons.
    """
    source, _ = open_file(path, gdal.OF_VECTOR | gdal.OF_READONLY)
    layer = None if source is None else source.GetLayer(0)
    if layer is None:
        raise InputError(RasterTexts.area_cannot_be_opened(path=path))
    area = ogr.Geometry(ogr.wkbMultiPolygon)
    for feature in layer:
        geometry = feature.GetGeometryRef()
        if geometry is not None and geometry.GetDimension() == 2:
            for part in _polygons(geometry):
                area.AddGeometry(part)
    if area.IsEmpty():
        raise InputError(RasterTexts.no_polygon(path=path))
    reference = layer.GetSpatialRef()
    return Area(area.ExportToWkt(), reference.ExportToWkt() if reference else None)
