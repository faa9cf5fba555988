# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plugin needs beyond QGIS, where it is kept, and whether it is there.

QGIS ships Python, numpy and GDAL, but no onnxruntime, which runs the bundled
model. It is installed into a folder of the user's cache that belongs to this
plugin and to QGIS's Python version: an update of the plugin does not delete it,
and another QGIS with another Python does not trip over it. The folder comes
last on ``sys.path``, so that QGIS's own packages always win.

PyTorch and what goes with it are in a virtual environment beside that folder, for
the worker process; nothing of it comes onto QGIS's path.
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
from .interpreter import Runtime, candidates

#: Written into an environment when all else is in it: what it was made of, a line each.
MARKER = "changescribe-packages.txt"


@dataclass(frozen=True)
class Tier:
    """A set of packages that is installed together, in a folder of its own.

    Attributes:
        name: name of the folder.
        modules: modules that must be importable.
        requirements: what pip is asked for, as wheels; without their own dependencies where the
            tier is a plain folder.
        download_mb: size of the download in megabytes, for the user.
        disk_mb: size on disk in megabytes.
        title: what it is called in messages.
        environment: it is a virtual environment for the worker process, not a folder for QGIS.
        built: packages that may be built where they are offered as source only. Installed after
            the others, which they may need for it, and without their own dependencies.
    """

    name: str
    modules: tuple[str, ...]
    requirements: tuple[str, ...]
    download_mb: int
    disk_mb: int
    title: str = ""
    environment: bool = False
    built: tuple[str, ...] = ()


#: onnxruntime imports nothing but numpy, so numpy stays QGIS's and nothing else is fetched.
#: From 1.19 on one wheel works with numpy 1 and numpy 2, and 1.19 still has Python 3.9.
COMPACT = Tier("compact", ("onnxruntime",), ("onnxruntime>=1.19,<2",), 17, 70, "onnxruntime")

#: PyTorch's wheels for Linux bring CUDA's libraries; elsewhere they are small.
_FULL_MB = (3000, 6000) if sys.platform.startswith("linux") else (600, 2000)
FULL = Tier(
    "full",
    ("torch", "torchvision", "transformers", "open_clip", "sam2"),
    (
        # To build the packages below with; torch refuses 82.
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
        # What the packages below need.
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
    """Return what systems need whose ``SystemInfo.tier`` is ``"compact"`` or ``"full"``."""
    return FULL if system_tier == FULL.name else COMPACT


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

    An environment that is not whole, or was made for a version of the plugin that needed less,
    does not count.
    """
    environment = folder(FULL)
    path = environment_python(environment)
    try:
        with open(os.path.join(environment, MARKER), encoding="utf-8") as stream:
            present = set(stream.read().splitlines())
    except OSError:
        return ""
    whole = present.issuperset((*FULL.requirements, *FULL.built))
    return path if whole and os.path.isfile(path) else ""


def environment_python(environment: str) -> str:
    """Return the Python program of a virtual environment."""
    parts = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return os.path.join(environment, *parts)


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
    """Return the modules of a tier that cannot be imported, without importing any.

    Of a tier that is an environment: all or none, whether or not there is a Python for the worker.
    In QGIS's own process the systems say for themselves what they lack: it is not installed here.
    """
    if tier.environment:
        return () if Settings().host == IN_PROCESS or _has_worker() else tier.modules
    activate(tier)
    return tuple(name for name in tier.modules if not _importable(name))


def _has_worker() -> bool:
    # A program that the user names is taken as it is: the run says what is wrong with it.
    if Settings().worker_python or os.environ.get(PYTHON_VARIABLE):
        return True
    try:
        return bool(find_python(installed=worker_python()))
    except DependencyError:
        return False


def is_available(tier: Tier = COMPACT) -> bool:
    """Tell whether all modules of a tier can be imported."""
    return not missing(tier)


def require(tier: Tier = COMPACT) -> None:
    """Make a tier importable.

    Raises:
        DependencyError: it is not installed.
    """
    names = missing(tier)
    if not names:
        return
    if tier.environment:
        raise DependencyError(
            tr("This system needs {title} and its packages, which are not installed.").format(
                title=tier.title
            ),
            tr("Open the ChangeScribe panel, choose the system there and press Install."),
        )
    raise DependencyError(
        tr("QGIS's Python does not have {packages}, which the bundled model needs.").format(
            packages=", ".join(names)
        ),
        tr("Open the ChangeScribe panel and press Install, or run: {command}").format(
            command=install_command(tier)
        ),
    )


def install_command(tier: Tier = COMPACT) -> str:
    """Return what installs a tier from a terminal, where there is no panel (qgis_process)."""
    found = candidates(Runtime.current())
    python = found[0] if found else "python"
    wanted = " ".join(f'"{requirement}"' for requirement in tier.requirements)
    return f'"{python}" -m pip install --no-deps --target "{folder(tier)}" {wanted}'


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
    return bool(
        glob.glob(
            os.path.join(
                glob.escape(os.path.dirname(spec.origin)), "capi", "*onnxruntime_providers_cuda.*"
            )
        )
    )


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
    rows.append((tr("PyTorch"), worker_python() or tr("not installed by the plugin")))
    return (*rows, *doctor.doctor_systems())


def _array_bridge() -> str:
    """Say whether GDAL's bindings to numpy work: the first thing that a foreign numpy breaks."""
    try:
        from osgeo import gdal_array

        return tr("arrays work") if gdal_array.numpy else ""
    except ImportError as error:
        return tr("arrays do not work ({reason})").format(reason=error)


def _processors() -> str:
    """Say what onnxruntime can run on; the engine asks it, since nothing in ``ui`` imports it."""
    return dict(doctor.doctor()).get("onnxruntime providers", tr("not known"))


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
