# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line does beyond calling the pipeline: reading, listing, generating."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import systems
from .errors import ChangeScribeError, DependencyError, InputError, missing_package
from .weights.store import DAMAGED, WeightsStore
from .worker_process import find_python

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from .request import ChangeResult

#: Of the object that ``--json`` prints; raised when a key changes its meaning.
SCHEMA_VERSION = 1
BOX_NUMBERS = 4
#: To import PyTorch from a slow disk.
_TORCH_S = 120
_ASK_TORCH = """
import torch
card = torch.cuda.is_available()
place = f"CUDA ({torch.cuda.get_device_name(0)})" if card else "CPU: it finds no CUDA device"
print(torch.__version__, "on", place)
"""


def result_as_json(result: ChangeResult) -> dict[str, Any]:
    """Return the object that ``changescribe detect --json`` prints (output contract)."""
    return {
        "schema_version": SCHEMA_VERSION,
        "parse": {
            "text": result.parse.text,
            "anything": result.parse.anything,
            "queries": [
                {"object": query.object, "direction": query.direction}
                for query in result.parse.queries
            ],
            "competing": list(result.parse.competing),
            "explanation": result.parse.explanation,
        },
        "counts": {"total": result.count, **result.counts},
        "areas_m2": result.areas_m2,
        "area_analysed_m2": result.area_analysed_m2,
        "caption": result.caption,
        "captions": [
            {"change_id": region.change_id, "caption": region.caption} for region in result.regions
        ],
        "timings_s": result.timings_s,
        "device": result.device,
        "system": result.system,
        "revision": result.revision,
        "run_id": result.run_id,
        "partial": result.partial,
        "warnings": list(result.warnings),
        "outputs": {"gpkg": result.gpkg, "mask": result.mask, "score": result.score},
    }


def read_boxes(path: str) -> list[tuple[int, int, int, int]]:
    """Read a list of [x0, y0, x1, y1] in pixels of BEFORE.

    Raises:
        InputError: the file cannot be read, or is not such a list.
    """
    hint = "It holds a list of [x0, y0, x1, y1] in pixels of BEFORE."
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f'The boxes "{path}" cannot be read.', hint, str(error)) from error
    boxes = []
    for row in rows if isinstance(rows, list) else [None]:
        if not isinstance(row, list) or len(row) != BOX_NUMBERS:
            raise InputError(f'"{path}" is not a list of boxes.', hint)
        if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in row):
            raise InputError(f"The box {row} does not consist of numbers.", hint)
        x0, y0, x1, y1 = (round(value) for value in row)
        if x0 >= x1 or y0 >= y1:
            raise InputError(f"The box {row} is empty.", hint)
        boxes.append((x0, y0, x1, y1))
    return boxes


def notes_on_boxes(
    boxes: Sequence[tuple[int, int, int, int]], width: int, height: int
) -> list[str]:
    """Return a note for each box that is cut at the edge of a raster, before any work is done.

    Raises:
        InputError: a box lies outside the raster.
    """
    notes = []
    for box in boxes:
        x0, y0, x1, y1 = box
        if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
            raise InputError(
                f"The box {list(box)} lies outside the raster of {width} x {height} pixels.",
                "Give boxes as [x0, y0, x1, y1] in pixels of BEFORE.",
            )
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            notes.append(
                f"The box {list(box)} reaches beyond the raster of {width} x {height} pixels: "
                "only what lies within is described."
            )
    return notes


def synthesise(
    arguments: argparse.Namespace,
    progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> Path:
    """Generate labelled, captioned, georeferenced scene pairs.

    Args:
        arguments: of the command line.
        progress: called with the number of pairs written and the number wanted.
        cancelled: asked between pairs; True stops.

    Returns:
        Path of the list of scenes.

    Raises:
        InputError: an argument is out of range.
        DependencyError: a package of the generator is not installed.
        CancelledError: stopped.
    """
    try:
        from .synthesis.output import write_pairs
    except ImportError as error:
        raise missing_package(
            "The scene generator needs the packages scipy and Pillow.", error
        ) from error
    return write_pairs(
        arguments.out,
        arguments.count,
        seed=arguments.seed,
        size=arguments.size,
        pixel_size=arguments.pixel_size,
        progress=progress,
        layout=arguments.layout,
        cancelled=cancelled,
    )


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
            [python, "-c", _ASK_TORCH], capture_output=True, text=True, check=True,
            timeout=_TORCH_S, stdin=subprocess.DEVNULL,
        )
        found = asked.stdout.strip()
    except subprocess.CalledProcessError as error:
        found = f"none: {(error.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    except (OSError, subprocess.TimeoutExpired) as error:
        found = f"none: {error}"
    return [("Python of the worker process", python), ("PyTorch there", found)]
