# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left when the pairs are made harder or the text is taken away."""
