# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads or imports the missing weights of a system; hidden if none are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtCore import QStandardPaths, pyqtSignal
from qgis.PyQt.QtWidgets import QFileDialog, QPushButton, QVBoxLayout, QWidget

from ...engine.errors import CancelledError, ChangeScribeError
from ...engine.weights.catalogue import megabytes
from ...engine.weights.fetch import Network
from ...engine.weights.store import WeightsStore, how_to_get
from ..errors import DetailsDialog
from ..job import Job, JobButtons, Report
from ..packages.network import certificates_environment, proxy_environment
from ..translation import tr
from ..widgets import plain_tip, warning_label

if TYPE_CHECKING:
    from ...engine.systems.base import SystemInfo
    from ...engine.weights.files import CancelledCallback, Step, StepCallback
    from ...engine.weights.store import Stored


def qgis_network(folder: str) -> Network:
    """Return QGIS's proxy and certificates for downloads; call it on the main thread.

    ``folder`` is for a temporary file of certificates.
    """
    manager = QgsNetworkAccessManager.instance()
    proxy = proxy_environment(manager.fallbackProxy(), list(manager.excludeList()))
    certificates = certificates_environment(folder).get("PIP_CERT")
    if not proxy:
        return Network(certificates=certificates)
    proxies = {"http": proxy["http_proxy"], "https": proxy["https_proxy"]}
    return Network(proxies, proxy.get("no_proxy", ""), certificates)


def _reported(report: Report) -> StepCallback:
    """Return a callback of the weights store that reports to a job."""

    def on_step(step: Step) -> None:
        if not step.total:
            report(step.text, 0.0)
            return
        text = tr("{step} ({done} of {total})").format(
            step=step.text, done=megabytes(step.done), total=megabytes(step.total)
        )
        report(text, step.done / step.total)

    return on_step


class WeightsPanel(QWidget):
    """Shows the missing weights of a system and downloads or imports them.

    Signals:
        changed(): weights have arrived, or a job has started or ended.
    """

    changed = pyqtSignal()

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.setObjectName("weightsPanel")
        self._info: Optional[SystemInfo] = None
        self._missing: tuple[Stored, ...] = ()
        self._error: Optional[ChangeScribeError] = None
        self.text = warning_label("weightsText")
        self.text.show()
        self.jobs = self._build_buttons()
        self.jobs.text_changed.connect(self.text.setText)
        self.jobs.ended.connect(self._on_ended)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.text)
        layout.addWidget(self.jobs)
        self.hide()

    def _build_buttons(self) -> JobButtons:
        self.download_button = QPushButton()
        self.download_button.setObjectName("weightsDownload")
        self.download_button.clicked.connect(self.download)
        self.import_button = QPushButton(tr("Import from folder\N{HORIZONTAL ELLIPSIS}"))
        self.import_button.setObjectName("weightsImport")
        self.import_button.clicked.connect(self._choose_folder)
        self.details_button = QPushButton(tr("Details"))
        self.details_button.setObjectName("weightsDetails")
        self.details_button.clicked.connect(self.show_details)
        buttons = (self.download_button, self.import_button, self.details_button)
        return JobButtons("weights", buttons, tr("Cancel"))

    @property
    def is_busy(self) -> bool:
        """Whether a download or an import is running."""
        return self.jobs.is_busy

    @property
    def reason(self) -> str:
        """Why the system cannot run, or an empty text."""
        if not self._missing:
            return ""
        if self.is_busy:
            return tr("Wait until all weights of this system are complete")
        known = [stored.entry.size for stored in self._missing]
        if None in known:
            return tr("This system needs weights: download or import them above")
        return tr("This system needs {size} of weights: download or import them above").format(
            size=megabytes(sum(size for size in known if size))
        )

    def show_for(self, info: Optional[SystemInfo]) -> None:
        """Show the missing weights of a system; hide the panel if none are missing."""
        if info != self._info:
            self._error = None
        self._info = info
        needed = info.weights if info is not None else ()
        self._missing = WeightsStore().missing(needed) if needed else ()
        if not self._missing:
            self._error = None
        if self.is_busy:
            return
        self.setVisible(bool(self._missing))
        self.details_button.setVisible(self._error is not None)
        self._show_download()
        self.text.setText(self._words())
        self.text.setToolTip(
            plain_tip("\n".join(how_to_get(stored.entry) for stored in self._missing))
        )

    def _words(self) -> str:
        if self._error is not None:
            return f"{self._error.message}\n{self._error.hint}".strip()
        rows = [tr("Missing weights:")]
        for stored in self._missing:
            entry = stored.entry
            parts = [entry.file, entry.size_text, entry.licence or tr("no licence stated")]
            if stored.reason:
                parts.append(tr("damaged"))
            if not entry.can_be_fetched:
                parts.append(tr("import only"))
            rows.append(", ".join(parts))
        return "\n".join(rows)

    def _show_download(self) -> None:
        entries = [stored.entry for stored in self._missing if stored.entry.can_be_fetched]
        sizes = [entry.size for entry in entries]
        self.download_button.setEnabled(bool(entries))
        total = megabytes(sum(size for size in sizes if size))
        text = tr("Download ({size})").format(size=total)
        self.download_button.setText(tr("Download") if None in sizes or not sizes else text)
        self.download_button.setToolTip(
            plain_tip(
                "\n".join(f"{entry.title}: {entry.terms or ''}" for entry in entries)
                or tr("These weights can only be imported.")
            )
        )

    def download(self) -> None:
        """Download the missing weights in the background, as far as they can be."""
        if self.is_busy:
            return
        ids = [s.entry.id for s in self._missing if s.entry.can_be_fetched]
        # Taken here: QGIS's network manager belongs to the main thread.
        network = qgis_network(self.jobs.temporary_folder())
        store = WeightsStore()

        def job(report: Report, cancelled: CancelledCallback) -> None:
            for identifier in ids:
                store.fetch(identifier, _reported(report), cancelled, network)

        self._start(job)

    def import_from(self, folder: str) -> None:
        """Import the missing weights from a folder, in the background."""
        ids = [stored.entry.id for stored in self._missing]
        store = WeightsStore()
        self._start(
            lambda report, cancelled: store.import_from(folder, ids, _reported(report), cancelled)
        )

    def shut_down(self) -> None:
        """Cancel and wait; call it before the panel is deleted."""
        self.jobs.shut_down()

    def show_details(self) -> Optional[DetailsDialog]:
        """Show the technical details of the error in a non-modal window."""
        if self._error is None:
            return None
        dialog = DetailsDialog(
            tr("ChangeScribe: details"), str(self._error), self._error.details, self
        )
        dialog.show()
        return dialog

    def _choose_folder(self) -> None:
        start = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DownloadLocation)
        folder = QFileDialog.getExistingDirectory(
            self, tr("Select folder with model weights"), start
        )
        if folder:
            self.import_from(folder)

    def _start(self, job: Job) -> None:
        if not self.is_busy:
            self._error = None
            self.jobs.start(job)
            self.changed.emit()

    def _on_ended(self, error: Optional[ChangeScribeError]) -> None:
        if error is not None and not isinstance(error, CancelledError):
            self._error = error
        self.show_for(self._info)
        self.changed.emit()
