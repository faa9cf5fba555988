# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks behind the bundled ONNX files: detector, captioner, text tower."""
