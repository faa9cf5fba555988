# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a person sees in QGIS. Imports neither torch nor onnxruntime."""
