# SPDX-License-Identifier: GPL-3.0-or-later
"""Every package of a tier is pinned once, on every Python of the set-up."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
# The packages that need these decide.
UNPINNED = {"pillow", "pyyaml", "scipy"}


def names(file: str, python: str) -> list[str]:
    text = (REQUIREMENTS / file).read_text("utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    found = [Requirement(line) for line in lines if line]
    environment = {"python_version": python, "python_full_version": python + ".0"}
    return [
        canonicalize_name(one.name)
        for one in found
        if one.marker is None or one.marker.evaluate(environment)
    ]


@pytest.mark.parametrize("python", ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_package_is_pinned_once(python):
    pinned = names("constraints.txt", python)
    assert len(pinned) == len(set(pinned))
    for file in ("compact.txt", "dev.txt", "full.txt", "qt6.txt"):
        assert set(names(file, python)) - UNPINNED <= set(pinned)
