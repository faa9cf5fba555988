# SPDX-License-Identifier: GPL-3.0-or-later
"""Model weights: which files there are, where they are kept, how they get there and are read.

Nothing here needs more than Python's standard library, but :mod:`.loading`,
which imports torch inside its functions.
"""
