# SPDX-License-Identifier: GPL-3.0-or-later
"""Algorithms for the Processing toolbox, models, batches and ``qgis_process``."""

from __future__ import annotations
