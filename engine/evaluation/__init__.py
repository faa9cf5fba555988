# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation of masks and captions."""
