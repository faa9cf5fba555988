# SPDX-License-Identifier: GPL-3.0-or-later
"""The two grids of an analysis: one for the results and one on which the system runs.

Results are written on the grid of BEFORE, cut to the area analysed. The system runs on it too if
its pixels are square on the ground and of a size that the system was trained on, else on a grid
of its own, and the results are warped back: a network knows objects by their size in pixels. The
bundled model misses a third of the houses in pixels of 1.1 m, but few once magnified to 0.44 m.
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
from .texts import RasterTexts

if TYPE_CHECKING:
    from ..request import Extent
    from .reader import RasterSource

#: Pixel sizes that differ by at most this factor are treated as equal.
SIZE_TOLERANCE = 1.12
#: Pixels whose sides differ by at most this factor are treated as square.
SIDE_TOLERANCE = 1.25
#: Range of pixel sizes that the user may enter, in metres; anything else is a wrong unit.
MIN_SIZE, MAX_SIZE = 0.001, 1000.0
#: Largest factor by which coarse pixels are magnified, since magnifying adds no detail.
MAX_MAGNIFIED = 2.5
#: Pixels coarser than this many times the trained size are not magnified: on NAIP at 5 m (eleven
#: times) the bundled model took magnified fields for water.
TOO_COARSE = 6.0
#: Shortest side of a working grid, in pixels, that is analysed without a warning.
MIN_PIXELS = 64
#: Factor by which the pixel sizes of the two rasters may differ without a warning.
PAIR_TOLERANCE = 2.0


@dataclass(frozen=True)
class CommonGrid:
    """The grids of an analysis.

    Attributes:
        output: grid of the results: that of BEFORE, cut to the area analysed.
        working: grid on which tiles are read; equal to ``output`` if possible.
        warnings: sentences for the user.
        pixel_size: ground size of the pixels of ``output`` in metres, from the raster or else
            from the user; None if unknown.
        requested_px: pixels of ``output`` that the request covers, also where the rasters have
            none; None if unknown.
    """

    output: Grid
    working: Grid
    warnings: tuple[str, ...] = ()
    pixel_size: Optional[float] = None
    requested_px: Optional[float] = None


def format_size(metres: float) -> str:
    """Format a pixel size for the user: "0.5 m", "12.3 m", "250 m"."""
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
    """Choose the grid of the results and the grid on which the system runs.

    Args:
        before: the earlier raster, which defines the grid of the results.
        after: the later raster, of any CRS and pixel size.
        extent: rectangle to analyse; None for the overlap of both rasters.
        pixel_sizes: sizes in metres that the system was trained on; may be empty.
        user_pixel_size: pixel size of BEFORE in metres, as entered by the user; used only if the
            raster has none.

    Raises:
        InputError: the rasters do not overlap, the extent is empty or outside, only one raster
            has a georeference or a CRS, both have none and differ in size, or
            ``user_pixel_size`` is impossible.
    """
    if user_pixel_size is not None and not MIN_SIZE <= user_pixel_size <= MAX_SIZE:
        raise InputError(RasterTexts.impossible_pixel_size(size=user_pixel_size))
    _check_georeference(before, after)
    output = _output_grid(before, after, extent)
    size = output.pixel_size or user_pixel_size
    working, warnings = _working_grid(output, tuple(sorted(pixel_sizes)), size)
    if user_pixel_size:
        warnings += _user_size_warnings(user_pixel_size, output, working)
    warnings += _pair_warnings(before, after)
    return CommonGrid(output, working, tuple(warnings), size)


def _user_size_warnings(user_size: float, output: Grid, working: Grid) -> list[str]:
    """Warn if the pixel size that the user entered contradicts the raster or common sense."""
    actual = output.pixel_size
    if actual is not None:
        if 1 / SIZE_TOLERANCE <= user_size / actual <= SIZE_TOLERANCE:
            return []
        given, actual_text = format_size(user_size), format_size(actual)
        return [RasterTexts.pixel_size_ignored(given=given, actual=actual_text)]
    if min(working.width, working.height) < MIN_PIXELS <= min(output.width, output.height):
        return [
            RasterTexts.ground_too_small(
                size=format_size(user_size),
                width=format_size(user_size * output.width),
                height=format_size(user_size * output.height),
            )
        ]
    return []


def _check_georeference(before: RasterSource, after: RasterSource) -> None:
    """Raise InputError if the rasters cannot be placed on one grid."""
    first, second = before.grid, after.grid
    if not first.georeferenced and not second.georeferenced:
        if (first.width, first.height) != (second.width, second.height):
            raise InputError(
                RasterTexts.sizes_differ(
                    before_width=first.width,
                    before_height=first.height,
                    after_width=second.width,
                    after_height=second.height,
                )
            )
    elif not first.georeferenced:
        raise InputError(RasterTexts.earlier_has_no_georeference(name=before.name))
    elif not second.georeferenced:
        raise InputError(RasterTexts.later_has_no_georeference(name=after.name))
    elif second.crs_wkt and not first.crs_wkt:
        raise InputError(RasterTexts.earlier_has_no_crs(name=before.name))
    elif first.crs_wkt and not second.crs_wkt:
        raise InputError(RasterTexts.later_has_no_crs(name=after.name))


def _output_grid(before: RasterSource, after: RasterSource, extent: Optional[Extent]) -> Grid:
    """Cut the grid of BEFORE to the overlap and the extent, in whole pixels."""
    grid = before.grid
    rings = overlap([_corners(grid)], grid.crs_wkt, _corners(after.grid), after.grid.crs_wkt)
    window = _pixel_window(grid, rings)
    if window is None:
        raise InputError(
            RasterTexts.no_overlap(before=before.name, after=after.name),
            details=f"before: {grid.bounds}; after: {after.grid.bounds}, each in its own CRS",
        )
    if extent is not None:
        if not (extent.xmin < extent.xmax and extent.ymin < extent.ymax):
            raise InputError(RasterTexts.empty_extent())
        corners = rectangle(extent.xmin, extent.ymin, extent.xmax, extent.ymax)
        rings = overlap(rings, grid.crs_wkt, corners, extent.crs or grid.crs_wkt)
        window = _pixel_window(grid, rings)
        if window is None:
            raise InputError(RasterTexts.extent_outside())
    return grid.window(*window)


def _corners(grid: Grid) -> np.ndarray:
    corners = ((0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height))
    return np.array([grid.pixel_to_map(x, y) for x, y in corners])


def _pixel_window(grid: Grid, rings: list[np.ndarray]) -> Optional[tuple[int, int, int, int]]:
    """Return the window (x, y, width, height) of pixels that rings touch; None if there is none."""
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
    """Choose the grid to run on, with warnings for the user.

    ``size`` and ``trained`` (ascending, may be empty) are pixel sizes in metres.
    """
    if size is None:
        return output, [_unknown_size_warning(trained)] if trained else []
    target = working_size(size, trained)
    warnings: list[str] = []
    if much_larger(size, trained):
        warnings.append(
            RasterTexts.pixels_too_large(size=format_size(size), trained=format_size(trained[-1]))
        )
    sides = output.ground_sides
    if sides is not None and max(sides) / min(sides) > SIDE_TOLERANCE:
        return _local_grid(output, target), warnings
    if target == size:
        return output, warnings
    return output.scaled(target / size, target / size), warnings


def _unknown_size_warning(trained: tuple[float, ...]) -> str:
    smallest, largest = format_size(trained[0]), format_size(trained[-1])
    if len(trained) == 1:
        return RasterTexts.pixel_size_unknown(size=smallest)
    return RasterTexts.pixel_size_unknown_range(smallest=smallest, largest=largest)


def working_size(size: float, trained: tuple[float, ...]) -> float:
    """Return the size in metres of the pixels on which a system runs; ``trained`` may be empty."""
    if not trained:
        return size
    nearest = min(trained, key=lambda value: abs(math.log(value / size)))
    ratio = size / nearest
    if 1 / SIZE_TOLERANCE <= ratio <= SIZE_TOLERANCE or too_coarse(size, trained):
        return size
    return max(nearest, size / MAX_MAGNIFIED)


def much_larger(size: float, trained: tuple[float, ...]) -> bool:
    """Return whether pixels stay larger than those a system was trained on, even if magnified."""
    return bool(trained) and size > max(trained) * MAX_MAGNIFIED * SIZE_TOLERANCE


def too_coarse(size: float, trained: tuple[float, ...]) -> bool:
    """Return whether pixels of ``size`` metres are too coarse to be magnified."""
    return bool(trained) and size > max(trained) * TOO_COARSE


def _local_grid(output: Grid, size: float) -> Grid:
    """Make a grid of pixels that are square on the ground (``size`` metres), covering another grid.

    Its CRS is azimuthal equidistant about the centre of ``output``, on the same datum, north up.
    If that CRS is not possible, the pixels of ``output`` are scaled instead.
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


def _pair_warnings(before: RasterSource, after: RasterSource) -> list[str]:
    first, second = before.grid.pixel_size, after.grid.pixel_size
    if first is None or second is None:
        return []
    if 1 / PAIR_TOLERANCE <= first / second <= PAIR_TOLERANCE:
        return []
    return [RasterTexts.pixel_sizes_differ(before=format_size(first), after=format_size(second))]
