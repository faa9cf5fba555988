# SPDX-License-Identifier: GPL-3.0-or-later
"""The files and objects of the command line: the result as JSON, and boxes to describe."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .texts import CliTexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..messages import Text
    from ..request import ChangeResult

#: Version of the ``--json`` schema; raised when a key changes its meaning.
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
        "share_analysed": result.share_analysed,
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
        "alignment": asdict(result.alignment) if result.alignment else None,
        "hidden": result.hidden,
        "remembered": result.remembered,
        "warnings": list(result.warnings),
        "outputs": {"gpkg": result.gpkg, "mask": result.mask, "score": result.score},
    }


def read_boxes(path: str) -> list[tuple[int, int, int, int]]:
    """Read a list of [x0, y0, x1, y1] in pixels of BEFORE.

    Raises:
        InputError: the file cannot be read, or is not such a list.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(CliTexts.boxes_unreadable(path=path), details=str(error)) from error
    boxes = []
    for row in rows if isinstance(rows, list) else [None]:
        if not isinstance(row, list) or len(row) != BOX_NUMBERS:
            raise InputError(CliTexts.not_boxes(path=path))
        if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in row):
            raise InputError(CliTexts.box_not_numbers(box=row))
        x0, y0, x1, y1 = (round(value) for value in row)
        if x0 >= x1 or y0 >= y1:
            raise InputError(CliTexts.box_empty(box=row))
        boxes.append((x0, y0, x1, y1))
    return boxes


def notes_on_boxes(
    boxes: Sequence[tuple[int, int, int, int]], width: int, height: int
) -> list[Text]:
    """Return a note for each box that is cut at the edge of a raster.

    Raises:
        InputError: a box lies outside the raster.
    """
    notes = []
    for box in boxes:
        x0, y0, x1, y1 = box
        place: dict[str, Any] = {"box": list(box), "width": width, "height": height}
        if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
            raise InputError(CliTexts.box_outside(**place))
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            notes.append(CliTexts.box_cut(**place))
    return notes
