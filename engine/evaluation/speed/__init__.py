# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a pair takes, and what ONNX heads gain."""
