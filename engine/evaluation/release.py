# SPDX-License-Identifier: GPL-3.0-or-later
"""From a finished run to the files that ship: export, calibration, manifest.

``python -m changescribe.engine.evaluation.release RUN_FOLDER RECIPE MODEL_FOLDER``
"""

from __future__ import annotations

import os
import shutil
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..classes import CLASS_NAMES, CLASSES
from ..request import APPEARED, REMOVED, Query
from ..synthesis.scenes import synthesise
from ..systems.bundled import BundledSystem
from ..training import export
from ..training.datasets import data_root
from ..training.loop import WEIGHTS, load_model
from ..training.recipe import load_recipe
from .bundled import VALIDATION_TILES, levir_pair
from .whole_image import score_pair

PIXEL_SIZES = (0.5, 1.0)
#: Generated scenes of the calibration.
CALIBRATION_SEED, CALIBRATION_SCENES = 800_000, 12
#: Biases chosen by looking at LEVIR tiles 31-36. Generated roads have pavements and
#: driveways that are no road; their best bias (-1.5) loses real new streets.
BY_EYE = {"road": 0.0}
IDENTITY = {"scale": 1.0, "bias": 0.0}
#: Raw scores tried as thresholds.
_CANDIDATES = np.arange(-1.5, 1.51, 0.25)

TERMS = {
    "open": "GPL-3.0-or-later; trained on openly licensed imagery only.",
    "restricted": (
        "For research and other non-commercial use: trained on imagery with academic and "
        "research terms (see resources/models/README.md)."
    ),
}


def release(run: Path, recipe_name: str, folder: Path) -> dict[str, Any]:
    """Write the model files of a run, with a calibration and the manifest.

    Args:
        run: folder of the training run.
        recipe_name: its recipe.
        folder: for the files; ``text.onnx`` and ``vocab.txt`` are copied there if missing.

    Returns:
        The facts of the manifest.
    """
    recipe = load_recipe(recipe_name)
    model = load_model(run / WEIGHTS)
    folder.mkdir(parents=True, exist_ok=True)
    shipped = Path(__file__).resolve().parents[2] / "resources" / "models"
    for name in ("text.onnx", "vocab.txt"):
        if not (folder / name).exists():
            shutil.copyfile(shipped / name, folder / name)
    steps = torch.load(run / WEIGHTS, map_location="cpu", weights_only=True)["step"]
    facts = {
        "name": recipe.name,
        "revision": f"{recipe.name}-{datetime.now(tz=timezone.utc):%Y%m%d}-{steps}",
        "terms": TERMS[recipe.terms],
        "pixel_sizes": PIXEL_SIZES,
        "steps": steps,
        "sources": [f"{source.name} ({source.terms})" for source in recipe.sources],
        "calibration": {"other": dict(IDENTITY)},
    }
    export.export(model, folder)
    export.write_manifest(folder, facts)
    facts["calibration"] = calibrate(folder)
    export.write_manifest(folder, facts)
    return facts


def calibrate(folder: Path) -> dict[str, dict[str, float]]:
    """Find the bias per class that puts its best F1 at a score of 0.5.

    Buildings are measured on LEVIR tiles 31-36, which training does not see, where
    ``CHANGESCRIBE_DATA`` is set; everything else on generated scenes of seeds that
    neither training nor evaluation use.

    Args:
        folder: model files with an uncalibrated manifest.

    Returns:
        ``{"building": {"scale": s, "bias": b}, ..., "other": ...}``; the calibrated
        score is ``sigmoid(s * raw + b)``.
    """
    system = BundledSystem(folder)
    system.load("cpu")
    raws: dict[str, list[np.ndarray]] = {name: [] for name in CLASS_NAMES}
    truths: dict[str, list[np.ndarray]] = {name: [] for name in CLASS_NAMES}
    for seed in range(CALIBRATION_SEED, CALIBRATION_SEED + CALIBRATION_SCENES):
        scene = synthesise(seed, 512, 0.5)
        for number, land_cover in enumerate(CLASSES, 1):
            was, is_now = scene.labels_before == number, scene.labels_after == number
            truth = {APPEARED: is_now & ~was, REMOVED: was & ~is_now}
            queries = [Query(land_cover.plural, direction) for direction in truth]
            scores = score_pair(system, scene.before, scene.after, queries)
            for query, score in zip(queries, scores, strict=True):
                raws[land_cover.name].append(_raw(score))
                truths[land_cover.name].append(truth[query.direction][::2, ::2].ravel())
    if os.environ.get("CHANGESCRIBE_DATA"):
        raws["building"], truths["building"] = [], []
        for tile in VALIDATION_TILES:
            before, after, label = levir_pair(data_root(), tile)
            score = score_pair(system, before, after, [Query("buildings", APPEARED)])[0]
            raws["building"].append(_raw(score))
            truths["building"].append(label[::2, ::2].ravel() > 0)
    table = {"other": dict(IDENTITY)}
    for name in CLASS_NAMES:
        if name in BY_EYE:
            table[name] = {"scale": 1.0, "bias": BY_EYE[name]}
            continue
        best = best_threshold(np.concatenate(raws[name]), np.concatenate(truths[name]))
        table[name] = {"scale": 1.0, "bias": -best}
    return table


def _raw(score: np.ndarray) -> np.ndarray:
    """Every fourth pixel's score, before the sigmoid, (N,)."""
    clipped = np.clip(score[::2, ::2].ravel(), 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def best_threshold(raw: np.ndarray, truth: np.ndarray) -> float:
    """Return the threshold with the highest F1.

    Args:
        raw: (N,) scores.
        truth: (N,) bool.
    """
    scores = []
    for threshold in _CANDIDATES:
        found = raw >= threshold
        scores.append(2 * (found & truth).sum() / max(1, found.sum() + truth.sum()))
    return float(_CANDIDATES[int(np.argmax(scores))])


if __name__ == "__main__":
    release(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
