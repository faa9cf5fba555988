# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's own data: pairs of GeoTIFFs with a polygon layer in any CRS."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
from osgeo import gdal, ogr, osr

from changescribe.engine.errors import InputError
from changescribe.engine.training.pairs import open_pairs
from changescribe.engine.training.pairs.base import Window
from changescribe.engine.training.pairs.pair import UNKNOWN
from changescribe.engine.training.recipe import DataSpec

pytestmark = pytest.mark.torch

UTM = 32633
LEFT, TOP = 500_000.0, 5_400_000.0
#: Columns and rows of the polygons on the grid of BEFORE: x0, y0, x1, y1.
BUILT, GONE, UNCLEAR = (4, 6, 14, 16), (20, 20, 30, 26), (30, 4, 36, 10)


def _crs(code: int) -> osr.SpatialReference:
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(code)
    crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return crs


def _raster(path, array, left=LEFT, top=TOP, pixel=1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = gdal.GDT_UInt16 if array.dtype == np.uint16 else gdal.GDT_Byte
    height, width = array.shape[:2]
    data = gdal.GetDriverByName("GTiff").Create(str(path), width, height, 3, kind)
    data.SetGeoTransform((left, pixel, 0, top, 0, -pixel))
    data.SetProjection(_crs(UTM).ExportToWkt())
    for band in range(3):
        data.GetRasterBand(band + 1).WriteArray(array[..., band])
    data.FlushCache()


def _polygons(path, rows, epsg=UTM) -> None:
    to = osr.CoordinateTransformation(_crs(UTM), _crs(epsg))
    source = ogr.GetDriverByName("GPKG").CreateDataSource(str(path))
    layer = source.CreateLayer("changes", _crs(epsg), ogr.wkbPolygon)
    for name in ("object", "direction", "status"):
        layer.CreateField(ogr.FieldDefn(name, ogr.OFTString))
    for (x0, y0, x1, y1), *values in rows:
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
        ring = ",".join(f"{LEFT + x} {TOP - y}" for x, y in corners)
        geometry = ogr.CreateGeometryFromWkt(f"POLYGON(({ring}))")
        geometry.Transform(to)
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetGeometry(geometry)
        for name, value in zip(("object", "direction", "status"), values, strict=True):
            feature.SetField(name, value)
        layer.CreateFeature(feature)
    source.FlushCache()


ROWS = [
    (BUILT, "Buildings", "appeared", "accepted"),
    (GONE, "trees", "removed", "accepted"),
    (UNCLEAR, "trees", "changed", "unreviewed"),
]


def _site(folder, epsg=UTM, rows=ROWS) -> None:
    rng = np.random.default_rng(0)
    for name, left in (("north", LEFT), ("south", LEFT)):
        array = rng.integers(0, 255, (40, 48, 3)).astype(np.uint8)
        _raster(folder / "before" / f"{name}.tif", array, left)
        # The later raster has 16 bits, and a grid of its own that reaches less far east.
        _raster(
            folder / "after" / f"{name}.tif",
            np.kron(array[:, :44], np.ones((2, 2, 1))).astype(np.uint16) * 40,
            left,
            pixel=0.5,
        )
    _polygons(folder / "changes.gpkg", rows, epsg)


@pytest.mark.parametrize("epsg", [UTM, 4326])
def test_polygons_become_masks_on_the_grid_of_the_pair(tmp_path, epsg):
    _site(tmp_path, epsg)
    pairs = open_pairs(DataSpec("geotiff"), tmp_path)
    assert pairs.names == ["north", "south"]
    assert pairs.size(0) == (40, 44)
    pair = pairs.read(0)
    assert pair.before.dtype == pair.after.dtype == np.uint8
    assert np.corrcoef(pair.before.ravel(), pair.after.ravel())[0, 1] > 0.99
    built = np.zeros((40, 44), bool)
    built[BUILT[1] : BUILT[3], BUILT[0] : BUILT[2]] = True
    assert np.array_equal(pair.directions["buildings", "appeared"] == 1, built)
    assert not pair.directions["buildings", "removed"].any()
    assert (pair.directions["trees", "removed"] == 1).sum() == 60
    assert (pair.directions["trees", "appeared"] == UNKNOWN).sum() == 36
    assert (pair.change == 1).sum() == 100 + 60 + 36
    window = pairs.read(0, Window(6, 4, 10, 12))
    assert np.array_equal(window.before, pair.before[6:16, 4:16])
    assert np.array_equal(window.change, pair.change[6:16, 4:16])


def test_only_what_was_reviewed(tmp_path):
    _site(tmp_path)
    spec = DataSpec("geotiff", options={"where": "status = 'accepted'"})
    pair = open_pairs(spec, tmp_path).read(1)
    assert not (pair.directions["trees", "appeared"] == UNKNOWN).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"polygons": "none.gpkg"}, "cannot be opened"),
        ({"layer": "other"}, '"other" cannot be opened'),
        ({"class_field": "kind"}, 'no field "kind"'),
        ({"class_field": "status", "direction_field": "object"}, "has the status"),
        ({"where": "nonsense ="}, "cannot be read"),
        ({"where": "status = 'none'"}, "contains no polygons"),
    ],
)
def test_a_layer_that_does_not_match_is_an_error(tmp_path, options, message):
    _site(tmp_path)
    with pytest.raises(InputError, match=message):
        open_pairs(DataSpec("geotiff", options=options), tmp_path)


def test_rasters_that_do_not_match_are_errors(tmp_path):
    _site(tmp_path)
    _raster(tmp_path / "after" / "south.tif", np.zeros((8, 8, 3), np.uint8), LEFT + 9999)
    with pytest.raises(InputError, match="overlap"):
        open_pairs(DataSpec("geotiff"), tmp_path)
    (tmp_path / "after" / "south.tif").unlink()
    with pytest.raises(InputError, match='"south" is in only one'):
        open_pairs(DataSpec("geotiff"), tmp_path)
