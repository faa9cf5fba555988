# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation by place: LEVIR, generated scenes, held-out places."""
