# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs a tier as a virtual environment: PyTorch, for the worker process.

The environment is built in a temporary folder beside the final one and renamed when complete. Only
its Python executable works after that: the start lines of its other programs have the old path.
"""

from __future__ import annotations

import os
import sys

from ...engine.errors import DependencyError
from ..translation import tr
from .installation import Installation
from .interpreter import Interpreter, another_python_hint, find_base
from .tiers import MARKER, environment_python

#: Skip the CUDA extension, which needs a compiler and only fills small holes in masks.
_BUILD = {"SAM2_BUILD_CUDA": "0"}

_TRIAL = """
import sys
for name in sys.argv[1:]:
    __import__(name)
"""


class EnvironmentInstallation(Installation):
    """Installation of a tier that is a virtual environment."""

    def find_interpreter(self) -> Interpreter:
        """Return the Python that creates the environment."""
        return find_base(self.plan.runtime, self.plan.python, self._probe)

    def _make(self, interpreter: Interpreter, temporary: str) -> str:
        tier = self.plan.tier
        environment = os.path.join(temporary, "environment")
        python = environment_python(environment)
        self._step(tr("Creating a virtual environment"), 0.02)
        if self._child(interpreter.path, ["-m", "venv", environment], {}) != 0:
            self._stop_if_cancelled()
            raise DependencyError(
                tr("{python} cannot create a virtual environment.").format(python=interpreter.path),
                _venv_hint(),
                "\n".join(self.log),
            )
        pip = [python, "-m", "pip"]
        self._step(tr("Looking for {names}").format(names=", ".join(tier.modules)), 0.05)
        self._run_pip(pip, ["--only-binary", ":all:", *tier.requirements], temporary, {})
        if tier.built:
            self._step(tr("Building packages without wheels"), 0.88)
            # A build environment of its own would get another torch.
            arguments = ["--no-deps", "--no-build-isolation", *tier.built]
            self._run_pip(pip, arguments, temporary, _BUILD)
        self._step(tr("Checking the installed packages"), 0.94)
        if self._child(python, ["-c", _TRIAL, *tier.modules], {}) != 0:
            raise DependencyError(
                tr("The installed packages do not work."),
                tr("See the details, or choose another Python under Advanced."),
                "\n".join(self.log),
            )
        # Written last: an environment without it is incomplete.
        with open(os.path.join(environment, MARKER), "w", encoding="utf-8") as stream:
            stream.write("\n".join((*tier.requirements, *tier.built, "")))
        return environment


def _venv_hint() -> str:
    if sys.platform.startswith("linux"):
        return tr(
            "Install the package python3-venv with your system's package manager, then try again."
        )
    return another_python_hint()
