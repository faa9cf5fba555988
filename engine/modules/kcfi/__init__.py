# SPDX-License-Identifier: GPL-3.0-or-later
"""KCFI: the network."""
