# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation of masks and scores: metrics, baselines, rankings, road lines."""
