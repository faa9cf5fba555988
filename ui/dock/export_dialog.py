# SPDX-License-Identifier: GPL-3.0-or-later
"""Dialog that exports the polygons of a run to a shapefile, GeoPackage or GeoJSON."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable, Optional

from qgis.core import QgsApplication, QgsTask
from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import Qt, QUrl, pyqtSignal
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..errors import as_change_scribe_error
from ..settings import Settings
from ..translation import tr
from ..widgets import hint_label, warning_label

if TYPE_CHECKING:
    from ..map.runs import Run

    #: (results, file, whether to replace it) -> warnings
    Export = Callable[[str, str, bool], tuple[str, ...]]

#: (title, suffix, filter of the file dialog)
_FORMATS = (
    ("ESRI Shapefile", ".shp", "ESRI Shapefile (*.shp)"),
    ("GeoPackage", ".gpkg", "GeoPackage (*.gpkg)"),
    ("GeoJSON", ".geojson", "GeoJSON (*.geojson)"),
)


def _export(gpkg: str, out: str, overwrite: bool) -> tuple[str, ...]:
    # Imported here so that the dock opens without GDAL's bindings.
    from ...engine.results.export import export

    return tuple(export(gpkg, out, overwrite=overwrite))


class ExportTask(QgsTask):
    """Exports in a background thread; ``export`` returns warnings or raises a ChangeScribeError."""

    #: The warnings, or the error.
    ended = pyqtSignal(object)

    def __init__(
        self, gpkg: str, out: str, overwrite: bool = False, export: Export = _export
    ) -> None:
        super().__init__(f"ChangeScribe: {os.path.basename(out)}", QgsTask.Flag(0))
        self._gpkg, self._out, self._overwrite, self._export = gpkg, out, overwrite, export
        self.outcome: object = ()

    def run(self) -> bool:
        """Export; called by QGIS in a background thread."""
        try:
            self.outcome = self._export(self._gpkg, self._out, self._overwrite)
        except BaseException as error:  # noqa: BLE001 - nothing may escape a thread's run()
            self.outcome = as_change_scribe_error(error)
            return False
        return True

    def finished(self, _successful: bool) -> None:
        """Emit the outcome; called by QGIS on the main thread."""
        self.ended.emit(self.outcome)


class ExportDialog(QDialog):
    """Non-modal dialog that asks for a format and a file.

    Signals:
        exported(str): the file was written.
        failed(ChangeScribeError): the file was not written.
    """

    exported = pyqtSignal(str)
    failed = pyqtSignal(object)

    def __init__(
        self,
        run: Run,
        settings: Settings,
        parent: Optional[QWidget] = None,
        export: Export = _export,
    ) -> None:
        super().__init__(parent)
        self._run, self._settings, self._export = run, settings, export
        self._task: Optional[ExportTask] = None
        self._written = ""
        self.setObjectName("exportDialog")
        self.setWindowTitle(tr("Export {title}").format(title=run.title))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(460)
        self.format_combo = QComboBox()
        self.format_combo.setObjectName("exportFormat")
        for name, suffix, _filter in _FORMATS:
            self.format_combo.addItem(name, suffix)
        self.file_widget = QgsFileWidget()
        self.file_widget.setObjectName("exportFile")
        self.file_widget.setStorageMode(QgsFileWidget.StorageMode.SaveFile)
        self.file_widget.setConfirmOverwrite(False)
        self.replace_box = QCheckBox(tr("Ove&rwrite the existing file"))
        self.replace_box.setObjectName("exportReplace")
        self.note_label = hint_label(name="exportNote")
        self.status_label = QLabel()
        self.status_label.setTextFormat(Qt.TextFormat.PlainText)
        self.status_label.setObjectName("exportStatus")
        self.status_label.setWordWrap(True)
        self.warning_label = warning_label("exportWarnings")
        self._lay_out()
        self.format_combo.currentIndexChanged.connect(self._format_changed)
        self.file_widget.fileChanged.connect(self._file_changed)
        self.replace_box.toggled.connect(self._refresh)
        self._format_changed()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(tr("F&ormat"), self.format_combo)
        form.addRow(tr("File &name"), self.file_widget)
        form.addRow("", self.replace_box)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.export_button = QPushButton(tr("E&xport"))
        self.export_button.setObjectName("exportRunButton")
        self.export_button.setDefault(True)
        buttons.addButton(self.export_button, QDialogButtonBox.ButtonRole.ActionRole)
        self.folder_button = QPushButton(tr("Open fol&der"))
        self.folder_button.setObjectName("exportFolderButton")
        self.folder_button.setEnabled(False)
        buttons.addButton(self.folder_button, QDialogButtonBox.ButtonRole.ActionRole)
        self.export_button.clicked.connect(self.start)
        self.folder_button.clicked.connect(lambda: open_folder(self._written))
        buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.note_label)
        layout.addWidget(self.status_label)
        layout.addWidget(self.warning_label)
        layout.addStretch(1)
        layout.addWidget(buttons)

    @property
    def busy(self) -> bool:
        """Whether an export is running."""
        return self._task is not None

    def start(self) -> None:
        """Export to the file chosen."""
        out = self._path()
        if not out or self._task is not None:
            return
        self._settings.export_folder = os.path.dirname(out)
        self.status_label.setText(tr("Exporting\N{HORIZONTAL ELLIPSIS}"))
        self.warning_label.hide()
        self.export_button.setEnabled(False)
        self._written = out
        self._task = ExportTask(self._run.gpkg, out, self.replace_box.isChecked(), self._export)
        self._task.ended.connect(self._ended)
        QgsApplication.taskManager().addTask(self._task)

    def _ended(self, outcome: object) -> None:
        self._task = None
        self.replace_box.setChecked(False)
        self._refresh()
        if isinstance(outcome, tuple):
            self.status_label.setText(
                tr('Exported to "{file}".').format(file=os.path.basename(self._written))
            )
            self.folder_button.setEnabled(True)
            self.warning_label.setText("\n".join(str(line) for line in outcome))
            self.warning_label.setVisible(bool(outcome))
            self.exported.emit(self._written)
        else:
            self.status_label.setText("")
            self.warning_label.setText(str(outcome))
            self.warning_label.show()
            self.failed.emit(outcome)

    def _path(self) -> str:
        """Return the chosen file with the suffix of the format."""
        path = self.file_widget.filePath().strip()
        suffix = self.format_combo.currentData()
        if path and not path.lower().endswith(suffix):
            path += suffix
        return path

    def _format_changed(self) -> None:
        name, suffix, file_filter = _FORMATS[self.format_combo.currentIndex()]
        self.file_widget.setFilter(file_filter)
        typed = self.file_widget.filePath().strip()
        stem = os.path.splitext(typed)[0] if typed else self._default_stem()
        self.file_widget.setFilePath(free_path(stem, suffix))
        self.note_label.setText(
            tr(
                "Field names are shortened to 10 characters. Captions longer than 254 bytes are "
                "also written in full to a CSV file."
            )
            if suffix == ".shp"
            else tr("{name} keeps all fields and captions.").format(name=name)
        )

    def _default_stem(self) -> str:
        folder = self._settings.export_folder or os.path.dirname(self._run.gpkg)
        stem = os.path.splitext(os.path.basename(self._run.gpkg))[0]
        return os.path.join(folder, f"{stem}_export")

    def _file_changed(self) -> None:
        self.replace_box.setChecked(False)
        self._refresh()

    def _refresh(self) -> None:
        """Offer to overwrite an existing file, and enable the button if it can work."""
        path = self._path()
        exists = os.path.exists(path)
        self.replace_box.setVisible(exists)
        allowed = bool(path) and (not exists or self.replace_box.isChecked())
        self.export_button.setEnabled(allowed and self._task is None)


def free_path(stem: str, suffix: str) -> str:
    """Return ``stem + suffix``, with a number if that file exists."""
    path, number = stem + suffix, 1
    while os.path.exists(path):
        number += 1
        path = f"{stem}_{number}{suffix}"
    return path


def open_folder(path: str) -> None:
    """Open the folder of a file in the file manager."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(os.path.dirname(path)))
