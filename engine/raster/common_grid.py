# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixel grids: the one of the results, and the one on which a system runs.

Results lie on the grid of BEFORE, cut to the area analysed. A system runs on
that same grid wherever it can; where the pixels are finer or coarser than those
it was trained on, or not square on the ground, it runs on a grid of its own and
the results are warped back. A network knows objects by their size in pixels:
houses of 1.1 m pixels magnified to the 0.44 m of the bundled model are found
nearly as well as those of finer pixels, and missed by the third as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import numpy as np
from osgeo import osr

from ..errors import InputError
from .footprint import densify, overlap, rectangle
from .grid import SNAP, Grid
from .support import spatial_reference, transform_points

if TYPE_CHECKING:
    from ..request import Extent
    from .reader import RasterSource

#: Pixel sizes whose ratio is within this are treated as equal.
SIZE_TOLERANCE = 1.12
#: The same of the sides of a pixel.
SIDE_TOLERANCE = 1.25
#: Pixel sizes that can be told, in metres: what is smaller or larger is a slip of units.
MIN_SIZE, MAX_SIZE = 0.001, 1000.0
#: Coarser pixels are magnified at most this many times: what is not in them cannot be had so.
MAX_MAGNIFIED = 2.5
#: From this many times the trained size on they are read as they are: on NAIP of 5 m (eleven
#: times) the bundled model took fields for water once they were magnified.
TOO_COARSE = 6.0
#: Of fewer pixels a side a system has too little to go by.
MIN_PIXELS = 64
#: The two rasters' pixel sizes may differ by this factor before the user is warned.
PAIR_TOLERANCE = 2.0


@dataclass(frozen=True)
class CommonGrid:
    """Where results are written and where the system runs.

    Attributes:
        output: grid of BEFORE, cut to the area analysed.
        working: grid on which tiles are read; equal to ``output`` where possible.
        warnings: sentences for the user.
        pixel_size: of ``output`` on the ground, in metres, known or told; None where neither.
    """

    output: Grid
    working: Grid
    warnings: tuple[str, ...] = ()
    pixel_size: Optional[float] = None


def format_size(metres: float) -> str:
    """Write a pixel size for the user: "0.5 m", "12.3 m", "250 m"."""
    digits = max(0, 2 - math.floor(math.log10(metres))) if metres > 0 else 0
    text = f"{metres:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} m"


def common_grid(
    before: RasterSource,
    after: RasterSource,
    extent: Optional[Extent],
    pixel_sizes: tuple[float, ...],
    user_pixel_size: Optional[float] = None,
) -> CommonGrid:
    """Choose the grid of the results and the one on which the system runs.

    Args:
        before: the earlier raster, whose grid the results lie on.
        after: the later raster; any CRS and resolution.
        extent: rectangle to analyse; None is the overlap of both rasters.
        pixel_sizes: in metres, those that the system was trained on; may be empty.
        user_pixel_size: pixel size of BEFORE in metres, as entered by the user; used only if the
            raster has none.

    Raises:
        InputError: the rasters do not overlap, the extent lies outside, one of them or both
            have no georeference and they do not fit, or the size that was told is none.
    """
    if user_pixel_size is not None and not MIN_SIZE <= user_pixel_size <= MAX_SIZE:
        raise InputError(
            f"A pixel size of {user_pixel_size:g} m is not possible.",
            "Give the side of a pixel on the ground in metres, such as 0.5.",
        )
    _check_georeference(before, after)
    output = _output_grid(before, after, extent)
    size = output.pixel_size or user_pixel_size
    working, warnings = _working_grid(output, tuple(sorted(pixel_sizes)), size)
    if user_pixel_size:
        warnings += _user_size_warnings(user_pixel_size, output, working)
    warnings += _pair_warnings(before, after)
    return CommonGrid(output, working, tuple(warnings), size)


