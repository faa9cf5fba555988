# SPDX-License-Identifier: GPL-3.0-or-later
"""Polygons of QGIS as OGR reads them."""

from __future__ import annotations

import pytest

pytest.importorskip("qgis.core")

from osgeo import ogr
from qgis.core import QgsGeometry

from changescribe.ui.map.polygons import plain, valid


@pytest.mark.parametrize(
    ("wkt", "area"),
    [
        ("PolygonZ ((0 0 5, 4 0 5, 4 3 5, 0 3 5, 0 0 5))", 12),
        ("MultiPolygonZM (((0 0 5 1, 4 0 5 1, 4 3 5 1, 0 0 5 1)))", 6),
        ("CurvePolygon (CompoundCurve (CircularString (0 0, 1 1, 2 0), (2 0, 0 0)))", 1.5708),
        ("Polygon ((0 0, 2 2, 2 0, 0 2, 0 0))", 2),  # crosses itself
        ("Polygon ((0 0, 4 0, 4 3, 0 3, 0 0, 0 -2, 0 0))", 12),  # with a spike
    ],
)
def test_polygons_of_all_kinds(wkt: str, area: float) -> None:
    given = QgsGeometry.fromWkt(wkt)
    before = given.asWkt()
    read = ogr.CreateGeometryFromWkt(valid(plain(given)).asWkt(9))
    assert read.GetDimension() == 2
    assert read.IsValid()
    assert read.Area() == pytest.approx(area, rel=1e-3)
    assert given.asWkt() == before
