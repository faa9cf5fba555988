# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes of captions between pixels and the map."""

from __future__ import annotations

from qgis.core import QgsRectangle

from changescribe.ui.processing.caption_changes import box_geometry, pixel_box


def test_boxes_on_a_rotated_grid_go_there_and_back() -> None:
    from changescribe.engine.raster.grid import Grid

    grid = Grid(100, 80, (10.0, 0.3, 0.1, 50.0, 0.1, -0.3), "")
    box = box_geometry(grid, (10, 20, 30, 40)).boundingBox()
    x0, y0, x1, y1 = pixel_box(grid, box)
    assert x0 <= 10
    assert y0 <= 20
    assert x1 >= 30
    assert y1 >= 40
    north_up = Grid(100, 80, (10.0, 0.3, 0.0, 50.0, 0.0, -0.3), "")
    box = box_geometry(north_up, (10, 20, 30, 40)).boundingBox()
    assert pixel_box(north_up, box) == (10, 20, 30, 40)
    assert pixel_box(north_up, QgsRectangle(-50, -50, -40, -40)) is None
