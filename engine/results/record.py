# SPDX-License-Identifier: GPL-3.0-or-later
"""A request as text, kept with its results so that the run can be repeated."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

from ..request import Area, ChangeRequest, Extent, Hints

#: What belongs to one run only.
_OUTPUTS = ("output", "mask", "score", "overwrite", "resume")


def to_json(request: ChangeRequest) -> str:
    """Return a request without its outputs as a JSON object; values that are None are left out."""
    values = {
        name: value
        for name, value in asdict(request).items()
        if value is not None and name not in _OUTPUTS
    }
    return json.dumps(values, ensure_ascii=False)


def from_json(text: str, output: str = "", **changes: Any) -> ChangeRequest:
    """Return the request that :func:`to_json` wrote, with another output and other changes.

    Keys that this version does not know are ignored.

    Raises:
        ValueError: the text is not such an object, or lacks a raster or the prompt.
    """
    known = {field.name for field in fields(ChangeRequest)}
    try:
        given = dict(json.loads(text))
        values = {name: value for name, value in given.items() if name in known}
        request = ChangeRequest(**{**values, "output": output})
        hints = request.hints
        if isinstance(hints, dict):
            partners = tuple(tuple(names) for names in hints.get("partners", ()))
            hints = Hints(
                **{**hints, "partners": partners, "competing": _names(hints.get("competing"))}
            )
        return replace(
            request,
            **{
                "hints": hints,
                "extent": Extent(**values["extent"]) if values.get("extent") else None,
                "area": Area(**values["area"]) if values.get("area") else None,
                "bands_before": _names(request.bands_before),
                "bands_after": _names(request.bands_after),
                "nodata_before": tuple(tuple(span) for span in request.nodata_before),
                "nodata_after": tuple(tuple(span) for span in request.nodata_after),
                **changes,
            },
        )
    except TypeError as error:
        raise ValueError(str(error)) from error


def _names(values: Any) -> Any:
    """Return a list of JSON as the tuple that it was."""
    return None if values is None else tuple(values)
