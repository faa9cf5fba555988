# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plugin needs beyond QGIS, where it is kept, and whether it is there.

QGIS ships Python, numpy and GDAL, but no onnxruntime, which runs the bundled
model. It is installed into a folder of the user's cache that belongs to this
plugin and to QGIS's Python version: an update of the plugin does not delete it,
and another QGIS with another Python does not trip over it. The folder comes
last on ``sys.path``, so that QGIS's own packages always win.
"""

from __future__ import annotations

import glob
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
import sysconfig
from dataclasses import dataclass

from qgis.PyQt.QtCore import QT_VERSION_STR, QStandardPaths

from ..engine.errors import DependencyError
from .translation import tr


@dataclass(frozen=True)
class Tier:
    """A set of packages that is installed together, in a folder of its own.

    Attributes:
        name: name of the folder.
        modules: modules that must be importable.
        requirements: what pip is asked for, without their own dependencies.
        download_mb: size of the download in megabytes, for the user.
        disk_mb: size on disk in megabytes.
    """

    name: str
    modules: tuple[str, ...]
    requirements: tuple[str, ...]
    download_mb: int
    disk_mb: int


#: onnxruntime imports nothing but numpy, so numpy stays QGIS's and nothing else is fetched.
#: From 1.19 on one wheel works with numpy 1 and numpy 2, and 1.19 still has Python 3.9.
COMPACT = Tier("compact", ("onnxruntime",), ("onnxruntime>=1.19,<2",), 24, 70)


def abi_tag() -> str:
    """Return what a compiled package depends on, such as "py311-linux-x86_64"."""
    version = f"py{sys.version_info.major}{sys.version_info.minor}{getattr(sys, 'abiflags', '')}"
    return f"{version}-{sysconfig.get_platform()}"


def folder(tier: Tier = COMPACT) -> str:
    """Return the per-user folder of a tier; it need not exist.

    The generic cache location is used because the application's own differs
    between the QGIS desktop and ``qgis_process``.
    """
    root = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericCacheLocation)
    return os.path.join(root, "changescribe", abi_tag(), tier.name)


def worker_python() -> str:
    """Return the Python of the environment for the worker process; empty where there is none.

    It has a folder of its own beside those of the tiers: its Python may be another than QGIS's,
    and what is in it never comes onto QGIS's path.
    """
    parts = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    path = os.path.join(os.path.dirname(folder()), "full", *parts)
    return path if os.path.isfile(path) else ""


def activate(tier: Tier = COMPACT) -> bool:
    """Put the tier's folder at the end of ``sys.path`` where it exists.

    Returns:
        Whether the folder is on the path now.
    """
    path = folder(tier)
    if not os.path.isdir(path):
        return False
    if path not in sys.path:
        sys.path.append(path)
        importlib.invalidate_caches()
    return True


def deactivate(tier: Tier = COMPACT) -> None:
    """Take the tier's folder off ``sys.path``, when the plugin is unloaded."""
    path = folder(tier)
    while path in sys.path:
        sys.path.remove(path)


def missing(tier: Tier = COMPACT) -> tuple[str, ...]:
    """Return the modules of a tier that cannot be imported, without importing any."""
    activate(tier)
    return tuple(name for name in tier.modules if not _importable(name))


def is_available(tier: Tier = COMPACT) -> bool:
    """Tell whether all modules of a tier can be imported."""
    return not missing(tier)


def require(tier: Tier = COMPACT) -> None:
    """Make a tier importable.

    Raises:
        DependencyError: it is not installed.
    """
    names = missing(tier)
    if names:
        raise DependencyError(
            tr("QGIS's Python does not have {packages}, which the bundled model needs.").format(
                packages=", ".join(names)
            ),
            tr("Open the ChangeScribe panel and press Install."),
        )


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        # ValueError: a module that something has blocked or replaced in sys.modules.
        return False


def has_cuda(tier: Tier = COMPACT) -> bool:
    """Tell whether the onnxruntime found is one that can use a graphics card; not imported."""
    activate(tier)
    spec = importlib.util.find_spec("onnxruntime") if _importable("onnxruntime") else None
    if spec is None or not spec.origin:
        return False
    return bool(glob.glob(os.path.join(
        glob.escape(os.path.dirname(spec.origin)), "capi", "*onnxruntime_providers_cuda.*")))


def facts() -> tuple[tuple[str, str], ...]:
    """Return label and value pairs on what runs here, for support and the "why?" link."""
    import numpy as np
    from osgeo import gdal
    from qgis.core import Qgis

    rows = [
        (tr("QGIS"), f"{Qgis.QGIS_VERSION}, Qt {QT_VERSION_STR}"),
        (tr("System"), platform.platform()),
        (tr("Python"), f"{platform.python_version()} ({sys.prefix})"),
        (tr("numpy"), f"{np.__version__} ({os.path.dirname(np.__file__)})"),
        (tr("GDAL"), f"{gdal.__version__}, {_array_bridge()}"),
    ]
    activate(COMPACT)
    rows.append((tr("onnxruntime"), _onnxruntime()))
    rows.append((tr("Processors"), _processors()))
    rows.append((tr("Plugin's packages"), folder(COMPACT)))
    return tuple(rows)


def _array_bridge() -> str:
    """Say whether GDAL's bindings to numpy work: the first thing that a foreign numpy breaks."""
    try:
        from osgeo import gdal_array

        return tr("arrays work") if gdal_array.numpy else ""
    except ImportError as error:
        return tr("arrays do not work ({reason})").format(reason=error)


def _processors() -> str:
    """Say what onnxruntime can run on; the engine asks it, since nothing in ``ui`` imports it."""
    from ..engine.commands import doctor

    return dict(doctor()).get("onnxruntime providers", tr("not known"))


def _onnxruntime() -> str:
    if not is_available(COMPACT):
        return tr("not installed")
    spec = importlib.util.find_spec("onnxruntime")
    place = os.path.dirname(spec.origin) if spec is not None and spec.origin else ""
    for distribution in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"):
        try:
            return f"{distribution} {importlib.metadata.version(distribution)} ({place})"
        except importlib.metadata.PackageNotFoundError:
            continue
    return place
