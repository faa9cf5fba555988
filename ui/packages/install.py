# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs or removes a tier in a background thread."""

from __future__ import annotations

from typing import Callable, Optional

from qgis.PyQt.QtCore import QThread, pyqtSignal

from ...engine.errors import ChangeScribeError
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

    Blocks until it is done; the dock calls it from :class:`InstallThread`.

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


class InstallThread(QThread):
    """Runs an installation or a removal; the outcome is a signal, also for errors.

    Args:
        plan: what to install and where.
        work: :func:`install` or :func:`remove`.
    """

    stepped = pyqtSignal(str, float)
    #: None on success, else the ChangeScribeError.
    ended = pyqtSignal(object)

    def __init__(self, plan: InstallPlan, work: Callable[..., str] = install) -> None:
        super().__init__()
        self._plan = plan
        self._work = work
        self._cancelled = False

    def cancel(self) -> None:
        """Cancel; the child process is killed within a fraction of a second."""
        self._cancelled = True

    def run(self) -> None:
        """Install or remove; called by Qt in the thread."""
        error: Optional[ChangeScribeError] = None
        try:
            self._work(
                self._plan,
                lambda step: self.stepped.emit(step.text, step.fraction),
                lambda: self._cancelled,
            )
        except ChangeScribeError as known:
            error = known
        except Exception as unexpected:  # noqa: BLE001 - a thread must not let anything out
            error = ChangeScribeError(
                tr("The installation failed."), tr("See the details."), repr(unexpected)
            )
        self.ended.emit(error)
