# SPDX-License-Identifier: GPL-3.0-or-later
"""Two rasters on one grid: reading, validity, radiometry, writing.

Start with :mod:`.reader` (open a raster and read it on any grid) and :mod:`.common_grid` (the
grids on which a pair is analysed). :mod:`.grid` has the geometry that both build on, and
:mod:`.support` the rules for calling GDAL inside QGIS's process.
"""

from __future__ import annotations