def _user_size_warnings(told: float, output: Grid, working: Grid) -> list[str]:
    """Say where a pixel size that was told cannot be right."""
    own = output.pixel_size
    if own is not None:
        if 1 / SIZE_TOLERANCE <= told / own <= SIZE_TOLERANCE:
            return []
        return [
            (
                f"The pixel size of {format_size(told)} is not used: the earlier raster says "
                f"{format_size(own)}."
            )
        ]
    if min(working.width, working.height) < MIN_PIXELS <= min(output.width, output.height):
        sides = [format_size(told * side) for side in (output.width, output.height)]
        return [
            (
                f"With pixels of {format_size(told)} the images show {sides[0]} by {sides[1]}, "
                "too little to go by: is the pixel size right?"
            )
        ]
    return []


def _check_georeference(before: RasterSource, after: RasterSource) -> None:
    """Raise where the rasters cannot be laid over each other."""
    first, second = before.grid, after.grid
    if not first.georeferenced and not second.georeferenced:
        if (first.width, first.height) != (second.width, second.height):
            raise InputError(
                "The rasters have no georeference and differ in size: the earlier one has "
                f"{first.width} x {first.height} pixels, the later one "
                f"{second.width} x {second.height}.",
                "Georeference both, or use images of equal size that show the same place.",
            )
        return
    for grid, source, which in ((first, before, "earlier"), (second, after, "later")):
        if not grid.georeferenced:
            raise InputError(
                f'The {which} raster "{source.name}" has no georeference, the other one has.',
                "Georeference it first (Layer > Georeferencer), or use two images of equal size "
                "that both have none.",
            )
    if bool(first.crs_wkt) != bool(second.crs_wkt):
        which, source = ("later", after) if first.crs_wkt else ("earlier", before)
        raise InputError(
            f'The coordinate reference system of the {which} raster "{source.name}" is not known.',
            "Assign it with Raster > Projections > Assign Projection, then run again.",
        )


def _output_grid(before: RasterSource, after: RasterSource, extent: Optional[Extent]) -> Grid:
    """Cut the grid of BEFORE to the overlap and the extent, in whole pixels."""
    grid = before.grid
    rings = overlap([_corners(grid)], grid.crs_wkt, _corners(after.grid), after.grid.crs_wkt)
    window = _pixel_window(grid, rings)
    if window is None:
        raise InputError(
            f'"{before.name}" and "{after.name}" do not overlap.',
            "Check that they show the same place and that both have the right coordinate "
            "reference system (Layer Properties > Source).",
            f"before: {grid.bounds}; after: {after.grid.bounds}, each in its own CRS",
        )
    if extent is not None:
        if not (extent.xmin < extent.xmax and extent.ymin < extent.ymax):
            raise InputError(
                "The extent to analyse is empty.", "Give it as xmin, ymin, xmax, ymax."
            )
        corners = rectangle(extent.xmin, extent.ymin, extent.xmax, extent.ymax)
        rings = overlap(rings, grid.crs_wkt, corners, extent.crs or grid.crs_wkt)
        window = _pixel_window(grid, rings)
        if window is None:
            raise InputError(
                "The extent to analyse lies outside the area that both rasters cover.",
                "Choose an extent within the overlap of the two rasters, and check its CRS.",
            )
    return grid.window(*window)


def _corners(grid: Grid) -> np.ndarray:
    corners = ((0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height))
    return np.array([grid.pixel_to_map(x, y) for x, y in corners])


def _pixel_window(grid: Grid, rings: list[np.ndarray]) -> Optional[tuple[int, int, int, int]]:
    """Whole pixels of a grid that rings touch: x, y, width, height; None where none."""
    if not rings:
        return None
    pixels = np.array([grid.map_to_pixel(x, y) for ring in rings for x, y in ring.tolist()])
    low = np.floor(pixels.min(axis=0) + SNAP).astype(int)
    high = np.ceil(pixels.max(axis=0) - SNAP).astype(int)
    x0, y0 = np.maximum(low, 0).tolist()
    x1, y1 = np.minimum(high, (grid.width, grid.height)).tolist()
    if x0 >= x1 or y0 >= y1:
        return None
    return x0, y0, x1 - x0, y1 - y0


