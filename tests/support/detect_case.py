# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair with two changes, and the rows of its results."""

from __future__ import annotations

import numpy as np
from osgeo import ogr

GEOTRANSFORM = (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5)


def scene(height: int = 200, width: int = 300, level: int = 60) -> np.ndarray:
    return np.full((3, height, width), level, np.uint8)


def run_row(path: str) -> dict:
    source = ogr.Open(path)  # kept while its layers are in use, otherwise GDAL crashes
    return source.GetLayerByName("runs").GetNextFeature().items()


def changes(path: str) -> list[dict]:
    source = ogr.Open(path)
    rows = []
    for feature in source.GetLayerByName("changes"):
        row = feature.items()
        row["envelope"] = feature.GetGeometryRef().GetEnvelope()
        rows.append(row)
    return rows
