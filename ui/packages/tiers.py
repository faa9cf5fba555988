# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that the plugin needs beyond QGIS, and where they are installed.

onnxruntime, which runs the bundled model, is installed in the user's cache, in a folder for this
plugin and QGIS's Python version, so that it survives updates and leaves other versions
of QGIS alone. The folder comes last on ``sys.path``: QGIS's own packages take precedence.

PyTorch is installed in a virtual environment beside it, for the worker; never on QGIS's path.
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

from ...engine.errors import DependencyError
from ...engine.hosts import doctor
from ...engine.hosts.routing import IN_PROCESS
from ...engine.hosts.worker_process import PYTHON_VARIABLE, find_python
from ..settings import Settings
from ..translation import tr

#: Marks a complete environment; lists its requirements, one per line.
MARKER = "changescribe-packages.txt"


@dataclass(frozen=True)
class Tier:
    """A set of packages installed together in one folder, which has its name.

    Attributes:
        modules: modules that must be importable.
        requirements: requirements for pip, as wheels; without their dependencies if the tier is a
            plain folder.
        download_mb, disk_mb: size of the download, and on disk, in MB.
        environment: whether it is a virtual environment for the worker process.
        built: requirements that may be built from source, after the others and without their
            dependencies.
    """

    name: str
    modules: tuple[str, ...]
    requirements: tuple[str, ...]
    download_mb: int
    disk_mb: int
    title: str = ""
    environment: bool = False
    built: tuple[str, ...] = ()


#: onnxruntime only imports numpy, which QGIS has. Wheels from 1.19 on work with numpy 1 and 2, and
#: 1.19 still supports Python 3.9.
COMPACT = Tier("compact", ("onnxruntime",), ("onnxruntime>=1.19,<2",), 17, 70, "onnxruntime")

#: PyTorch's wheels for Linux contain the CUDA libraries.
_FULL_MB = (3000, 6000) if sys.platform.startswith("linux") else (600, 2000)
FULL = Tier(
    "full",
    ("torch", "torchvision", "transformers", "open_clip", "sam2"),
    (
        # For building the packages below; torch does not allow 82.
        "setuptools>=64,<82",
        "wheel",
        "torch>=2.12,<3",
        "torchvision>=0.27,<1",
        "transformers>=5.23,<6",
        "open_clip_torch>=3.3,<4",
        "timm>=1.0.31,<2",
        "accelerate>=1.15,<2",
        "gguf>=0.19,<1",
        "jinja2>=3.1,<4",
        "psutil>=7,<8",
        "numpy>=1.26,<3",
        "onnx>=1.21,<2",
        "onnxruntime>=1.19,<2",
        # Dependencies of the packages below.
        "packaging",
        "pillow",
        "portalocker",
        "pyyaml",
        "tqdm",
    ),
    *_FULL_MB,
    title="PyTorch",
    environment=True,
    built=(
        "antlr4-python3-runtime==4.9.*",
        "omegaconf>=2.3,<2.4",
        "hydra-core>=1.3.2,<1.4",
        "iopath>=0.1.10,<0.2",
        "sam2>=1.1,<2",
    ),
)


def tier_of(system_tier: str) -> Tier:
    """Return the tier for a ``SystemInfo.tier``, ``"compact"`` or ``"full"``."""
    return FULL if system_tier == FULL.name else COMPACT


def abi_tag() -> str:
    """Return the Python version and platform of compiled packages: "py311-linux-x86_64"."""
    version = f"py{sys.version_info.major}{sys.version_info.minor}{getattr(sys, 'abiflags', '')}"
    return f"{version}-{sysconfig.get_platform()}"


def folder(tier: Tier = COMPACT) -> str:
    """Return the per-user folder of a tier, which need not exist.

    It is in the generic cache location, since that of the application differs between QGIS and
    ``qgis_process``.
    """
    root = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericCacheLocation)
    return os.path.join(root, "changescribe", abi_tag(), tier.name)


