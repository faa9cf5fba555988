# SPDX-License-Identifier: GPL-3.0-or-later
"""Two rasters on one grid: reading, validity, radiometry, writing.

Start with :mod:`.reader` and :mod:`.common_grid`; :mod:`.support` has the rules for calling GDAL
inside QGIS's process.
"""

from __future__ import annotations
