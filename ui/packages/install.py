# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs, removes or requires a tier."""

from __future__ import annotations

from typing import Optional

from ...engine.errors import DependencyError
from ..translation import tr
from . import tiers
from .environment import EnvironmentInstallation
from .installation import (
    CancelledCallback,
    Installation,
    InstallPlan,
    InstallStep,
    StepCallback,
    set_aside,
)
from .interpreter import pip_command
from .tiers import COMPACT, Tier


def install(
    plan: InstallPlan,
    progress: Optional[StepCallback] = None,
    cancelled: Optional[CancelledCallback] = None,
) -> str:
    """Install a tier and return its folder.

    Blocks until it is done; the dock runs it as a background job.

    Raises:
        DependencyError: Python, pip or suitable packages were not found, or do not work.
        OutputError: the folder cannot be written.
        CancelledError: the user cancelled; nothing is left behind.
    """
    kind = EnvironmentInstallation if plan.tier.environment else Installation
    return kind(plan, progress or _ignore, cancelled or _never).run()


def _ignore(_step: InstallStep) -> None:
    """Ignore a step."""


def _never() -> bool:
    return False


def remove(
    plan: InstallPlan,
    progress: Optional[StepCallback] = None,
    cancelled: Optional[CancelledCallback] = None,  # noqa: ARG001 - called as install() is
) -> str:
    """Remove a tier and return its former folder.

    The folder is renamed first, so that a partial removal never looks installed.

    Raises:
        OutputError: the folder is in use.
    """
    (progress or _ignore)(InstallStep(tr("Removing the packages"), 0.5))
    set_aside(plan.target)
    return plan.target


def require(tier: Tier = COMPACT) -> None:
    """Make a tier importable.

    Raises:
        DependencyError: it is not installed.
    """
    names = tiers.missing(tier)
    if not names:
        return
    if tier.environment:
        raise DependencyError(
            tr("This system needs {title} and its packages, which are not installed.").format(
                title=tier.title
            ),
            tr("Open the ChangeScribe panel, choose the system and click Install."),
        )
    command = _install_command(tier)
    raise DependencyError(
        tr("The bundled model needs {packages}, which QGIS's Python does not have.").format(
            packages=", ".join(names)
        ),
        tr("Open the ChangeScribe panel and click Install, or run: {command}").format(
            command=command
        )
        if command
        else tr("Open the ChangeScribe panel and click Install."),
    )


def _install_command(tier: Tier) -> str:
    """Return the command that installs a tier from a terminal; "" where there is none.

    It names the Python that an installation would use, which has been started and compared with
    QGIS's: the first one found may be that of another environment.
    """
    target = tiers.folder(tier)
    try:
        python = Installation(InstallPlan(target, tier), _ignore, _never).find_interpreter()
        pip = pip_command(python)
    except DependencyError:
        return ""
    if python.environment:  # variables that a terminal does not have
        return ""
    run = "-m pip" if python.has_pip else f'"{pip[0]}"'
    names = " ".join(f'"{requirement}"' for requirement in tier.requirements)
    return f'"{python.path}" {run} install --no-deps --target "{target}" {names}'
