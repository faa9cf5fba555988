# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation of captions: metrics, tables, correctness of facts."""
