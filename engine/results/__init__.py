# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a run: layers, export, and results read back."""
