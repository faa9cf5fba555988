# SPDX-License-Identifier: GPL-3.0-or-later
"""Converts Sphinx roles in docstrings to Markdown: a griffe extension for docs/mkdocs.yml."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`[~.]*([^`]+)`")
_BLOCK = re.compile(r"::$", re.MULTILINE)


class Roles(griffe.Extension):
    """Converts :class:`Name` to `Name`, and "::" before a block to ":"."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = _BLOCK.sub(":", _ROLE.sub(r"`\1`", obj.docstring.value))
