# SPDX-License-Identifier: GPL-3.0-or-later
"""Model weights: the catalogue of files, the store, downloads, imports, and reading.

Everything needs only Python's standard library, except :mod:`.loading`, which imports torch
inside its functions.
"""
