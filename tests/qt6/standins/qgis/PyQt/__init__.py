# SPDX-License-Identifier: GPL-3.0-or-later
"""Qt under the names that QGIS gives it: everything here is PyQt6 itself."""

from __future__ import annotations
