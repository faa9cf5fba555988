# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line does beyond calling the pipeline: reading, listing, generating."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

from .. import systems
from ..errors import ChangeScribeError, DependencyError
from ..weights.store import DAMAGED, WeightsStore
from .worker_process import find_python

#: To import PyTorch from a slow disk.
_TORCH_S = 120


_ASK_TORCH = """
import torch
card = torch.cuda.is_available()
place = f"CUDA ({torch.cuda.get_device_name(0)})" if card else "CPU: it finds no CUDA device"
print(torch.__version__, "on", place)
"""


def doctor() -> list[tuple[str, str]]:
    """Return what is installed, as (name, value) rows."""
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
            rows.append((package, "not installed"))
    try:
        import onnxruntime

        rows.append(("onnxruntime providers", ", ".join(onnxruntime.get_available_providers())))
    except ImportError as error:
        rows.append(("onnxruntime providers", f"none: {error}"))
    return rows


def doctor_systems() -> list[tuple[str, str]]:
    """Return where each system runs and which files it lacks, as (name, value) rows."""
    store = WeightsStore()
    rows = []
    for name in systems.names():
        try:
            info = systems.create(name).info
        except ChangeScribeError as error:
            rows.append((f"system {name}", f"cannot be used: {error.message}"))
            continue
        compact = info.tier == "compact"
        where = "this process (onnxruntime)" if compact else "a worker process (PyTorch)"
        lacking = [
            f"{s.entry.file} ({s.entry.size_text}{', damaged' if s.state == DAMAGED else ''})"
            for s in store.missing(info.weights)
        ]
        weights = f"lacks {', '.join(lacking)}" if lacking else "has all its weights"
        rows.append((f"system {name}", f"runs in {where}; {weights}"))
    return rows


def doctor_worker() -> list[tuple[str, str]]:
    """Return the Python of the worker process, and what PyTorch computes on there.

    Takes seconds: PyTorch is imported, in a process of its own.
    """
    try:
        python = find_python()
    except DependencyError as error:
        return [("Python of the worker process", f"none: {error.message}")]
    try:
        asked = subprocess.run(  # noqa: S603 - the user named the program
            [python, "-c", _ASK_TORCH],
            capture_output=True,
            text=True,
            check=True,
            timeout=_TORCH_S,
            stdin=subprocess.DEVNULL,
        )
        found = asked.stdout.strip()
    except subprocess.CalledProcessError as error:
        found = f"none: {(error.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    except (OSError, subprocess.TimeoutExpired) as error:
        found = f"none: {error}"
    return [("Python of the worker process", python), ("PyTorch there", found)]
