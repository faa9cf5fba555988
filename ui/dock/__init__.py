# SPDX-License-Identifier: GPL-3.0-or-later
"""The dock: its form, progress and results."""
