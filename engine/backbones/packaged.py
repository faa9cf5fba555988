# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights inside installable packages, for machines that reach no model hub."""

from __future__ import annotations

from importlib import util
from pathlib import Path

from ..errors import DependencyError
from .texts import BackbonesTexts


def weight_file(module: str, pattern: str, title: str, requirements: str) -> Path:
    """Return the weight file in a package, without importing it.

    Args:
        module: name of the package's module.
        pattern: of the file within the package, as for :meth:`pathlib.Path.rglob`.
        title: name of the network, for the message.
        requirements: requirements file that lists the package.

    Raises:
        DependencyError: the package is not installed.
    """
    spec = util.find_spec(module)
    folders = (spec.submodule_search_locations if spec else None) or ()
    files = sorted(file for folder in folders for file in Path(folder).rglob(pattern))
    if not files:
        package = module.replace("_", "-")
        raise DependencyError(
            BackbonesTexts.weights_not_installed(title=title, package=package, file=requirements)
        )
    return files[0]
