# SPDX-License-Identifier: GPL-3.0-or-later
"""LG-CD: the network, its parts and their export to ONNX."""
