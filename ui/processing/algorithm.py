# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared by the algorithms: errors, progress, sources, and styled output layers.

``prepareAlgorithm`` runs on the main thread and reads what is needed from the layers as texts and
numbers. ``processAlgorithm`` runs in a background thread and does not touch the project or its
layers.
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
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsRasterLayer,
)
from qgis.PyQt.QtGui import QIcon

from ...engine import systems
from ...engine.errors import ChangeScribeError
from ...engine.raster.common_grid import MAX_SIZE, MIN_SIZE
from ...engine.request import NODATA_MODES, Progress, Stage
from ..map.layer_source import not_a_file, source_path
from ..packages import tiers
from ..packages.install import require
from ..translation import stage_text, tr

HELP_URL = "https://github.com/changescribe/changescribe#use"


class ChangeScribeAlgorithm(QgsProcessingAlgorithm):
    """Base class of the algorithms; QGIS creates a new object for each run."""

    BEFORE = "BEFORE"
    AFTER = "AFTER"
    SYSTEM = "SYSTEM"
    DEVICE = "DEVICE"
    PIXEL_SIZE = "PIXEL_SIZE"
    NODATA = "NODATA"
    OUTPUT = "OUTPUT"
    CAPTION = "CAPTION"

    def createInstance(self) -> QgsProcessingAlgorithm:
        """Return a new object for a run; called by QGIS."""
        return type(self)()

    def name(self) -> str:
        """Return the id within the provider, such as "detectchanges"."""
        return type(self).__name__.lower()

    def icon(self) -> QIcon:
        """Return the provider's icon."""
        return self.provider().icon() if self.provider() is not None else QIcon()

    def helpUrl(self) -> str:
        """Return the page opened by the Help button."""
        return HELP_URL

    def add_pair(self) -> None:
        """Add the two raster layers."""
        self.addParameter(QgsProcessingParameterRasterLayer(self.BEFORE, tr("Before")))
        self.addParameter(QgsProcessingParameterRasterLayer(self.AFTER, tr("After")))

    def add_advanced(self, parameter: QgsProcessingParameterDefinition) -> None:
        """Add an advanced parameter."""
        advanced = QgsProcessingParameterDefinition.Flag.FlagAdvanced
        parameter.setFlags(parameter.flags() | advanced)
        self.addParameter(parameter)

    def add_pixel_size(self) -> None:
        """Add the pixel size, for rasters that do not define it."""
        kind = QgsProcessingParameterNumber.Type.Double
        size = QgsProcessingParameterNumber(
            self.PIXEL_SIZE,
            tr("Pixel size in metres (if the before layer has no CRS)"),
            kind,
            None,
            True,
            MIN_SIZE,
            MAX_SIZE,
        )
        size.setMetadata({"widget_wrapper": {"decimals": 3}})
        self.add_advanced(size)

    def add_nodata(self) -> None:
        """Add the way in which invalid pixels are found."""
        self.add_advanced(choice(self.NODATA, tr("Invalid pixels"), list(NODATA_MODES)))

    def number(
        self, parameters: dict[str, object], name: str, context: QgsProcessingContext
    ) -> Optional[float]:
        """Return an optional number."""
        if parameters.get(name) in (None, ""):
            return None
        return self.parameterAsDouble(parameters, name, context)

    def take(self, parameters: dict[str, object], context: QgsProcessingContext) -> None:
        """Read the layers and parameters, on the main thread.

        Raises:
            ChangeScribeError: they cannot be used.
            QgsProcessingException: a layer is invalid.
        """

    def checkParameterValues(
        self, parameters: dict[str, object], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        """Check the parameters before a run; the dialog shows the message, scripts raise it."""
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
        """Read the layers, which belong to the main thread."""
        with explained(feedback):
            self.take(parameters, context)
        return True

    def raster(
        self, parameters: dict[str, object], name: str, context: QgsProcessingContext
    ) -> QgsRasterLayer:
        """Return a raster layer that GDAL can open.

        Raises:
            QgsProcessingException: the raster is missing or invalid.
            InputError: it is an online map or a database raster.
        """
        layer = self.parameterAsRasterLayer(parameters, name, context)
        if layer is None or not layer.isValid():
            raise QgsProcessingException(self.invalidRasterError(parameters, name))
        if source_path(layer) is None:
            raise not_a_file(layer)
        return layer

    def system(self, parameters: dict[str, object], context: QgsProcessingContext) -> str:
        """Return the name of the system chosen."""
        return self.parameterAsString(parameters, self.SYSTEM, context) or systems.names()[0]


class EngineAlgorithm(ChangeScribeAlgorithm):
    """Base class of the algorithms that run a model and need its packages."""

    def canExecute(self) -> tuple[bool, str]:
        """Explain how to install the packages, if no system has them."""
        if tiers.is_available(tiers.FULL):
            return True, ""
        try:
            require(tiers.COMPACT)
        except ChangeScribeError as error:
            return False, str(error)
        return True, ""

    def checkParameterValues(
        self, parameters: dict[str, object], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        """Check also the packages of the chosen system."""
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
        """Check the packages here too, since models do not check the values of their steps."""
        with explained(feedback):
            self.require_packages(parameters, context)
        return super().prepareAlgorithm(parameters, context, feedback)

    def require_packages(
        self, parameters: dict[str, object], context: QgsProcessingContext
    ) -> None:
        """Raise a DependencyError if packages of the chosen system are missing."""
        info = systems.create(self.system(parameters, context)).info
        require(tiers.tier_of(info.tier))


@contextlib.contextmanager
def explained(feedback: QgsProcessingFeedback) -> Iterator[None]:
    """Raise errors of the engine as errors of Processing, with the details in the log."""
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
            tr("An unexpected error occurred ({kind}: {message}).").format(
                kind=type(error).__name__, message=error
            )
        ) from error


class FeedbackProgress:
    """Reports the engine's progress to Processing, with a line of text for each stage."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._stage: Optional[Stage] = None

    def __call__(self, progress: Progress) -> None:
        """Report the progress; called in the thread of the algorithm."""
        self._feedback.setProgress(100.0 * progress.fraction)
        if progress.stage != self._stage:
            self._stage = progress.stage
            text = stage_text(progress.stage)
            if progress.tiles > 1:
                text = tr("{stage} ({count} tiles)").format(stage=text, count=progress.tiles)
            self._feedback.setProgressText(text)


def is_geopackage(path: str) -> bool:
    """Whether a path is that of a GeoPackage."""
    return os.path.splitext(path)[1].lower() == ".gpkg"


class _PostProcessor(QgsProcessingLayerPostProcessorInterface):
    """Calls a function with the loaded layer on the main thread."""

    #: QGIS only keeps a pointer; this keeps Python from deleting the object.
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
    """Style an output on the main thread when it is loaded, if it is loaded.

    ``source`` is loaded instead of ``path``, such as one layer of a GeoPackage.
    """
    if not path or not context.willLoadLayerOnCompletion(path):
        return
    layers = context.layersToLoadOnCompletion()
    details = layers.pop(path)
    details.setPostProcessor(_PostProcessor(style))
    layers[source or path] = details
    context.setLayersToLoadOnCompletion(layers)


def choice(name: str, label: str, options: list[str]) -> QgsProcessingParameterEnum:
    """Return a choice whose values are the texts themselves, for ``qgis_process``."""
    return QgsProcessingParameterEnum(
        name, label, options, defaultValue=options[0], usesStaticStrings=True
    )
