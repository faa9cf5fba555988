# SPDX-License-Identifier: GPL-3.0-or-later
"""Semantic-CC: the network and its encoder."""
