# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs or removes a tier."""

from __future__ import annotations

from typing import Optional

from ..translation import tr
from .environment import EnvironmentInstallation
from .installation import (
    CancelledCallback,
    Installation,
    InstallPlan,
    InstallStep,
    StepCallback,
    set_aside,
)


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
