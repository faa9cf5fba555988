# SPDX-License-Identifier: GPL-3.0-or-later
"""Data, losses, recipes and the training loop."""
