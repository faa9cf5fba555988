# SPDX-License-Identifier: GPL-3.0-or-later
"""Time per pair, and of heads on PyTorch and onnxruntime."""
