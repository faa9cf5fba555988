# SPDX-License-Identifier: GPL-3.0-or-later
"""Areas of interest lie where they are drawn, in any CRS and however large."""

from __future__ import annotations

import pytest
from osgeo import ogr, osr

from changescribe.engine.errors import InputError
from changescribe.engine.raster.area import AreaMask, read_area
from changescribe.engine.raster.grid import Grid
from changescribe.engine.raster.support import spatial_reference
from changescribe.engine.request import Area

UTM = osr.SpatialReference()
UTM.ImportFromEPSG(32614)
#: 320 m by 320 m at 30.6 N, 97.7 W.
SMALL = Grid(160, 160, (628400.0, 2.0, 0.0, 3382500.0, 0.0, -2.0), UTM.ExportToWkt())
WORLD = "POLYGON((-180 -90,180 -90,180 90,-180 90,-180 -90))"


def box(west, south, east, north):
    return f"POLYGON(({west} {south},{east} {south},{east} {north},{west} {north},{west} {south}))"


def share(wkt, grid, crs="EPSG:4326"):
    return AreaMask(Area(wkt, crs), grid).on(grid).mean()


@pytest.mark.parametrize(
    ("wkt", "crs"),
    [
        (WORLD, "EPSG:4326"),
        (box(-180, 0, 0, 90), "EPSG:4326"),
        (box(-125, 24, -66, 50), "EPSG:4326"),
        (box(180, 0, 360, 90), "EPSG:4326"),
        (box(-2e7, -2e7, 2e7, 2e7), "EPSG:3857"),
    ],
)
def test_a_large_area_covers_a_small_raster(wkt, crs):
    assert share(wkt, SMALL, crs) == 1


@pytest.mark.parametrize("half_width", [0.05, 0.5, 3.5, 40])
def test_a_side_along_a_parallel_stays_on_it(half_width):
    """The chord of a parallel in UTM is 1 km off it at 3.5 degrees."""
    to_degrees = osr.CoordinateTransformation(UTM, geographic())
    lon, lat, _ = to_degrees.TransformPoint(628560.0, 3382340.0)
    wkt = box(lon - half_width, lat, lon + half_width, lat + 4)
    assert share(wkt, SMALL) == pytest.approx(0.5, abs=0.01)


def geographic():
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(4326)
    crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return crs


@pytest.mark.parametrize("west", [-178.0, 182.0])
@pytest.mark.parametrize("turn", [0, 360])
def test_longitudes_of_another_turn(west, turn):
    grid = Grid(100, 100, (west, 0.01, 0.0, 10.0, 0.0, -0.01), geographic().ExportToWkt())
    assert share(box(-178 + turn, 9, -177.5 + turn, 10), grid) == pytest.approx(0.5)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32601", "EPSG:4269"])
def test_halves_at_the_antimeridian(crs):
    """RFC 7946 cuts an area at 180 degrees."""
    halves = (
        "MULTIPOLYGON(((179 0,180 0,180 2,179 2,179 0)),((-180 0,-179 0,-179 2,-180 2,-180 0)))"
    )
    if crs == "EPSG:32601":  # 40 km across the antimeridian, which is 166,021 m at the equator
        wkt, shape = crs, (146000.0, 400.0, 0.0, 100000.0, 0.0, -400.0)
    else:
        wkt, shape = crs, (179.5, 0.01, 0.0, 1.5, 0.0, -0.01)
    reference = osr.SpatialReference()
    reference.SetFromUserInput(wkt)
    grid = Grid(100, 100, shape, reference.ExportToWkt())
    assert share(halves, grid) == pytest.approx(1)


def test_the_pole_in_a_polar_raster():
    polar = osr.SpatialReference()
    polar.ImportFromEPSG(3413)
    grid = Grid(100, 100, (-100e3, 2000.0, 0.0, 100e3, 0.0, -2000.0), polar.ExportToWkt())
    assert share(WORLD, grid) == pytest.approx(1, abs=0.02)
    assert share(box(-180, 60, 0, 90), grid) == pytest.approx(0.5, abs=0.02)


def test_an_area_elsewhere_is_outside():
    far = AreaMask(Area(box(80, -35, 90, -25), "EPSG:4326"), SMALL)
    assert not far.on(SMALL).any()
    with pytest.raises(InputError, match="outside"):
        assert far.envelope


def write(path, driver, layers):
    source = ogr.GetDriverByName(driver).CreateDataSource(str(path))
    for name, crs, wkt in layers:
        layer = source.CreateLayer(name, crs, ogr.wkbUnknown)
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetGeometry(ogr.CreateGeometryFromWkt(wkt))
        layer.CreateFeature(feature)
    del source
    return str(path)


@pytest.mark.parametrize(("driver", "suffix"), [("GPKG", "gpkg"), ("KML", "kml")])
def test_all_layers_are_read(tmp_path, driver, suffix):
    layers = [
        ("points", geographic(), "POINT(0 0)"),
        ("north", geographic(), box(0, 2, 1, 3)),
        ("south", geographic(), box(0, 0, 1, 1)),
    ]
    area = read_area(write(tmp_path / f"areas.{suffix}", driver, layers))
    assert ogr.CreateGeometryFromWkt(area.wkt).GetArea() == pytest.approx(2)


def test_layers_in_different_crss(tmp_path):
    layers = [
        ("metres", UTM, box(628400, 3382180, 628560, 3382500)),
        ("degrees", geographic(), box(-97.7, 30, -97.6, 31)),
    ]
    area = read_area(write(tmp_path / "areas.gpkg", "GPKG", layers))
    assert AreaMask(area, SMALL).on(SMALL)[:, :80].all()


def test_triangles_are_an_area(tmp_path):
    path = str(tmp_path / "tin.gpkg")
    source = ogr.GetDriverByName("GPKG").CreateDataSource(path)
    layer = source.CreateLayer("a", srs=spatial_reference("EPSG:32633"), geom_type=ogr.wkbTINZ)
    feature = ogr.Feature(layer.GetLayerDefn())
    triangles = "((0 0 0,4 0 0,0 4 0,0 0 0)),((4 0 0,4 4 0,0 4 0,4 0 0))"
    feature.SetGeometry(ogr.CreateGeometryFromWkt(f"TIN Z({triangles})"))
    layer.CreateFeature(feature)
    del feature, layer, source
    area = ogr.CreateGeometryFromWkt(read_area(path).wkt)
    assert area.UnionCascaded().GetArea() == 16
