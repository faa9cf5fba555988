# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bundled model is trained on: sources, labels, composites, samples."""
