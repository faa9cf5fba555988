# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine for scripts and notebooks: detect, describe, export, systems.

``import changescribe.engine as cs`` gives these functions as ``cs.detect`` and so on. They do what
the commands of the same names do, with the same defaults.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from .classes import listed_names
from .errors import ChangeScribeError, InputError
from .messages import Message
from .request import ChangeRequest, ChangeResult, Extent, Hints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .describe.request import BoxCaption
    from .request import CancelledCallback, ProgressCallback

AnyPath = Union[str, "os.PathLike[str]"]
#: Rows of a list that are printed.
_SHOWN = 4


class ApiTexts:
    """Texts of the Python front door."""

    prompt = Message("The prompt is not text: {given}.", 'Say what changed, such as "roads built".')
    extent = Message(
        "The extent cannot be read: {given}.", "Give (xmin, ymin, xmax, ymax), and a CRS if needed."
    )
    number = Message("{name} is not a number: {given}.", "Give a number, such as 0.5.")
    boxes = Message("The boxes cannot be read: {given}.", "Give a list of (x0, y0, x1, y1).")


@dataclass(frozen=True)
class SystemState:
    """A change-detection system, and whether it can run here.

    Attributes:
        name: what ``system=`` takes.
        title: in a few words.
        usable: its packages and weights are there.
        lacks: packages and weights that are missing, or why it cannot be used.
        terms: terms of use of its weights.
    """

    name: str
    title: str
    usable: bool
    lacks: tuple[str, ...]
    terms: str


class Listing(list):
    """A list that a notebook shows in at most five lines, or as a table."""

    def __repr__(self) -> str:
        texts = [": ".join(text for text in _cells(row) if text) for row in self]
        more = len(texts) - _SHOWN
        return "\n".join([*texts[:_SHOWN], *([f"... and {more} more"] if more > 0 else ())]) or "[]"

    def _repr_html_(self) -> str:
        rows = (f"<td>{'</td><td>'.join(map(escape, _cells(row)))}</td>" for row in self)
        return f"<table><tr>{'</tr><tr>'.join(rows)}</tr></table>"


def _cells(row: Union[SystemState, BoxCaption]) -> tuple[str, str, str]:
    """Return what is shown of a system or a caption."""
    if isinstance(row, SystemState):
        return row.name, row.title, "" if row.usable else f"lacks {', '.join(row.lacks)}"
    return str(row.box), row.caption, ""


def detect(
    before: AnyPath,
    after: AnyPath,
    prompt: str,
    out: Optional[AnyPath] = None,
    *,
    progress: Optional[ProgressCallback] = None,
    cancelled: Optional[CancelledCallback] = None,
    **options: Any,
) -> ChangeResult:
    """Find the changes between two rasters that match a prompt.

    Args:
        before: raster of the earlier date.
        after: raster of the later date.
        prompt: what changed, such as "roads built".
        out: GeoPackage to write; the mask and the score rasters go beside it. None: a temporary
            folder, which is deleted when the process ends.
        progress: called with a :class:`~changescribe.engine.request.Progress`.
        cancelled: returns True to stop; the tiles that are done are kept.
        options: other fields of :class:`~changescribe.engine.request.ChangeRequest`. ``extent``
            may also be a tuple ``(xmin, ymin, xmax, ymax[, crs])``, ``area`` the path of a polygon
            file, and ``competing`` is the list in
            ``hints``, or a text with commas.

    Raises:
        InputError: a raster, the prompt or an option is not usable, or ``out`` exists.
        WeightsError: weights are missing or damaged.
        DependencyError: a package is missing.
        OutputError: a result could not be written.
        TypeError: there is no such option.
    """
    from .detect import pipeline
    from .raster.area import read_area

    if not isinstance(prompt, str):
        raise InputError(ApiTexts.prompt(given=prompt))
    if options.get("extent") is not None:
        options["extent"] = _extent(options["extent"])
    for name in ("threshold", "min_area", "pixel_size", "simplify"):
        if options.get(name) is not None:
            options[name] = _number(name, options[name])
    for name in ("date_before", "date_after"):
        if options.get(name) is not None:
            options[name] = str(options[name])
    if isinstance(options.get("area"), (str, os.PathLike)):
        options["area"] = read_area(os.fspath(options["area"]))
    if "competing" in options:
        given = options.pop("competing")
        names = listed_names(given) if isinstance(given, str) else given
        hints = options.get("hints", Hints())
        options["hints"] = replace(hints, competing=None if names is None else tuple(names))
    request = ChangeRequest(
        before=os.fspath(before),
        after=os.fspath(after),
        prompt=prompt,
        output=os.fspath(out) if out is not None else _temporary_output(),
        **options,
    )
    return pipeline.detect(request, progress=progress, cancelled=cancelled)


