# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line does beyond calling the pipeline: reading, listing, generating."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .full_tier import generator_installed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from ..request import ChangeResult

#: Of the object that ``--json`` prints; raised when a key changes its meaning.
SCHEMA_VERSION = 1
BOX_NUMBERS = 4


def result_as_json(result: ChangeResult) -> dict[str, Any]:
    """Return the object that ``changescribe detect --json`` prints (output contract)."""
    from ..results.changes_layer import areas_by_key, counts_by_key

    return {
        "schema_version": SCHEMA_VERSION,
        "parse": {
            "text": result.parse.text,
            "anything": result.parse.anything,
            "queries": [
                {"object": query.object, "direction": query.direction}
                for query in result.parse.queries
            ],
            "competing": list(result.parse.hints.competing or ()),
            "explanation": result.parse.explanation,
        },
        "counts": {"total": result.count, **counts_by_key(result.counts)},
        "areas_m2": areas_by_key(result.counts),
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
    with generator_installed():
        from ..synthesis.output import write_pairs
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
