# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled model, on onnxruntime and numpy alone."""

from __future__ import annotations

from .manifest import MANIFEST
from .system import BundledSystem

__all__ = ["MANIFEST", "BundledSystem"]