def describe(
    before: AnyPath,
    after: AnyPath,
    boxes: Optional[Sequence[tuple[int, int, int, int]]] = None,
    *,
    progress: Optional[ProgressCallback] = None,
    cancelled: Optional[CancelledCallback] = None,
    **options: Any,
) -> list[BoxCaption]:
    """Describe the change between two rasters, or in boxes of them, in sentences.

    Args:
        before: raster of the earlier date.
        after: raster of the later date.
        boxes: (x0, y0, x1, y1) in pixels of ``before``, x1 and y1 excluded; None: the whole pair.
        progress: called with a :class:`~changescribe.engine.request.Progress`.
        cancelled: returns True to stop; the captions that are done are returned.
        options: other fields of :class:`~changescribe.engine.describe.request.CaptionRequest`.

    Returns:
        One caption per box.

    Raises:
        InputError: a raster cannot be read, or a box lies outside the pair.
        WeightsError: weights are missing or damaged.
        DependencyError: a package is missing.
        TypeError: there is no such option.
    """
    from .describe.pair import caption
    from .describe.request import CaptionRequest

    request = CaptionRequest(
        before=os.fspath(before),
        after=os.fspath(after),
        boxes=None if boxes is None else _boxes(boxes),
        **options,
    )
    return Listing(caption(request, progress=progress, cancelled=cancelled))


def export(changes: Union[ChangeResult, AnyPath], out: AnyPath, **options: Any) -> tuple[str, ...]:
    """Write changes as a shapefile, GeoPackage or GeoJSON.

    Args:
        changes: what :func:`detect` returned, or the GeoPackage that it wrote.
        out: file to write; its ending is the format: ``.shp``, ``.gpkg`` or ``.geojson``.
        options: of :func:`changescribe.engine.results.export.export`: ``overwrite``,
            ``min_score``, ``statuses``.

    Returns:
        Warnings, such as that texts were cut.

    Raises:
        InputError: the changes or ``out`` are not usable.
        OutputError: the file could not be written.
    """
    from .results.export import export as write

    gpkg = changes.gpkg if isinstance(changes, ChangeResult) else os.fspath(changes)
    return write(gpkg, os.fspath(out), **options)


def _extent(given: Any) -> Extent:
    if isinstance(given, Extent):
        return given
    try:
        xmin, ymin, xmax, ymax = map(float, given[:4])
        return Extent(xmin, ymin, xmax, ymax, *given[4:])
    except (TypeError, ValueError) as error:
        raise InputError(ApiTexts.extent(given=given)) from error


def _number(name: str, given: Any) -> float:
    try:
        return float(given)
    except (TypeError, ValueError) as error:
        raise InputError(ApiTexts.number(name=name, given=given)) from error


def _boxes(given: Any) -> tuple[tuple[int, int, int, int], ...]:
    try:
        return tuple((int(x0), int(y0), int(x1), int(y1)) for x0, y0, x1, y1 in given)
    except (TypeError, ValueError) as error:
        raise InputError(ApiTexts.boxes(given=given)) from error


def systems() -> list[SystemState]:
    """Return the change-detection systems, the default first."""
    from .systems import names

    return Listing(_state(name) for name in names())


def _state(name: str) -> SystemState:
    from .hosts.worker_process import find_python
    from .systems import create
    from .weights.store import WeightsStore

    try:
        info = create(name).info
    except ChangeScribeError as error:
        return SystemState(name, name, usable=False, lacks=(str(error),), terms="")
    lacks = [stored.entry.title for stored in WeightsStore().missing(info.weights)]
    if info.tier == "compact":
        lacks += [] if importlib.util.find_spec("onnxruntime") else ["onnxruntime"]
    else:
        try:
            find_python()
        except ChangeScribeError:
            lacks.append("PyTorch")
    return SystemState(name, info.title, not lacks, tuple(lacks), info.terms)


@cache
def _temporary_folder() -> str:
    """Return a folder that is deleted when the process ends."""
    folder = tempfile.mkdtemp(prefix="changescribe-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _temporary_output() -> str:
    return str(Path(tempfile.mkdtemp(dir=_temporary_folder())) / "changes.gpkg")
