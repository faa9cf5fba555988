# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m changescribe.engine.cli``, for environments without the ``changescribe`` script."""

from __future__ import annotations

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
