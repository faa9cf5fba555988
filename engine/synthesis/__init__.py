# SPDX-License-Identifier: GPL-3.0-or-later
"""Generator of labelled, captioned, georeferenced scene pairs."""
