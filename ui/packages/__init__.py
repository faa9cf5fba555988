# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing what models need, without touching the Python packages of QGIS."""
