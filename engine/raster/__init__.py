# SPDX-License-Identifier: GPL-3.0-or-later
"""Rasters: a common grid of two, reading, radiometry, writing."""

from __future__ import annotations
