# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of rasters of a given size, at 0.5 m: the demo pair, or LEVIR tiles, side by side."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal, osr

if TYPE_CHECKING:
    from pathlib import Path

#: Side of the source tiles in pixels, and their size on the ground in metres.
_TILE = 1024
_PIXEL_SIZE = 0.5
_OPTIONS = ["TILED=YES", "COMPRESS=DEFLATE", "PREDICTOR=2", "PHOTOMETRIC=RGB", "BIGTIFF=IF_SAFER"]


def make_pair(folder: Path, root: Path, data: Path | None, megapixels: int) -> list[str]:
    """Write two square rasters of about ``megapixels`` x 2**20 pixels; return their paths.

    Tiles of the demo pair are mirrored so that their edges match. Existing files are reused.

    Args:
        folder: where to write.
        root: of the checkout, which has the demo pair.
        data: folder of imagery with ``levir/before`` and ``levir/after``; None for the demo pair.
        megapixels: a square number, such as 4, 16 or 64.
    """
    sources = _sources(root, data)
    count = round(megapixels**0.5)
    kind = "levir" if data else "demo"
    paths = []
    for date in (0, 1):
        path = folder / f"{kind}_{megapixels}_{('before', 'after')[date]}.tif"
        if not path.exists():
            _write(path, [pair[date] for pair in sources], count)
        paths.append(str(path))
    return paths


def _sources(root: Path, data: Path | None) -> list[tuple[Path, ...]]:
    if data is None:
        return [tuple(sorted((root / "resources" / "demo").glob("demo_2*.tif")))]
    names = sorted(path.name for path in (data / "levir" / "before").glob("test_*.tif"))
    return [(data / "levir" / "before" / name, data / "levir" / "after" / name) for name in names]


def _write(path: Path, sources: list[Path], count: int) -> None:
    side = count * _TILE
    part = path.with_suffix(".part")
    dataset = gdal.GetDriverByName("GTiff").Create(str(part), side, side, 3, options=_OPTIONS)
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32614)
    dataset.SetProjection(crs.ExportToWkt())
    dataset.SetGeoTransform((628400.0, _PIXEL_SIZE, 0.0, 3382600.0, 0.0, -_PIXEL_SIZE))
    for number, (row, column) in enumerate(itertools.product(range(count), range(count))):
        values = gdal.Open(str(sources[number % len(sources)])).ReadAsArray()[:3, :_TILE, :_TILE]
        if len(sources) == 1:
            values = values[:, :: -1 if row % 2 else 1, :: -1 if column % 2 else 1]
        dataset.WriteArray(np.ascontiguousarray(values), column * _TILE, row * _TILE)
    dataset = None
    part.replace(path)
