# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for QGIS 4 with which the user interface is built on the real PyQt6."""

from __future__ import annotations
