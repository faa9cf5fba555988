# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed, where each system runs and which files it lacks."""

from __future__ import annotations

import platform
import subprocess  # noqa: S404  # nosec B404
import sys
from importlib.metadata import PackageNotFoundError, version

from .. import systems
from ..errors import ChangeScribeError, DependencyError
from ..weights.store import DAMAGED, WeightsStore
from .texts import HostsTexts
from .worker_process import find_python

#: Seconds to import PyTorch from a slow disk.
_TORCH_S = 120
_PROBE = """
import torch
card = torch.cuda.is_available()
place = f"CUDA ({torch.cuda.get_device_name(0)})" if card else "CPU: it finds no CUDA device"
print(torch.__version__, "on", place)
"""


def doctor() -> list[tuple[str, str]]:
    """Return versions of programs and packages, as (name, value) rows."""
    from osgeo import gdal

    rows = [
        ("python", sys.version.split()[0]),
        ("platform", platform.platform()),
        ("GDAL", gdal.__version__),
    ]
    for package in ("numpy", "onnxruntime", "onnxruntime-gpu", "torch", "transformers", "sam2"):
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:
            rows.append((package, HostsTexts.not_installed()))
    return [*rows, (HostsTexts.providers(), onnxruntime_providers())]


def onnxruntime_providers() -> str:
    """Return the names of onnxruntime's providers, or why there are none."""
    try:
        import onnxruntime
    except ImportError as error:
        return HostsTexts.none(reason=error)
    return ", ".join(onnxruntime.get_available_providers())


def doctor_systems() -> list[tuple[str, str]]:
    """Return where each system runs and which files it lacks, as (name, value) rows."""
    store = WeightsStore()
    rows: list[tuple[str, str]] = []
    for name in systems.names():
        try:
            info = systems.create(name).info
        except ChangeScribeError as error:
            rows.append((HostsTexts.system(name=name), HostsTexts.unusable(why=error.message)))
            continue
        lacking = [
            (HostsTexts.damaged if status.state == DAMAGED else HostsTexts.absent)(
                file=status.entry.file, size=status.entry.size_text
            )
            for status in store.missing(info.weights)
        ]
        weights = HostsTexts.complete()
        if lacking:
            weights = HostsTexts.lacks(files=", ".join(lacking))
        runs = HostsTexts.runs_here if info.tier == "compact" else HostsTexts.runs_in_worker
        rows.append((HostsTexts.system(name=name), runs(weights=weights)))
    return rows


def doctor_worker() -> list[tuple[str, str]]:
    """Return the worker's Python and the device of its PyTorch; takes seconds to import it."""
    try:
        python = find_python()
    except DependencyError as error:
        return [(HostsTexts.worker_python(), HostsTexts.none(reason=error.message))]
    try:
        # The user chose this Python; no shell is involved.
        probe = subprocess.run(  # noqa: S603  # nosec B603
            [python, "-c", _PROBE],
            capture_output=True,
            text=True,
            check=True,
            timeout=_TORCH_S,
            stdin=subprocess.DEVNULL,
        )
        found = probe.stdout.strip()
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [HostsTexts.no_reason()])[-1]
        found = HostsTexts.none(reason=reason)
    except (OSError, subprocess.TimeoutExpired) as error:
        found = HostsTexts.none(reason=error)
    return [(HostsTexts.worker_python(), python), (HostsTexts.torch_there(), found)]
