# SPDX-License-Identifier: GPL-3.0-or-later
"""What the algorithms share: errors, progress, sources, and layers that load with their style.

Algorithms run in a thread of Processing's. ``prepareAlgorithm`` runs on the main
thread and takes all that is needed from the layers as text and numbers;
``processAlgorithm`` touches neither the project nor a layer of it.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from typing import Callable, Optional

from qgis.core import (
    QgsMapLayer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsRasterLayer,
)
from qgis.PyQt.QtGui import QIcon

from ...engine import systems
from ...engine.errors import ChangeScribeError, InputError
from ...engine.raster.common_grid import MAX_SIZE, MIN_SIZE
from ...engine.request import Progress
from ..map.layer_source import source_path
from ..packages import tiers
from ..translation import tr

HELP_URL = "https://github.com/changescribe/changescribe#use-it-in-qgis"


class ChangeScribeAlgorithm(QgsProcessingAlgorithm):
    """An algorithm of the provider. QGIS makes a new object for each run."""

    BEFORE = "BEFORE"
    AFTER = "AFTER"
    SYSTEM = "SYSTEM"
    DEVICE = "DEVICE"
    PIXEL_SIZE = "PIXEL_SIZE"
    OUTPUT = "OUTPUT"
    CAPTION = "CAPTION"

    def createInstance(self) -> QgsProcessingAlgorithm:
        """Return a new object; called by QGIS before each run."""
        return type(self)()

    def group(self) -> str:
        """Algorithms are few: they stand in the provider without a group."""
        return ""

    def groupId(self) -> str:
        """See :meth:`group`."""
        return ""

    def icon(self) -> QIcon:
        """Return the provider's icon."""
        return self.provider().icon() if self.provider() is not None else QIcon()

    def helpUrl(self) -> str:
        """Return the page that the Help button opens."""
        return HELP_URL

    def add_pair(self) -> None:
        """Add the two raster layers."""
        self.addParameter(QgsProcessingParameterRasterLayer(self.BEFORE, tr("Before")))
        self.addParameter(QgsProcessingParameterRasterLayer(self.AFTER, tr("After")))

    def add_advanced(self, parameter: QgsProcessingParameterDefinition) -> None:
        """Add a parameter under "Advanced parameters"."""
        advanced = QgsProcessingParameterDefinition.Flag.FlagAdvanced
        parameter.setFlags(parameter.flags() | advanced)
        self.addParameter(parameter)

    def add_pixel_size(self) -> None:
        """Add the size of the pixels, for rasters that do not tell it."""
        kind = QgsProcessingParameterNumber.Type.Double
        size = QgsProcessingParameterNumber(
            self.PIXEL_SIZE,
            tr("Pixel size (metres), where Before has no CRS"),
            kind,
            None,
            True,
            MIN_SIZE,
            MAX_SIZE,
        )
        size.setMetadata({"widget_wrapper": {"decimals": 3}})
        self.add_advanced(size)

    def number(
        self, parameters: dict[str, object], name: str, context: QgsProcessingContext
    ) -> Optional[float]:
        """Return an optional number."""
        if parameters.get(name) in (None, ""):
            return None
        return self.parameterAsDouble(parameters, name, context)

    def take(self, parameters: dict[str, object], context: QgsProcessingContext) -> None:
        """Take what is needed from the layers and parameters, on the main thread.

        Raises:
            ChangeScribeError: they cannot be used.
            QgsProcessingException: a layer is not one.
        """

    def checkParameterValues(
        self, parameters: dict[str, object], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        """Say before anything is run why it cannot work; the dialog shows it, scripts raise it."""
        try:
            self.take(parameters, context)
        except (ChangeScribeError, QgsProcessingException) as error:
            return False, str(error)
        return super().checkParameterValues(parameters, context)

    def prepareAlgorithm(
        self,
        parameters: dict[str, object],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Take what is needed from the layers: they belong to the main thread."""
        with explained(feedback):
            self.take(parameters, context)
        return True

    def raster(
        self, parameters: dict[str, object], name: str, context: QgsProcessingContext
    ) -> QgsRasterLayer:
        """Return a raster layer that GDAL can open.

        Raises:
            QgsProcessingException: no raster was given, or it does not open.
            InputError: it is an online map or lies in a database.
        """
        layer = self.parameterAsRasterLayer(parameters, name, context)
        if layer is None or not layer.isValid():
            raise QgsProcessingException(self.invalidRasterError(parameters, name))
        if source_path(layer) is None:
            raise InputError(
                tr('The layer "{name}" is not a raster file: online maps cannot be read.').format(
                    name=layer.name()
                ),
                tr("Save the area as a GeoTIFF first (Export, Save As), where its terms allow it."),
            )
        return layer

    def system(self, parameters: dict[str, object], context: QgsProcessingContext) -> str:
        """Return the name of the system chosen."""
        return self.parameterAsString(parameters, self.SYSTEM, context) or systems.names()[0]


class EngineAlgorithm(ChangeScribeAlgorithm):
    """An algorithm that runs a model, and so needs what the plugin installs."""

    def canExecute(self) -> tuple[bool, str]:
        """Say where to get the packages, where those of no system at all are there."""
        if any(tiers.is_available(tier) for tier in (tiers.COMPACT, tiers.FULL)):
            return True, ""
        try:
            tiers.require()
        except ChangeScribeError as error:
            return False, str(error)
        return True, ""

    def checkParameterValues(
        self, parameters: dict[str, object], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        """Say also what the chosen system needs and is not installed."""
        try:
            self.require_packages(parameters, context)
        except ChangeScribeError as error:
            return False, str(error)
        return super().checkParameterValues(parameters, context)

    def prepareAlgorithm(
        self,
        parameters: dict[str, object],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Look for the packages here too: a model runs its steps without checking their values."""
        with explained(feedback):
            self.require_packages(parameters, context)
        return super().prepareAlgorithm(parameters, context, feedback)

    def require_packages(
        self, parameters: dict[str, object], context: QgsProcessingContext
    ) -> None:
        """Refuse a system whose packages are missing.

        Raises:
            DependencyError: they are.
        """
        info = systems.create(self.system(parameters, context)).info
        tiers.require(tiers.tier_of(info.tier))


@contextlib.contextmanager
def explained(feedback: QgsProcessingFeedback) -> Iterator[None]:
    """Turn the engine's errors into Processing's: message and hint, the details into the log."""
    try:
        yield
    except QgsProcessingException:
        raise
    except ChangeScribeError as error:
        if error.details:
            feedback.pushDebugInfo(error.details)
        raise QgsProcessingException(str(error)) from error
    except Exception as error:
        feedback.pushDebugInfo(traceback.format_exc())
        raise QgsProcessingException(
            tr("ChangeScribe met an unexpected problem ({kind}: {message}).").format(
                kind=type(error).__name__, message=error
            )
        ) from error


class FeedbackProgress:
    """Passes the engine's progress on: percent always, a line of text where the stage changes."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._stage: Optional[str] = None

    def __call__(self, progress: Progress) -> None:
        """Report; called from the thread of the algorithm."""
        self._feedback.setProgress(100.0 * progress.fraction)
        if progress.stage != self._stage:
            self._stage = progress.stage
            several = progress.tiles > 1
            tiles = tr(" ({count} tiles)").format(count=progress.tiles) if several else ""
            self._feedback.setProgressText(progress.stage.capitalize() + tiles)


def is_geopackage(path: str) -> bool:
    """Tell a GeoPackage by its name."""
    return os.path.splitext(path)[1].lower() == ".gpkg"


class _PostProcessor(QgsProcessingLayerPostProcessorInterface):
    """Calls a function with the loaded layer, on the main thread."""

    #: QGIS keeps a bare pointer: without this, Python would delete the object too early.
    alive: list[_PostProcessor] = []  # noqa: RUF012

    def __init__(self, style: Callable[[QgsMapLayer], None]) -> None:
        super().__init__()
        self._style = style
        self.alive.append(self)

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Style the layer; called by QGIS."""
        self.alive.remove(self)
        self._style(layer)
        layer.triggerRepaint()


def load_with(
    context: QgsProcessingContext,
    path: str,
    style: Callable[[QgsMapLayer], None],
    source: Optional[str] = None,
) -> None:
    """Style an output when it is loaded, if it is to be loaded at all.

    Args:
        context: of the run.
        path: as returned by ``parameterAsOutputLayer``.
        style: called on the main thread with the layer.
        source: what to load in place of ``path``, such as one layer of a GeoPackage.
    """
    if not path or not context.willLoadLayerOnCompletion(path):
        return
    layers = context.layersToLoadOnCompletion()
    details = layers.pop(path)
    details.setPostProcessor(_PostProcessor(style))
    layers[source or path] = details
    context.setLayersToLoadOnCompletion(layers)
