# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of the package, wherever it is installed and whatever its folder is called."""

from __future__ import annotations

import re
from pathlib import Path

#: Root of the package ``changescribe``: inside a QGIS profile its name need not be that.
PACKAGE = Path(__file__).resolve().parents[1]
#: Files of the bundled model, its captioner and text tower.
MODELS = PACKAGE / "resources" / "models"
#: Recipes of the trainings; folders in it only sort them.
RECIPES = PACKAGE / "engine" / "training" / "recipes"
#: Words of prompts in other languages, one text file each.
LANGUAGES = PACKAGE / "engine" / "lexicon" / "languages"
#: Default of the maximum size in GB (10^9 bytes) of what is remembered of pairs.
MEMORY_GB = 5.0


def version() -> str:
    """Return the version of the package."""
    text = (PACKAGE / "metadata.txt").read_text(encoding="utf-8")
    found = re.search(r"^version=(.+)$", text, re.MULTILINE)
    return found[1] if found else ""
