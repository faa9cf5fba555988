# SPDX-License-Identifier: GPL-3.0-or-later
"""The dock: one column from the layers and the prompt down to the results."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Optional

from qgis.core import QgsProject
from qgis.gui import QgsDockWidget
from qgis.PyQt.QtCore import QEvent, QObject, QSize, Qt, QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import QFrame, QMessageBox, QScrollArea, QVBoxLayout, QWidget

from ...engine.errors import ChangeScribeError, InputError
from ...engine.hosts.routing import close_shared_host
from ...engine.raster.dates import is_iso_date
from ...engine.request import CLOUD_MODES, OUTLINE_MODES, ChangeRequest, Hints
from ..map.layer_source import (
    assigned_crs,
    has_georeference,
    has_pixel_size,
    not_a_file,
    same_source,
    source_path,
    user_nodata,
)
from ..packages import tiers
from ..packages.panel import DependencyPanel
from ..translation import tr
from ..widgets import separator
from . import pair_memory
from .advanced_panel import AdvancedPanel
from .compare_bar import CompareBar
from .competing_panel import CompetingPanel
from .estimates import Estimate, estimate
from .extent import ExtentPanel, Where
from .layer_pair import LayerPairPanel
from .outputs import automatic_folder, new_output
from .prompt_panel import PromptPanel
from .ready import ReadyCheck
from .results_panel import ResultsPanel
from .run_panel import RunPanel
from .system_panel import SystemPanel

if TYPE_CHECKING:
    from qgis.core import QgsRasterLayer
    from qgis.gui import QgsMapCanvas
    from qgis.PyQt.QtGui import QHideEvent, QShowEvent

    from ..settings import Settings

#: The form is checked once it has not changed for this long.
_SETTLE_MS = 120


class ColumnScrollArea(QScrollArea):
    """Scrolls vertically only, and is never narrower than its content."""

    def minimumSizeHint(self) -> QSize:
        """Return the width of the content, so that the dock cannot cut it off."""
        hint = super().minimumSizeHint()
        if self.widget() is not None:
            bar = self.verticalScrollBar().sizeHint().width()
            hint.setWidth(self.widget().minimumSizeHint().width() + bar)
        return hint

    def sizeHint(self) -> QSize:
        """Return the width of the content and a height that leaves room for other docks."""
        return QSize(self.minimumSizeHint().width(), super().sizeHint().height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Widen the dock with its content, such as when Advanced is expanded."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


class ChangeScribeDock(QgsDockWidget):
    """Collects the options of a run and says why it cannot start.

    Signals:
        detect_requested(): the user started a run, which can start.
        cancel_requested(): the user wants the run to stop.
    """

    detect_requested = pyqtSignal()
    cancel_requested = pyqtSignal()

    def __init__(
        self, canvas: QgsMapCanvas, settings: Settings, parent: Optional[QWidget] = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("ChangeScribe"))
        self.setObjectName("ChangeScribeDock")
        self._settings = settings
        self._running = False
        self._estimate: Optional[Estimate] = None
        self._ready = ReadyCheck(self)
        self._ready.answered.connect(self.refresh)
        self.layers = LayerPairPanel()
        self.compare = CompareBar()
        self.prompt = PromptPanel(settings)
        self.extent = ExtentPanel(canvas)
        self.system = SystemPanel(settings)
        self.competing = CompetingPanel(settings)
        self.advanced = AdvancedPanel(settings)
        self.advanced.captions.offer(self.system.systems)
        self.run = RunPanel()
        self.results = ResultsPanel()
        self.packages = DependencyPanel()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE_MS)
        # Layers reach the layer tree after the project.
        self._arrivals = QTimer(self)
        self._arrivals.setSingleShot(True)
        self._arrivals.setInterval(0)
        #: Name of a chosen layer that was removed.
        self._lost = ""
        self._lay_out()
        self._order_tabs()
        self._connect()
        self.refresh()

    def _lay_out(self) -> None:
        content = QWidget()
        content.setObjectName("ChangeScribeContent")
        column = QVBoxLayout(content)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(10)
        for widget in (
            self.packages,
            self.layers,
            self.compare,
            self.prompt,
            self.extent,
            self.system,
            self.competing,
            self.advanced,
            self.run,
            separator(),
        ):
            column.addWidget(widget)
        column.addWidget(self.results, 1)
        scroll = ColumnScrollArea()
        scroll.setObjectName("ChangeScribeScroll")
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        self.setWidget(scroll)

    def _order_tabs(self) -> None:
        """Make the Tab key follow the column from top to bottom."""
        layers, extent, options = self.layers, self.extent, self.advanced
        results_filter = self.results.filter
        order = [
            layers.before_combo,
            layers.before_date,
            layers.after_combo,
            layers.after_date,
            layers.swap_button,
            *self.compare.buttons,
            self.prompt.combo,
            self.prompt.chips,
            *extent.radio_buttons,
            extent.layer_combo,
            extent.draw_button,
            self.system.combo,
            self.system.why_button,
            self.system.weights.download_button,
            self.system.weights.import_button,
            self.competing.edit,
            self.competing.reset_button,
            options.threshold,
            options.min_area,
            options.pixel_size,
            options.nodata,
            options.bands_before,
            options.bands_after,
            options.mask_before,
            options.mask_after,
            options.mask_values,
            options.clouds,
            options.align,
            options.outlines,
            options.device,
            options.captions.system,
            *options.captions.boxes.values(),
            options.host,
            options.python,
            options.base,
            options.remove_button,
            options.weights,
            options.folder,
            self.run.detect_button,
            self.run.cancel_button,
            self.results.list,
            results_filter.slider,
            results_filter.score,
            results_filter.area,
            results_filter.reset_button,
            self.results.zoom_button,
            self.results.captions_button,
            self.results.export_button,
            self.results.more_button,
        ]
        for first, second in zip(order, order[1:]):
            QWidget.setTabOrder(first, second)

    def _connect(self) -> None:
        self._timer.timeout.connect(self.refresh)
        for panel in (
            self.layers,
            self.prompt,
            self.extent,
            self.system,
            self.competing,
            self.advanced,
        ):
            panel.changed.connect(self._timer.start)
        self.advanced.device.currentIndexChanged.connect(self.system.refresh)
        self.advanced.weights.fileChanged.connect(self.system.reload)
        for signal in (self.advanced.weights.fileChanged, self.system.weights.changed):
            signal.connect(lambda *_: self.advanced.captions.offer(self.system.systems))
        self.prompt.accepted.connect(self._detect)
        self.run.detect.connect(self._detect)
        self.run.cancel.connect(self.cancel_requested)
        self.advanced.remove_requested.connect(self._remove_packages)
        self.packages.installed.connect(self._packages_installed)
        self.packages.busy_changed.connect(lambda _busy: self.refresh())
        self.layers.changed.connect(self._remember_pair)
        self.layers.lost.connect(self._layer_lost)
        self._arrivals.timeout.connect(self._layers_arrived)
        project = QgsProject.instance()
        project.layersAdded.connect(self._arrivals.start)
        project.layersWillBeRemoved.connect(self.layers.release)
        project.cleared.connect(self._project_opened)
        project.readProject.connect(self._project_opened)

    @property
    def estimate(self) -> Optional[Estimate]:
        """Estimate of the run that would start now; None if none can."""
        return self._estimate

    def refresh(self) -> None:
        """Check the form: estimate, folder, and whether a run can start."""
        self._timer.stop()
        self.competing.show_for(self.system.info)
        self.prompt.check_words(self.system.info)
        self.packages.show_for(self._tier)
        before = self.layers.before
        self.advanced.show_pixel_size(before is not None and not has_pixel_size(before))
        reason, where = self._check()
        self._check_memory(reason)
        self._show_estimate(where, reason)
        self.advanced.show_automatic_folder(automatic_folder(before) if before else "")
        self.advanced.show_tier(self.system.info.tier if self.system.info else "")
        self.advanced.remove_button.setEnabled(not self._running and not self.packages.is_busy)
        self.run.set_reason(reason)

    @property
    def _tier(self) -> tiers.Tier:
        """Packages that the chosen system needs."""
        return tiers.tier_of(self.system.info.tier if self.system.info else "")

    def reason(self) -> str:
        """Return why a run cannot start, or an empty text."""
        return self._check()[0]

    def _check(self) -> tuple[str, Optional[Where]]:
        before, after = self.layers.before, self.layers.after
        reason = self._layers_reason(before, after)
        where = None
        if not reason:
            where = self.extent.where(before, after)
            reason = (
                tr("The layers do not overlap")
                if (where.rectangle.isEmpty() and not where.reason)
                else where.reason
            )
        if not reason:
            reason = self.advanced.bands_problem(before, after) or self._form_reason()
        if self._running:
            reason = tr("A run is in progress")
        elif not tiers.is_available(self._tier):
            reason = tr("{name} is not installed: install it above").format(name=self._tier.title)
        return reason, where

    def _layers_reason(
        self, before: Optional[QgsRasterLayer], after: Optional[QgsRasterLayer]
    ) -> str:
        if (before is None or after is None) and self._lost:
            return tr('"{layer}" was removed: choose another layer').format(layer=self._lost)
        if before is None or after is None:
            return tr("Choose two raster layers")
        if same_source(before, after):
            return tr("Choose two different layers")
        for layer in (before, after):
            if source_path(layer) is None:
                return str(not_a_file(layer))
            if not layer.isValid():
                return tr('Cannot read the file of "{layer}"').format(layer=layer.name())
        return self._place_reason(before, after)

    def _place_reason(self, before: QgsRasterLayer, after: QgsRasterLayer) -> str:
        known = [layer.crs().isValid() for layer in (before, after)]
        if known[0] != known[1]:
            return tr('"{layer}" has no CRS, but the other layer has one').format(
                layer=(after if known[0] else before).name()
            )
        placed = [has_georeference(layer) for layer in (before, after)]
        if placed[0] != placed[1]:
            return tr('"{layer}" has no georeference, but the other layer has one').format(
                layer=(after if placed[0] else before).name()
            )
        sizes = {(layer.width(), layer.height()) for layer in (before, after)}
        if not any(placed) and len(sizes) > 1:
            return tr("Layers without georeference must have the same size in pixels")
        return ""

    def _form_reason(self) -> str:
        if self.prompt.problem:
            return self.prompt.problem
        for date in self.layers.dates:
            if date and not is_iso_date(date):
                return tr("Correct the dates, or leave them empty")
        if self.system.info is None:
            return tr("No detection system is available: see the Log Messages panel")
        return self.system.weights.reason or self.competing.reason

    def _check_memory(self, reason: str) -> None:
        """Find out whether the pair is remembered, if a run can start; anew after a run."""
        request = None
        if not reason:
            with contextlib.suppress(ChangeScribeError):
                request = self._request("")
        self._ready.ask(request)

    def _show_estimate(self, where: Optional[Where], reason: str) -> None:
        before, info = self.layers.before, self.system.info
        self._estimate = None
        ready = self._ready.ready and not reason
        if where is not None and not where.rectangle.isEmpty() and before is not None:
            self._estimate = estimate(
                before,
                where.rectangle,
                info.pixel_sizes if info else (),
                self._settings.speed(info.name, remembered=ready) if info else None,
                self.advanced.user_pixel_size,
                ready=ready,
            )
        text = self._estimate.text() if self._estimate else ""
        self.extent.estimate_label.setText(text)
        self.extent.estimate_label.setVisible(bool(text))

    def build_request(self) -> ChangeRequest:
        """Return the request for the current form.

        Raises:
            ChangeScribeError: the area cannot be read, or the output folder cannot be written.
        """
        before = self.layers.before
        folder = self.advanced.output_folder or (automatic_folder(before) if before else "")
        output = new_output(folder, source_path(before) or "", self.prompt.text) if before else ""
        return self._request(output)

    def _request(self, output: str) -> ChangeRequest:
        """Return the request for the current form and an output."""
        before, after, info = self.layers.before, self.layers.after, self.system.info
        if before is None or after is None or info is None:
            raise InputError(self.reason())
        where = self.extent.where(before, after)
        bands_before, bands_after = self.advanced.bands
        dates, masks = self.layers.dates, self.advanced.masks
        return ChangeRequest(
            before=source_path(before) or "",
            after=source_path(after) or "",
            prompt=self.prompt.text,
            output=output,
            system=info.name,
            extent=where.extent,
            area=self.extent.area(before, where.rectangle),
            bands_before=bands_before,
            bands_after=bands_after,
            crs_before=assigned_crs(before),
            crs_after=assigned_crs(after),
            threshold=round(self.advanced.threshold.value(), 2),
            min_area=self.advanced.minimum_area,
            device=self._settings.device,
            date_before=dates[0] or None,
            date_after=dates[1] or None,
            hints=Hints(competing=self.competing.names),
            pixel_size=self.advanced.user_pixel_size,
            nodata=self.advanced.nodata.currentData(),
            nodata_before=user_nodata(before),
            nodata_after=user_nodata(after),
            mask_before=masks[0],
            mask_after=masks[1],
            outlines=OUTLINE_MODES[0 if self.advanced.outlines.isChecked() else 1],
            clouds=CLOUD_MODES[0 if self.advanced.clouds.isChecked() else 1],
            align=self._settings.align,
        )

    def set_running(self, running: bool) -> None:
        """Show or hide the progress of a run."""
        self._running = self.results.busy = running
        if running:
            self.run.show_running()
        else:
            self.run.show_idle()
        self.refresh()

    def _detect(self) -> None:
        self.refresh()
        if self.run.detect_button.isEnabled():
            self.detect_requested.emit()

    def _layers_arrived(self) -> None:
        self.layers.exclude_results()
        if self.isVisible():
            self.layers.offer_layers()

    def _layer_lost(self, name: str) -> None:
        self._lost = name

    def _remember_pair(self) -> None:
        if self.layers.before is not None and self.layers.after is not None:
            self._lost = ""
            pair_memory.remember(self.layers)

    def _project_opened(self) -> None:
        self._lost = ""
        self.layers.exclude_results()
        pair_memory.restore(self.layers)

    def _remove_packages(self) -> None:
        buttons = QMessageBox.StandardButton
        answer = QMessageBox.question(
            self,
            tr("Remove PyTorch"),
            tr(
                "Delete the environment that the plugin created for PyTorch? "
                "Model weights are kept."
            ),
            buttons.Yes | buttons.No,
            buttons.No,
        )
        if answer == buttons.Yes and not self._running:
            # The worker runs from that environment; the next run starts another.
            close_shared_host()
            self.packages.remove(tiers.FULL)

    def _packages_installed(self) -> None:
        self.system.reload()
        self.advanced.captions.offer(self.system.systems)
        self.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Offer the project's layers and check the form when the dock is opened."""
        super().showEvent(event)
        self.layers.offer_layers()
        self.system.refresh()
        self.refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        """Stop drawing a rectangle when the dock is closed."""
        self.extent.stop_drawing()
        super().hideEvent(event)

    def shut_down(self) -> None:
        """Disconnect from QGIS's objects."""
        self._timer.stop()
        self._ready.shut_down()
        self.packages.shut_down()
        self.system.weights.shut_down()
        self._arrivals.stop()
        project = QgsProject.instance()
        project.layersAdded.disconnect(self._arrivals.start)
        project.layersWillBeRemoved.disconnect(self.layers.release)
        project.cleared.disconnect(self._project_opened)
        project.readProject.disconnect(self._project_opened)
        self.extent.shut_down()
