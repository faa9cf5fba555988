# SPDX-License-Identifier: GPL-3.0-or-later
"""The text encoder of the bundled model, without torch."""
