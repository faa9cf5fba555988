# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs a tier as a virtual environment: PyTorch, for the worker process.

It is made in a temporary folder beside the final one and renamed when all is in
it, as for the packages of QGIS. A moved environment runs as long as it is used
by its Python program: the start lines of the other programs in it name the old
place.
"""

from __future__ import annotations

import os
import sys

from ...engine.errors import DependencyError
from ..translation import tr
from .installation import Installation
from .interpreter import Interpreter, find_base
from .tiers import MARKER, environment_python

#: Without its CUDA extension, which only fills small holes in masks and needs a compiler.
_BUILD = {"SAM2_BUILD_CUDA": "0"}

_TRIAL = """
import sys
for name in sys.argv[1:]:
    __import__(name)
"""


class EnvironmentInstallation(Installation):
    """One run of the installer for a tier that is a virtual environment."""

    def _find(self) -> Interpreter:
        return find_base(self.plan.runtime, self.plan.python, self._probe)

    def _make(self, interpreter: Interpreter, temporary: str) -> str:
        tier = self.plan.tier
        environment = os.path.join(temporary, "environment")
        python = environment_python(environment)
        self._step(tr("Making a virtual environment"), 0.02)
        if self._child(interpreter.path, ["-m", "venv", environment], {}) != 0:
            self._stop_if_cancelled()
            raise DependencyError(
                tr("{python} cannot make a virtual environment.").format(python=interpreter.path),
                _venv_hint(),
                "\n".join(self.log),
            )
        pip = [python, "-m", "pip"]
        self._step(tr("Looking for {names}").format(names=", ".join(tier.modules)), 0.05)
        self._run_pip(pip, ["--only-binary", ":all:", *tier.requirements], temporary, {})
        if tier.built:
            self._step(tr("Building what is offered as source only"), 0.88)
            # Built with the torch that is there by now: a build environment would get another.
            arguments = ["--no-deps", "--no-build-isolation", *tier.built]
            self._run_pip(pip, arguments, temporary, _BUILD)
        self._step(tr("Checking that it runs"), 0.94)
        if self._child(python, ["-c", _TRIAL, *tier.modules], {}) != 0:
            raise DependencyError(
                tr("What was installed does not run here."),
                tr("See the details, or name another Python under Advanced."),
                "\n".join(self.log),
            )
        # Last: an environment without it is not whole.
        with open(os.path.join(environment, MARKER), "w", encoding="utf-8") as stream:
            stream.write("\n".join((*tier.requirements, *tier.built, "")))
        return environment


def _venv_hint() -> str:
    if sys.platform.startswith("linux"):
        return tr(
            "Install the package python3-venv with your system's package manager, then try again."
        )
    return tr('Name another Python under Advanced, "Install PyTorch with".')
