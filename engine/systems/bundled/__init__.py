# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled model, on onnxruntime and numpy alone."""

from __future__ import annotations

from .system import MANIFEST, BundledSystem

__all__ = ["MANIFEST", "BundledSystem"]