def _working_grid(
    output: Grid, trained: tuple[float, ...], size: Optional[float]
) -> tuple[Grid, list[str]]:
    """Choose the grid to run on, and say what the user should know of it."""
    if size is None:
        if not trained:
            return output, []
        return output, [
            (
                "The size of the pixels on the ground is not known; the system works best where it "
                f"is {_size_range(trained)}. If you know it, give it as the pixel size."
            )
        ]
    wanted, warnings = working_size(size, trained), []
    if much_larger(size, trained):
        warnings.append(
            f"The pixels of the earlier raster are {format_size(size)}, much larger than the "
            f"{format_size(trained[-1])} that the system was trained on: it sees less "
            "detail than it needs, and the results are less reliable."
        )
    sides = output.ground_sides
    if sides is not None and max(sides) / min(sides) > SIDE_TOLERANCE:
        return _local_grid(output, wanted), warnings
    if wanted == size:
        return output, warnings
    return output.scaled(wanted / size, wanted / size), warnings


def working_size(size: float, trained: tuple[float, ...]) -> float:
    """Return the size of the pixels on which a system runs, in metres.

    Args:
        size: of the raster's pixels.
        trained: those that the system was trained on; may be empty.
    """
    if not trained:
        return size
    nearest = min(trained, key=lambda value: abs(math.log(value / size)))
    ratio = size / nearest
    if 1 / SIZE_TOLERANCE <= ratio <= SIZE_TOLERANCE or too_coarse(size, trained):
        return size
    return max(nearest, size / MAX_MAGNIFIED)


def much_larger(size: float, trained: tuple[float, ...]) -> bool:
    """Tell whether magnification does not bring pixels to a size that a system was trained on.

    Args:
        size: of the raster's pixels, in metres.
        trained: those that the system was trained on; may be empty.
    """
    return bool(trained) and size > max(trained) * MAX_MAGNIFIED * SIZE_TOLERANCE


def too_coarse(size: float, trained: tuple[float, ...]) -> bool:
    """Tell whether pixels are so coarse that a system reads them as they are.

    Args:
        size: of the raster's pixels, in metres.
        trained: those that the system was trained on; may be empty.
    """
    return bool(trained) and size > max(trained) * TOO_COARSE


def _local_grid(output: Grid, size: float) -> Grid:
    """Make a north-up grid of square pixels that covers another one.

    Its CRS is azimuthal equidistant about the centre, on the datum of ``output``: in degrees,
    far from the equator, a pixel is much narrower than high.

    Args:
        output: grid to cover.
        size: side of a pixel in metres.
    """
    source = spatial_reference(output.crs_wkt)
    geographic = None if source.IsLocal() else source.CloneGeogCS()
    outline = densify(_corners(output))
    if geographic is not None:
        geographic.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
        centre = np.array([output.pixel_to_map(output.width / 2, output.height / 2)])
        ((lon, lat),) = transform_points(source, geographic, centre)
        local = osr.SpatialReference()
        local.SetProjCS("Local azimuthal equidistant")
        local.CopyGeogCSFrom(geographic)
        local.SetAE(float(lat), float(lon), 0.0, 0.0)
        local.SetLinearUnits("metre", 1.0)
        local.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
        points = transform_points(source, local, outline)
        if np.isfinite(points).all():
            (xmin, ymin), (xmax, ymax) = points.min(axis=0), points.max(axis=0)
            width = max(1, math.ceil((xmax - xmin) / size - SNAP))
            height = max(1, math.ceil((ymax - ymin) / size - SNAP))
            geotransform = (float(xmin), size, 0.0, float(ymax), 0.0, -size)
            return Grid(width, height, geotransform, local.ExportToWkt())
    across, down = output.ground_sides or (size, size)
    return output.scaled(size / across, size / down)


def _size_range(trained: tuple[float, ...]) -> str:
    if len(trained) == 1:
        return f"about {format_size(trained[0])}"
    return f"{format_size(trained[0])} to {format_size(trained[-1])}"


def _pair_warnings(before: RasterSource, after: RasterSource) -> list[str]:
    first, second = before.grid.pixel_size, after.grid.pixel_size
    if first is None or second is None:
        return []
    if 1 / PAIR_TOLERANCE <= first / second <= PAIR_TOLERANCE:
        return []
    return [
        (
            f"The pixel sizes differ: {format_size(first)} in the earlier raster, "
            f"{format_size(second)} in the later one. What only the finer one shows can look like "
            "change."
        )
    ]
