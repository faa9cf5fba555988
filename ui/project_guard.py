# SPDX-License-Identifier: GPL-3.0-or-later
"""A run belongs to its project: what happens to it when the project or QGIS is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qgis.core import QgsProject
from qgis.gui import QgsApplicationExitBlockerInterface
from qgis.PyQt.QtCore import QEventLoop, QObject
from qgis.PyQt.QtWidgets import QMessageBox

from .translation import tr

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

KEEP, DISCARD, CONTINUE = "keep", "discard", "continue"


class ProjectGuard(QObject):
    """Keeps the result of a run out of other projects, and asks before QGIS closes.

    Args:
        controller: the RunController, which imports this module.
        iface: of QGIS, which asks before it closes.
    """

    def __init__(self, controller: Any, iface: QgisInterface) -> None:
        super().__init__()
        self._controller, self._iface = controller, iface
        self._blocker = _ExitBlocker(self)
        QgsProject.instance().cleared.connect(self._closed)
        # Not in the stand-ins of tests.
        if hasattr(iface, "registerApplicationExitBlocker"):
            iface.registerApplicationExitBlocker(self._blocker)

    def ask(self) -> str:
        """Ask what to do with the run; return KEEP, DISCARD or CONTINUE."""
        roles = QMessageBox.ButtonRole
        box = QMessageBox(self._iface.mainWindow())
        box.setObjectName("runInProgress")
        box.setWindowTitle(tr("ChangeScribe"))
        box.setIcon(QMessageBox.Icon.Question)
        box.setText(tr("A run of this project is in progress."))
        box.setInformativeText(tr("Keep what is finished?"))
        keep = box.addButton(tr("Keep what is finished"), roles.AcceptRole)
        discard = box.addButton(tr("Discard it"), roles.DestructiveRole)
        box.addButton(tr("Continue the run"), roles.RejectRole)
        box.setDefaultButton(keep)
        box.exec()
        answers = {id(keep): KEEP, id(discard): DISCARD}
        return answers.get(id(box.clickedButton()), CONTINUE)

    def _closed(self) -> None:
        """Stop the run of a project that was closed; a dialog cannot hold QGIS up here."""
        if self._controller.detecting:
            self._controller.detach()
        elif self._controller.busy:
            self._controller.thread_.cancel()

    def allow_exit(self) -> bool:
        """Return whether QGIS may close; it may not while the run's result is not saved."""
        controller = self._controller
        if not controller.detecting:
            return True
        answer = self.ask()
        if answer == DISCARD:
            controller.discard()
            return True
        if answer == KEEP:
            self._stop()
            controller.messenger.info(
                tr("What was finished is in the project. Save it, then close QGIS again.")
            )
        return False

    def _stop(self) -> None:
        """Cancel the run and wait for its end, which may take one tile."""
        loop = QEventLoop()
        self._controller.run_ended.connect(loop.quit)
        self._controller.thread_.cancel()
        if self._controller.busy:
            loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
        self._controller.run_ended.disconnect(loop.quit)

    def shut_down(self) -> None:
        """Disconnect from QGIS."""
        QgsProject.instance().cleared.disconnect(self._closed)
        if hasattr(self._iface, "unregisterApplicationExitBlocker"):
            self._iface.unregisterApplicationExitBlocker(self._blocker)


class _ExitBlocker(QgsApplicationExitBlockerInterface):
    def __init__(self, guard: ProjectGuard) -> None:
        super().__init__()
        self._guard = guard

    def allowExit(self) -> bool:
        """Return whether QGIS may close; called by QGIS."""
        return self._guard.allow_exit()
