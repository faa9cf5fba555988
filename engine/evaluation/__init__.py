# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics, whole-image scores and picture sheets."""
