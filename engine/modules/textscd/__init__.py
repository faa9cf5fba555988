# SPDX-License-Identifier: GPL-3.0-or-later
"""TextSCD: the network and its export to ONNX."""
