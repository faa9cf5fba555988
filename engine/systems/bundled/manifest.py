# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of the bundled model: what its files are, and what was measured of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ...errors import WeightsError
from ..texts import SystemsTexts

MANIFEST = "manifest.json"
ENCODER, HEAD = "encoder.onnx", "head.onnx"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]*")


#: ``scale`` and ``bias``: a calibrated score is ``sigmoid(scale raw + bias)``.
ScoreMap = Mapping[str, float]


@dataclass(frozen=True)
class Manifest:
    """Contents of the manifest.

    Attributes:
        revision: name and date of the training.
        terms: terms of use, for the user.
        pixel_sizes: in metres, that the model was trained on.
        calibration: by class name; ``other`` is for every other phrase.
        colour_residual: of the score of the colour residual; None leaves it out.
        sha256: of every file of the model, by its name.
        phrases: that the model was trained with.
    """

    revision: str
    terms: str
    pixel_sizes: tuple[float, ...]
    calibration: Mapping[str, ScoreMap]
    colour_residual: Optional[ScoreMap]
    sha256: Mapping[str, str]
    phrases: tuple[str, ...]


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the model files in a folder.

    Raises:
        WeightsError: it is missing or damaged, is of an earlier version, or does not list every
            file that is opened.
    """
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if "unforeseen" in content:  # its key in manifests of earlier versions
            raise WeightsError(SystemsTexts.old_manifest())
        return _parse(content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(SystemsTexts.model_damaged(), details=repr(error)) from error


def _parse(content: Mapping[str, Any]) -> Manifest:
    """Return the checked contents.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: something is missing or of another type.
    """
    residual = content.get("colour_residual")
    manifest = Manifest(
        _text(content["revision"]),
        _text(content["terms"]),
        tuple(float(size) for size in content["pixel_sizes"]),
        {name: _score_map(row) for name, row in content["calibration"].items()},
        None if residual is None else _score_map(residual),
        {name: _text(digest) for name, digest in content["sha256"].items()},
        tuple(_text(phrase) for phrase in content["phrases"]),
    )
    if not manifest.pixel_sizes or not all(0 < size < math.inf for size in manifest.pixel_sizes):
        raise ValueError("pixel_sizes are not positive")
    if "other" not in manifest.calibration or not manifest.phrases:
        raise ValueError("calibration of other phrases, or the phrases, are missing")
    if not manifest.sha256.keys() >= {ENCODER, HEAD}:
        raise ValueError("sha256 does not list every file")
    for name, digest in manifest.sha256.items():
        if not _FILE_NAME.fullmatch(name) or not _DIGEST.fullmatch(digest):
            raise ValueError(f"sha256 of {name!r}")
    return manifest


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is not a text")
    return value


def _score_map(row: Mapping[str, Any]) -> ScoreMap:
    scale, bias = float(row["scale"]), float(row["bias"])
    if not (0 < scale < math.inf and math.isfinite(bias)):
        raise ValueError(f"scale and bias {row!r}")
    return {"scale": scale, "bias": bias}
