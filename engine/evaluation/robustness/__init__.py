# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation on disturbed pairs, and without the text."""