def worker_python() -> str:
    """Return the Python of the environment for the worker process, or an empty text.

    Incomplete environments, and those of versions of the plugin with fewer requirements, are
    ignored.
    """
    environment = folder(FULL)
    path = environment_python(environment)
    try:
        with open(os.path.join(environment, MARKER), encoding="utf-8") as stream:
            present = set(stream.read().splitlines())
    except OSError:
        return ""
    complete = present.issuperset((*FULL.requirements, *FULL.built))
    return path if complete and os.path.isfile(path) else ""


def environment_python(environment: str) -> str:
    """Return the Python executable of a virtual environment."""
    parts = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return os.path.join(environment, *parts)


def activate(tier: Tier = COMPACT) -> bool:
    """Append the folder of a tier to ``sys.path``, if it exists; return whether it is there."""
    path = folder(tier)
    if not os.path.isdir(path):
        return False
    if path not in sys.path:
        sys.path.append(path)
        importlib.invalidate_caches()
    return True


def deactivate(tier: Tier = COMPACT) -> None:
    """Remove the folder of a tier from ``sys.path``."""
    path = folder(tier)
    while path in sys.path:
        sys.path.remove(path)


def missing(tier: Tier = COMPACT) -> tuple[str, ...]:
    """Return the missing modules of a tier, without importing any.

    For an environment, these are all or none, depending on whether the worker process has a Python.
    None are missing if PyTorch runs in the QGIS process: the systems then report what they lack.
    """
    if tier.environment:
        return () if Settings().host == IN_PROCESS or _has_worker() else tier.modules
    activate(tier)
    return tuple(name for name in tier.modules if not _importable(name))


def _has_worker() -> bool:
    # An executable chosen by the user is not checked here; a run reports its problems.
    if Settings().worker_python or os.environ.get(PYTHON_VARIABLE):
        return True
    try:
        return bool(find_python(installed=worker_python()))
    except DependencyError:
        return False


def is_available(tier: Tier = COMPACT) -> bool:
    """Whether all modules of a tier can be imported."""
    return not missing(tier)


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        # ValueError: the module is blocked or replaced in sys.modules.
        return False


def has_cuda(tier: Tier = COMPACT) -> bool:
    """Whether the installed onnxruntime supports CUDA, without importing it."""
    activate(tier)
    spec = importlib.util.find_spec("onnxruntime") if _importable("onnxruntime") else None
    if spec is None or not spec.origin:
        return False
    return bool(
        glob.glob(
            os.path.join(
                glob.escape(os.path.dirname(spec.origin)), "capi", "*onnxruntime_providers_cuda.*"
            )
        )
    )


def facts() -> tuple[tuple[str, str], ...]:
    """Return label and value pairs about this installation, for support."""
    import numpy as np
    from osgeo import gdal
    from qgis.core import Qgis

    rows = [
        ("QGIS", f"{Qgis.QGIS_VERSION}, Qt {QT_VERSION_STR}"),
        (tr("Operating system"), platform.platform()),
        ("Python", f"{platform.python_version()} ({sys.prefix})"),
        ("numpy", f"{np.__version__} ({os.path.dirname(np.__file__)})"),
        ("GDAL", f"{gdal.__version__}, {_array_bridge()}"),
    ]
    activate(COMPACT)
    rows.append(("onnxruntime", _onnxruntime()))
    rows.append((tr("onnxruntime providers"), doctor.onnxruntime_providers()))
    rows.append((tr("Plugin packages"), folder(COMPACT)))
    rows.append(("PyTorch", worker_python() or tr("not installed by the plugin")))
    return (*rows, *doctor.doctor_systems())


def _array_bridge() -> str:
    """Return whether GDAL's numpy bindings work, which a second numpy breaks first."""
    try:
        from osgeo import gdal_array

        return tr("numpy bindings work") if gdal_array.numpy else ""
    except ImportError as error:
        return tr("numpy bindings do not work ({reason})").format(reason=error)


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
