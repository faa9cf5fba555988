# SPDX-License-Identifier: GPL-3.0-or-later
"""Shifts planted into LEVIR tiles 31-36: whether they are measured, and what they cost.

The georeference of AFTER is moved in a virtual raster, so that its pixels stay as they are.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal

from ...detect import pipeline
from ...detect.rasters import grid_for, open_rasters
from ...hosts.routing import shared_host
from ...raster.comparison.alignment import Move, align
from ...raster.reader import RasterSource
from ...request import MASK_NODATA, Alignment, ChangeRequest
from ...training.metrics import BinaryCounts
from ..places.levir import BUILT, VALIDATION_TILES

#: Shifts in pixels to the right and down, and rotations in degrees.
PLANTED = (
    (0.5, 0.0, 0.0),
    (1.0, -1.0, 0.0),
    (2.3, 1.4, 0.0),
    (-4.0, 3.0, 0.0),
    (6.0, 0.0, 0.0),
    (-5.6, 5.7, 0.0),
    (0.0, -8.0, 0.0),
    (0.0, 0.0, 0.2),
    (3.0, 2.0, -0.2),
)
#: What F1 is measured under: 6 pixels.
SHIFT = (6.0, 0.0, 0.0)
_NONE = (0.0, 0.0, 0.0)


def measure(data: Path) -> dict[str, Any]:
    """Return errors of the measured shifts in pixels, and F1 of "buildings built".

    A tile's own shift, as measured without a planted one, is taken off: the dates of LEVIR-CD are
    not registered to the pixel.
    """
    tiles, counts = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for number in VALIDATION_TILES:
            paths = [data / "levir" / part / f"test_{number}.tif" for part in ("before", "after")]
            tiles[number] = _errors(str(paths[0]), str(paths[1]), folder)
            for name, shift, mode in (
                ("as it is", _NONE, "off"),
                ("as it is, auto", _NONE, "auto"),
                ("shifted", SHIFT, "off"),
                ("shifted, auto", SHIFT, "auto"),
            ):
                label = data / "levir" / "label" / f"test_{number}.tif"
                request = ChangeRequest(
                    str(paths[0]),
                    planted(str(paths[1]), shift, folder),
                    BUILT[0],
                    str(Path(folder, "out.gpkg")),
                    overwrite=True,
                    align=mode,
                    remember=False,
                )
                found, true = _masks(request, planted(str(label), shift, folder))
                known = found != MASK_NODATA
                counts.setdefault(name, BinaryCounts()).add((found > 0) & known, true & known)
    f1 = {name: round(count.f1, 4) for name, count in counts.items()}
    return {"tiles": tiles, "f1": f1}


def planted(path: str, shift: tuple[float, float, float], folder: str) -> str:
    """Write a virtual raster that shows the ground of a raster shifted and turned."""
    with RasterSource.open(path) as source:
        grid = source.grid
    turn = np.radians(shift[2])
    matrix = np.array([[np.cos(turn) - 1, -np.sin(turn)], [np.sin(turn), np.cos(turn) - 1]])
    half = np.array([grid.width, grid.height]) / 2
    move = Move(grid, np.column_stack([shift[:2], matrix * half]))
    target = str(Path(folder, f"{Path(path).parent.name}.vrt"))
    view = gdal.Translate(target, path, format="VRT")
    view.SetGeoTransform(move.moved(grid).geotransform)
    view.FlushCache()
    return target


def _errors(before: str, after: str, folder: str) -> dict[str, Any]:
    own = _aligned(before, after)
    errors = {}
    for shift in PLANTED:
        found = _aligned(before, planted(after, shift, folder))
        error = np.hypot(found.dx_px - own.dx_px - shift[0], found.dy_px - own.dy_px - shift[1])
        turned = found.rotation_deg - own.rotation_deg - shift[2]
        errors[f"{shift[0]:g}, {shift[1]:g}, {shift[2]:g} deg"] = {
            "error_px": round(float(error), 2),
            "error_deg": round(float(turned), 3),
            "state": found.state,
        }
    return {"own_shift": [own.dx_px, own.dy_px, own.rotation_deg, own.state], "planted": errors}


def _aligned(before: str, after: str) -> Alignment:
    with RasterSource.open(before) as first, RasterSource.open(after) as second:
        return align(first, second, first.grid, first.grid, auto=True)[0]


def _masks(request: ChangeRequest, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask of a run, and where the label says changed, (H, W); both as AFTER was read.

    The labels of LEVIR-CD outline the buildings as AFTER shows them.
    """
    found = gdal.Open(pipeline.detect(request).mask).ReadAsArray()
    sizes = shared_host().info(request.system).pixel_sizes
    with open_rasters(request) as (before, after):
        grid = grid_for(request, before, after, sizes)
        auto = request.align == "auto"
        move = align(before, after, grid.output, grid.working, auto=auto)[1]
    with RasterSource.open(label, (1,), classes=True) as source:
        array, _ = source.read(move.moved(grid.output) if move else grid.output)
    return found, array[..., 0] > 0
