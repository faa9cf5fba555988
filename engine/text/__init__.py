# SPDX-License-Identifier: GPL-3.0-or-later
"""The text tower of the bundled model: words to vectors, without torch."""
