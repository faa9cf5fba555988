# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own data: pairs of GeoTIFFs and a polygon layer of changes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal, ogr

from ...detect.rasters import Pair
from ...errors import InputError
from ...raster.area import AreaMask
from ...raster.common_grid import common_grid
from ...raster.grid import Grid
from ...raster.radiometry import Stretch, joint_stretch
from ...raster.reader import RasterSource
from ...raster.support import gdal_call
from ...request import APPEARED, CHANGED, REMOVED, Area
from ..recipe import DataSpec
from ..texts import TrainingTexts
from .base import PairSet, Window, files_by_name
from .pair import UNKNOWN, LabelledPair

#: (object, direction) -> polygons.
Polygons = dict[tuple[str, str], Area]


@dataclass
class _Site:
    """One pair: its files, grid and stretch to 8 bits."""

    paths: tuple[Path, Path]
    grid: Grid
    stretches: tuple[Stretch, Stretch]
    masks: dict[tuple[str, str], AreaMask]


class GeoTiffPairs(PairSet):
    """Pairs of GeoTIFFs and a polygon layer.

    ``before / NAME.tif``, ``after / NAME.tif`` and one file of polygons for all pairs. Pairs are
    read as in the pipeline: on the grid of the earlier raster where both overlap, stretched to 8
    bits. The polygons may have another CRS; a pixel belongs to the polygon that contains its
    centre. Every change of every class in the layer must be drawn: pixels without a polygon count
    as unchanged.

    Options: ``polygons`` (file, ``changes.gpkg``), ``layer`` (name in it; the first),
    ``class_field`` (``object``), ``direction_field`` (``direction``; its values are appeared,
    removed or changed) and ``where`` (an OGR SQL condition, such as ``status = 'accepted'``).
    The defaults match ChangeScribe's own results, so a reviewed result is training data.
    """

    options = ("polygons", "layer", "class_field", "direction_field", "where")

    def __init__(self, spec: DataSpec, folder: Path) -> None:
        super().__init__(spec, folder)
        base = folder / spec.split
        before, after = files_by_name(base / "before"), files_by_name(base / "after")
        for name in sorted(set(before) ^ set(after))[:1]:
            raise InputError(TrainingTexts.raster_unpaired(name=name, base=base))
        self._keep(list(before))
        polygons = _read_polygons(base / spec.options.get("polygons", "changes.gpkg"), spec)
        self.objects = sorted({name for name, _ in polygons})
        self.prompt = self.objects[0] if len(self.objects) == 1 else self.prompt
        self._sites = [_open_site(before[n], after[n], polygons) for n in self.names]
        areas = np.array([s.grid.width * s.grid.height for s in self._sites], np.float64)
        self._shares = areas / areas.sum()

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of the pair's common grid in pixels."""
        grid = self._sites[index].grid
        return grid.height, grid.width

    def draw(self, rng: np.random.Generator) -> int:
        """Return the index of a random pair, weighted by its size."""
        return int(rng.choice(len(self), p=self._shares))

    def read(self, index: int, window: Window | None = None) -> LabelledPair:
        """Return a pair, or a window of it; see :meth:`PairSet.read`."""
        site = self._sites[index]
        window = window or Window(0, 0, *self.size(index))
        grid = site.grid.window(window.x, window.y, window.width, window.height)
        # Opened each time: GDAL data sets must not be shared with forked readers.
        with (
            RasterSource.open(str(site.paths[0])) as one,
            RasterSource.open(str(site.paths[1])) as two,
        ):
            before, after, valid = Pair(one, two, *site.stretches).read(grid)
        pair = LabelledPair(before, after)
        pair.images = (str(site.paths[0]), str(site.paths[1]))
        drawn = {key: mask.on(grid) for key, mask in site.masks.items()}
        anything = np.zeros(valid.shape, bool)
        for mask in drawn.values():
            anything |= mask
        pair.change = np.where(valid, anything, UNKNOWN).astype(np.uint8)
        nothing = np.zeros(valid.shape, bool)
        for name in self.objects:
            # A plain "changed" has no direction.
            unclear = ~valid | drawn.get((name, CHANGED), nothing)
            for direction in (APPEARED, REMOVED):
                mask = np.where(unclear, UNKNOWN, drawn.get((name, direction), nothing))
                pair.directions[name, direction] = mask.astype(np.uint8)
        return pair


def _open_site(before: Path, after: Path, polygons: Polygons) -> _Site:
    """Find the common grid of a pair, its stretch and its polygons in the grid's CRS."""
    with RasterSource.open(str(before)) as one, RasterSource.open(str(after)) as two:
        grid = common_grid(one, two, None, ()).output
        stretches = joint_stretch(one, two, grid)
    masks = {key: AreaMask(area, grid) for key, area in polygons.items()}
    return _Site((before, after), grid, stretches, masks)


def _read_polygons(path: Path, spec: DataSpec) -> Polygons:
    """Read the polygons of each object and direction."""
    source, problem = gdal_call(lambda: gdal.OpenEx(str(path), gdal.OF_VECTOR | gdal.OF_READONLY))
    name = spec.options.get("layer")
    layer = source and (source.GetLayerByName(name) if name else source.GetLayer(0))
    if layer is None:
        raise InputError(
            TrainingTexts.layer_missing(layer=name or path.name, path=path), details=problem
        )
    fields = [
        spec.options.get("class_field", "object"),
        spec.options.get("direction_field", "direction"),
    ]
    there = [f.GetName() for f in layer.schema]
    for field in fields:
        if field not in there:
            raise InputError(
                TrainingTexts.no_field(layer=layer.GetName(), field=field, known=", ".join(there))
            )
    rows, problem = gdal_call(lambda: _rows(layer, fields, spec.options.get("where")))
    if problem:
        raise InputError(TrainingTexts.layer_unreadable(layer=layer.GetName()), details=problem)
    parts: dict[tuple[str, str], ogr.Geometry] = defaultdict(
        lambda: ogr.Geometry(ogr.wkbGeometryCollection)
    )
    for key, geometry in rows:
        if not key[0] or key[1] not in (APPEARED, REMOVED, CHANGED):
            raise InputError(
                TrainingTexts.bad_polygon(
                    layer=layer.GetName(),
                    class_field=fields[0],
                    class_name=key[0],
                    direction_field=fields[1],
                    direction=key[1],
                )
            )
        parts[key].AddGeometry(geometry)
    if not parts:
        raise InputError(TrainingTexts.no_polygon(path=path))
    crs = layer.GetSpatialRef()
    wkt = crs.ExportToWkt() if crs else None
    return {key: Area(geometry.ExportToWkt(), wkt) for key, geometry in parts.items()}


def _rows(
    layer: ogr.Layer, fields: list[str], where: str | None
) -> list[tuple[tuple[str, ...], ogr.Geometry]]:
    """Return (object, direction) and geometry of the polygons that fulfil the condition."""
    layer.SetAttributeFilter(where)
    rows = []
    for feature in layer:
        geometry = feature.GetGeometryRef()
        if geometry is not None and geometry.GetDimension() == 2:
            key = tuple(str(feature.GetField(name) or "").strip().lower() for name in fields)
            rows.append((key, geometry.Clone()))
    return rows
