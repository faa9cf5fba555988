# SPDX-License-Identifier: GPL-3.0-or-later
"""How good captions are: metrics, tables, facts checked against the truth."""
