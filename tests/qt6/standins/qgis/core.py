# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plugin uses of ``qgis.core``.

Classes that belong to Qt's side (settings, project, application, tasks) are real Qt classes. The
others take any call of a method and return an empty :class:`Thing`, which no Qt function accepts.
Enums are listed, scoped as in QGIS 4: an enum without its scope is an AttributeError.
"""

from __future__ import annotations

import enum

from PyQt6.QtCore import QObject, QSettings, pyqtSignal
from PyQt6.QtGui import QIcon
from PyQt6.QtWidgets import QApplication


class _ThingType(type):
    def __getattr__(cls, name):
        if name[0].isupper() or name[0] == "_":
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
        return Thing()


class Thing(metaclass=_ThingType):
    """Takes any call; empty and false."""

    def __init__(self, *_args, **_options):
        pass

    def __getattr__(self, name):
        if name[0].isupper() or name[0] == "_":
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return Thing()

    def __call__(self, *_args, **_options):
        return Thing()

    def __iter__(self):
        return iter(())

    def __bool__(self):
        return False


def _class(name, base=Thing, **enums):
    """Return a class with enums; an underscore in front of a name makes flags."""
    members = {
        enum_name.lstrip("_"): (enum.Flag if enum_name[0] == "_" else enum.Enum)(
            enum_name.lstrip("_"), names
        )
        for enum_name, names in enums.items()
    }
    return type(name, (base,), {"__module__": __name__, **members})


Qgis = _class(
    "Qgis",
    AreaUnit="SquareMeters",
    GeometryType="Point Line Polygon",
    LabelMultiLineAlignment="Left",
    LabelPlacement="Horizontal OutsidePolygons",
    _LabelingFlag="UsePartialCandidates",
    _LayerFilter="RasterLayer PolygonLayer",
    _MapSettingsFlag="DrawLabeling",
    MessageLevel="Info Warning Critical Success",
    RasterTemporalMode="FixedTemporalRange",
    RenderUnit="Millimeters Points Pixels Percentage",
    TransformDirection="Forward Reverse",
)
Qgis.QGIS_VERSION = "4.0.0-stand-in"
QgsAggregateCalculator = _class("QgsAggregateCalculator", Aggregate="Sum")
QgsFeatureSink = _class("QgsFeatureSink", _Flag="FastInsert")
QgsProcessing = _class("QgsProcessing", SourceType="TypeVectorPolygon")
QgsTextBackgroundSettings = _class(
    "QgsTextBackgroundSettings", ShapeType="ShapeRectangle", SizeType="SizeBuffer"
)
QgsWkbTypes = _class("QgsWkbTypes", Type="Polygon MultiPolygon")
QgsCallout = _class("QgsCallout", AnchorPoint="PointOnExterior")
QgsFeatureRequest = _class("QgsFeatureRequest", _Flag="NoGeometry")
QgsFeatureRequest.OrderBy = QgsFeatureRequest.OrderByClause = Thing
QgsPalLayerSettings = _class("QgsPalLayerSettings", Property="Priority")
QgsSpatialIndex = _class("QgsSpatialIndex", _Flag="FlagStoreFeatureGeometries")
QgsPalettedRasterRenderer = _class("QgsPalettedRasterRenderer")
QgsPalettedRasterRenderer.Class = Thing
QgsRuleBasedLabeling = _class("QgsRuleBasedLabeling")
QgsRuleBasedLabeling.Rule = Thing


class QgsExpression(Thing):
    @staticmethod
    def quotedString(text):
        return "'" + text.replace("'", "''") + "'"


class QgsProcessingParameterDefinition(_class("_Definition", _Flag="FlagAdvanced")):
    def __init__(self, name, *_args, **_options):
        self._name, self._flags = name, self.Flag(0)

    def name(self):
        return self._name

    def flags(self):
        return self._flags

    def setFlags(self, flags):
        self._flags = self.Flag(flags)


QgsProcessingParameterNumber = _class(
    "QgsProcessingParameterNumber", QgsProcessingParameterDefinition, Type="Integer Double"
)


class QgsProcessingAlgorithm(Thing):
    def __init__(self):
        self.parameters = []

    def addParameter(self, parameter):
        self.parameters.append(parameter)
        return True

    def checkParameterValues(self, parameters, context):
        return True, ""

    def provider(self):
        return None


class QgsProcessingProvider(Thing):
    def __init__(self):
        self.algorithms = []

    def addAlgorithm(self, algorithm):
        algorithm.initAlgorithm()
        self.algorithms.append(algorithm)
        return True


class _Registry:
    def addProvider(self, provider):
        provider.loadAlgorithms()
        return True

    def removeProvider(self, provider):
        return True


class QgsTask(QObject):
    Flag = enum.Flag("Flag", "CanCancel")

    def __init__(self, description="", flags=Flag.CanCancel):
        super().__init__()
        assert isinstance(flags, self.Flag)


class _TaskManager:
    def addTask(self, task):
        task.finished(task.run())


class QgsApplication(QApplication):
    @staticmethod
    def authManager():
        return Thing()

    @staticmethod
    def getThemeIcon(name):
        return QIcon()

    @staticmethod
    def processingRegistry():
        return _Registry()

    @staticmethod
    def taskManager():
        return _TaskManager()


class QgsSettings(QSettings):
    pass


class QgsProject(QObject):
    layersAdded = pyqtSignal(list)
    layersWillBeRemoved = pyqtSignal(list)
    readProject = pyqtSignal(object)
    cleared = pyqtSignal()
    _instance = None

    @classmethod
    def instance(cls):
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def homePath(self):
        return ""

    def fileName(self):
        return ""

    def baseName(self):
        return ""

    def mapLayers(self):
        return {}

    def mapLayer(self, layer_id):
        return None

    def readEntry(self, scope, key):
        return "", True

    def writeEntry(self, scope, key, value):
        return True

    def removeMapLayers(self, layers):
        pass

    def layerTreeRoot(self):
        return Thing()

    def transformContext(self):
        return Thing()


class QgsCsException(Exception):
    pass


class QgsProcessingException(Exception):
    pass


def __getattr__(name):
    """Return any other class of QGIS, with its own identity for ``isinstance``."""
    if not name.startswith("Qgs"):
        raise AttributeError(name)
    is_parameter = name.startswith("QgsProcessingParameter")
    made = _class(name, QgsProcessingParameterDefinition if is_parameter else Thing)
    globals()[name] = made
    return made
