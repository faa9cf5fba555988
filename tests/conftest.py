# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared fixtures: generated rasters, and skips with their reasons."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Callable

import pytest

ROOT = Path(__file__).resolve().parent.parent
# `scripts` is not a package; its tests import the scripts by name.


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


#: No test writes to the user's cache; tests of the memory set a limit and a folder.
os.environ["CHANGESCRIBE_MEMORY_GB"] = "0"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests that this environment cannot run, with the reason."""
    data = os.environ.get("CHANGESCRIBE_DATA", "")
    reasons = {}
    if not _has("torch"):
        reasons["torch"] = "needs the full tier: make test, or .venv-full"
    if not data or not Path(data).is_dir():
        reasons["real_data"] = "needs the folder of imagery named by CHANGESCRIBE_DATA"
    if os.environ.get("SKIP_LONG"):
        reasons["long"] = "takes minutes: make test-slow without SKIP_LONG"
    for item in items:
        for mark, reason in reasons.items():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore the QGIS tests if the QGIS fixtures are disabled."""
    if collection_path.name == "plugin" and collection_path.parent.name == "tests":
        return True if not config.pluginmanager.hasplugin("pytest_qgis") else None
    return None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real imagery, read only; use with the mark ``real_data``."""
    path = os.environ.get("CHANGESCRIBE_DATA", "")
    if not path:
        pytest.skip("needs the folder of imagery named by CHANGESCRIBE_DATA")
    return Path(path)


@pytest.fixture
def make_raster(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a small GeoTIFF and returns its path.

    ``make_raster(name, array, geotransform=..., crs="EPSG:32633", nodata=None)``; the array is
    (H, W) or (bands, H, W); ``geotransform=None`` writes no georeference at all. By default a
    pixel is 0.5 m and the upper left corner is (500000, 5000000).
    """
    import numpy as np
    from osgeo import gdal, gdal_array, osr

    def write(
        name: str,
        array: np.ndarray,
        geotransform: tuple[float, ...] | None = (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5),
        crs: str = "EPSG:32633",
        nodata: float | None = None,
    ) -> str:
        planes = array[None] if array.ndim == 2 else array
        path = str(tmp_path / name)
        kind = gdal_array.NumericTypeCodeToGDALTypeCode(planes.dtype)
        raster = gdal.GetDriverByName("GTiff").Create(
            path, planes.shape[2], planes.shape[1], planes.shape[0], kind
        )
        if geotransform is not None:
            reference = osr.SpatialReference()
            reference.SetFromUserInput(crs)
            raster.SetGeoTransform(geotransform)
            raster.SetProjection(reference.ExportToWkt())
        for number, plane in enumerate(planes, 1):
            band = raster.GetRasterBand(number)
            if nodata is not None:
                band.SetNoDataValue(nodata)
            band.WriteArray(plane)
        raster.FlushCache()
        del raster
        return path

    return write
