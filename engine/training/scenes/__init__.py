# SPDX-License-Identifier: GPL-3.0-or-later
"""Training data of the bundled model: sources, labels, composites, samples."""
