# SPDX-License-Identifier: GPL-3.0-or-later
"""How good masks and scores are: metrics, baselines, rankings, road lines."""
