# SPDX-License-Identifier: GPL-3.0-or-later
"""ChangeScribe: text-guided change detection for QGIS.

The root of the repository is both the QGIS plugin package and the Python
package ``changescribe``. Nothing is imported here, so the engine also works
without QGIS.
"""

from __future__ import annotations


def classFactory(iface):  # noqa: ANN001, ANN201, N802 - name and signature are QGIS's
    """Return the plugin object; called by QGIS when the plugin is enabled."""
    from .plugin import ChangeScribePlugin

    return ChangeScribePlugin(iface)
