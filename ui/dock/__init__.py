# SPDX-License-Identifier: GPL-3.0-or-later
"""The dock: what the analyst fills in, clicks and reads."""
