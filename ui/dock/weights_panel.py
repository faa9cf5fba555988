# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads or imports the missing weights of a system; hidden if none are missing."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Callable, Optional

from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtCore import QStandardPaths, QThread, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from ...engine.errors import CancelledError, ChangeScribeError
from ...engine.weights.catalogue import megabytes
from ...engine.weights.fetch import Network
from ...engine.weights.store import WeightsStore, how_to_get
from ..errors import DetailsDialog, as_change_scribe_error
from ..packages.network import certificates_environment, proxy_environment
from ..translation import tr
from ..widgets import plain_tip, warning_label

if TYPE_CHECKING:
    from ...engine.systems.base import SystemInfo
    from ...engine.weights.files import CancelledCallback, Step, StepCallback
    from ...engine.weights.store import Stored

    Work = Callable[[StepCallback, CancelledCallback], object]

_STEPS = 1000


def qgis_network(folder: str) -> Network:
    """Return QGIS's proxy and certificates for downloads; call it on the main thread.

    Args:
        folder: for a temporary file of certificates.
    """
    manager = QgsNetworkAccessManager.instance()
    proxy = proxy_environment(manager.fallbackProxy(), list(manager.excludeList()))
    certificates = certificates_environment(folder).get("PIP_CERT")
    if not proxy:
        return Network(certificates=certificates)
    proxies = {"http": proxy["http_proxy"], "https": proxy["https_proxy"]}
    return Network(proxies, proxy.get("no_proxy", ""), certificates)


class WeightsThread(QThread):
    """Runs one job of the weights store; the outcome is a signal, also for errors."""

    stepped = pyqtSignal(str, float)
    #: None on success, else the ChangeScribeError.
    ended = pyqtSignal(object)

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work
        self._cancelled = False

    def cancel(self) -> None:
        """Cancel within a fraction of a second."""
        self._cancelled = True

    def run(self) -> None:
        """Run the job; called by Qt in the thread."""
        error: Optional[ChangeScribeError] = None
        try:
            self._work(self._report, lambda: self._cancelled)
        except Exception as problem:  # noqa: BLE001 - a thread must not let anything out
            error = as_change_scribe_error(problem)
        self.ended.emit(error)

    def _report(self, step: Step) -> None:
        if not step.total:
            self.stepped.emit(step.text, 0.0)
            return
        text = tr("{step} ({done} of {total})").format(
            step=step.text, done=megabytes(step.done), total=megabytes(step.total)
        )
        self.stepped.emit(text, step.done / step.total)


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
        self._thread: Optional[WeightsThread] = None
        self._folder: Optional[tempfile.TemporaryDirectory[str]] = None
        self.text = warning_label("weightsText")
        self.text.show()
        self._stack = QStackedWidget()
        self._stack.addWidget(self._build_choices())
        self._stack.addWidget(self._build_progress())
        self._stack.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.text)
        layout.addWidget(self._stack)
        self.hide()

    def _build_choices(self) -> QWidget:
        page = QWidget()
        self.download_button = QPushButton()
        self.download_button.setObjectName("weightsDownload")
        self.download_button.clicked.connect(self.download)
        self.import_button = QPushButton(tr("Import from folder\N{HORIZONTAL ELLIPSIS}"))
        self.import_button.setObjectName("weightsImport")
        self.import_button.clicked.connect(self._choose_folder)
        self.details_button = QPushButton(tr("Details"))
        self.details_button.setObjectName("weightsDetails")
        self.details_button.clicked.connect(self.show_details)
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 0, 0, 0)
        for button in (self.download_button, self.import_button, self.details_button):
            row.addWidget(button)
        row.addStretch(1)
        return page

    def _build_progress(self) -> QWidget:
        page = QWidget()
        self.bar = QProgressBar()
        self.bar.setObjectName("weightsProgress")
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.cancel_button = QPushButton(tr("Cancel"))
        self.cancel_button.setObjectName("weightsCancel")
        self.cancel_button.clicked.connect(self.cancel)
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel_button)
        return page

    @property
    def is_busy(self) -> bool:
        """Whether a download or an import is running."""
        return self._thread is not None

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
        self._stack.setCurrentIndex(0)
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
        self._folder = tempfile.TemporaryDirectory(prefix="changescribe-")
        network = qgis_network(self._folder.name)
        store = WeightsStore()

        def work(progress: StepCallback, cancelled: CancelledCallback) -> None:
            for identifier in ids:
                store.fetch(identifier, progress, cancelled, network)

        self._start(work)

    def import_from(self, folder: str) -> None:
        """Import the missing weights from a folder, in the background."""
        ids = [stored.entry.id for stored in self._missing]
        store = WeightsStore()
        self._start(lambda progress, cancelled: store.import_from(folder, ids, progress, cancelled))

    def cancel(self) -> None:
        """Cancel the running job, if any."""
        if self._thread is not None:
            self.cancel_button.setEnabled(False)
            self.text.setText(tr("Stopping\N{HORIZONTAL ELLIPSIS}"))
            self._thread.cancel()

    def shut_down(self) -> None:
        """Cancel and wait; call it before the panel is deleted."""
        if self._thread is not None:
            self._thread.ended.disconnect(self._on_ended)
            self._thread.cancel()
            self._forget_thread()

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

    def _start(self, work: Work) -> None:
        if self.is_busy:
            return
        self._error = None
        self._thread = WeightsThread(work)
        self._thread.stepped.connect(self._on_step)
        self._thread.ended.connect(self._on_ended)
        self.bar.setValue(0)
        self.cancel_button.setEnabled(True)
        self._stack.setCurrentIndex(1)
        self.text.setText(tr("Starting\N{HORIZONTAL ELLIPSIS}"))
        self._thread.start()
        self.changed.emit()

    def _on_step(self, text: str, fraction: float) -> None:
        if self.cancel_button.isEnabled():
            self.text.setText(text)
        self.bar.setValue(round(fraction * _STEPS))

    def _on_ended(self, error: Optional[ChangeScribeError]) -> None:
        self._forget_thread()
        if error is not None and not isinstance(error, CancelledError):
            self._error = error
        self.show_for(self._info)
        self.changed.emit()

    def _forget_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.wait()
            thread.deleteLater()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
