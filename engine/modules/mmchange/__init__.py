# SPDX-License-Identifier: GPL-3.0-or-later
"""MMChange: the network, its parts and their export to ONNX."""
