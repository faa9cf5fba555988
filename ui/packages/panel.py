# SPDX-License-Identifier: GPL-3.0-or-later
"""Offers to install missing packages; hidden if none are missing."""

from __future__ import annotations

import html
import os
from typing import Callable, Optional

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QStandardPaths, Qt, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ...engine.errors import CancelledError, ChangeScribeError, DependencyError
from ..errors import DetailsDialog
from ..job import JobButtons
from ..settings import Settings
from ..translation import tr
from . import tiers
from .install import install, remove
from .installation import InstallPlan
from .interpreter import Runtime, check_version
from .network import network_environment
from .tiers import COMPACT, Tier


class DependencyPanel(QFrame):
    """Shows missing packages, installs them, and shows the progress.

    Call :meth:`show_for` or :meth:`refresh` to show or hide it, and :meth:`shut_down` before the
    plugin is unloaded.
    """

    #: The packages can be used without a restart.
    installed = pyqtSignal()
    #: An installation or a removal has started (True) or ended (False).
    busy_changed = pyqtSignal(bool)

    def __init__(self, parent: Optional[QWidget] = None, tier: Tier = COMPACT) -> None:
        super().__init__(parent)
        self.setObjectName("changeScribeDependencies")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._tier = tier
        #: Last error of each tier.
        self._errors: dict[str, ChangeScribeError] = {}
        self._build()
        self.refresh()

    def _build(self) -> None:
        self._icon = QLabel()
        size = self.fontMetrics().height()
        icon = QgsApplication.getThemeIcon("/mIconWarning.svg")
        self._icon.setPixmap(icon.pixmap(size, size))
        self._text = QLabel()
        self._text.setObjectName("dependencyText")
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self._text.setSizePolicy(policy)
        head = QHBoxLayout()
        head.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self._text, 1)
        self.jobs = self._build_buttons()
        self.jobs.text_changed.connect(lambda text: self._text.setText(_html(text)))
        self.jobs.ended.connect(self._on_ended)
        layout = QVBoxLayout(self)
        layout.addLayout(head)
        layout.addWidget(self.jobs)

    def _build_buttons(self) -> JobButtons:
        self._install = QPushButton(tr("&Install"))
        self._install.setObjectName("dependencyInstall")
        self._install.clicked.connect(self.install_from_index)
        self._wheels = QPushButton(tr("From a &folder of wheels\N{HORIZONTAL ELLIPSIS}"))
        self._wheels.setObjectName("dependencyWheels")
        self._wheels.setToolTip(
            tr("For computers without internet access: a folder with .whl files")
        )
        self._wheels.clicked.connect(self._choose_wheels)
        self._details = QPushButton(tr("&Details"))
        self._details.setObjectName("dependencyDetails")
        self._details.clicked.connect(self._show_details)
        buttons = (self._install, self._wheels, self._details)
        return JobButtons("dependency", buttons, tr("&Cancel"))

    @property
    def is_busy(self) -> bool:
        """Whether an installation or a removal is running."""
        return self.jobs.is_busy

    @property
    def is_needed(self) -> bool:
        """Whether packages are missing."""
        return not tiers.is_available(self._tier)

    @property
    def _error(self) -> Optional[ChangeScribeError]:
        return self._errors.get(self._tier.name)

    def show_for(self, tier: Tier) -> None:
        """Show the missing packages of a tier, unless another is being installed."""
        if not self.is_busy:
            self._tier = tier
        self.refresh()

    def refresh(self) -> None:
        """Show the missing packages, or hide the panel if there are none."""
        if self.is_busy:
            return
        needed = self.is_needed
        self.setVisible(needed)
        self._icon.show()
        self._details.setVisible(self._error is not None)
        self._install.setText(tr("&Try again") if self._error is not None else tr("&Install"))
        if not needed:
            return
        if self._error is not None:
            text = f"<b>{_html(self._error.message)}</b><br>{_html(self._error.hint)}"
        elif self._tier.environment:
            text = _environment_text(self._tier)
        else:
            text = tr(
                "The bundled model needs <b>{names}</b>, which QGIS's Python does not have. "
                "Installing it downloads about {download} MB ({disk} MB on disk) into the plugin's "
                "own folder. QGIS's packages are not changed."
            ).format(
                names=", ".join(tiers.missing(self._tier)),
                download=self._tier.download_mb,
                disk=self._tier.disk_mb,
            )
        self._text.setText(text)

    def install_from_index(self) -> None:
        """Install from the package index, with QGIS's proxy and certificates."""
        if self.is_busy:
            return
        # Taken here: QGIS's network manager belongs to the main thread.
        self._start(install, network=network_environment(self.jobs.temporary_folder()))

    def install_from_wheels(self, folder: str) -> None:
        """Install from a folder of wheels, offline."""
        self._start(install, wheels=folder)

    def remove(self, tier: Tier) -> None:
        """Remove a tier in the background."""
        self.show_for(tier)
        self._start(remove)
        # The panel is hidden while nothing is missing.
        self.show()

    def shut_down(self) -> None:
        """Cancel and wait; call it before the panel is deleted."""
        self.jobs.shut_down()

    def _choose_wheels(self) -> None:
        start = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DownloadLocation)
        folder = QFileDialog.getExistingDirectory(self, tr("Select folder of wheels"), start)
        if folder:
            self.install_from_wheels(folder)

    def _start(
        self,
        work: Callable[..., str],
        wheels: Optional[str] = None,
        network: Optional[dict[str, str]] = None,
    ) -> None:
        if self.is_busy:
            return
        self._errors.pop(self._tier.name, None)
        plan = InstallPlan(
            tiers.folder(self._tier),
            self._tier,
            wheels,
            network or {},
            python=Settings().environment_python,
        )
        self._icon.hide()
        self.jobs.start(
            lambda report, cancelled: work(
                plan, lambda step: report(step.text, step.fraction), cancelled
            )
        )
        self.busy_changed.emit(True)

    def _on_ended(self, error: Optional[ChangeScribeError]) -> None:
        if error is not None and not isinstance(error, CancelledError):
            self._errors[self._tier.name] = error
        self.refresh()
        self.busy_changed.emit(False)
        if error is None and not self.is_needed:
            self.installed.emit()

    def _show_details(self) -> None:
        if self._error is not None:
            dialog = DetailsDialog(
                tr("ChangeScribe: details"), str(self._error), self._error.details, self
            )
            dialog.show()


def _environment_text(tier: Tier) -> str:
    """Describe the environment of a tier, and whether QGIS's Python can create it."""
    text = tr(
        "This system needs <b>{title} and its packages</b>. Installing them downloads about "
        "{download} GB ({disk} GB on disk) into a separate environment. QGIS's packages are not "
        "changed. Or choose a Python that already has them under Advanced."
    ).format(
        title=tier.title,
        download=f"{tier.download_mb / 1000:.2g}",
        disk=f"{tier.disk_mb / 1000:.2g}",
    )
    if Settings().environment_python:
        return text
    try:
        check_version(Runtime.current().version)
    except DependencyError as error:
        return f"{text}<br><b>{_html(error.message)}</b> {_html(error.hint)}"
    return text


def _html(text: str) -> str:
    """Escape a text for a label that understands HTML; long paths may break after a slash."""
    return html.escape(text, quote=False).replace(os.sep, f"{os.sep}&#8203;")
