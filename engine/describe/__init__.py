# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions of a pair, of a map's tiles and scene, and of regions."""
