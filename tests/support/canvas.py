# SPDX-License-Identifier: GPL-3.0-or-later
"""The map canvas of a dock under test."""

from __future__ import annotations

from waiting import wait_until


def show_canvas(desk, width, height):
    desk.canvas.setMinimumSize(width, height)
    desk.canvas.window().show()
    desk.canvas.show()
    wait_until(lambda: desk.canvas.mapSettings().outputSize().width() >= width - 10)
