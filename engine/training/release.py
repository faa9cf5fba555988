# SPDX-License-Identifier: GPL-3.0-or-later
"""From a finished run to the files that ship: export, calibration, manifest.

``python -m changescribe.engine.training.release RUN_FOLDER RECIPE MODEL_FOLDER``
"""

from __future__ import annotations

import shutil
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..classes import CLASS_NAMES
from . import export
from .datasets import PairDataset, collate, data_root, open_source
from .labels import UNKNOWN
from .loop import WEIGHTS, load_model
from .phrases import build_bank
from .recipe import Recipe, load_recipe
from .text_bank import embed, shipped_encoder

PIXEL_SIZES = (0.5, 1.0)
#: Pairs drawn for the calibration, from a seed of their own.
CALIBRATION_PAIRS = 160
CALIBRATION_SEED = 90_001
IDENTITY = {"scale": 1.0, "bias": 0.0}
#: Raw scores tried as thresholds.
_CANDIDATES = np.arange(-3, 3.01, 0.25)

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
        "calibration": calibrate(model, recipe, run),
    }
    export.export(model, folder)
    export.write_manifest(folder, facts)
    return facts


@torch.no_grad()
def calibrate(model: torch.nn.Module, recipe: Recipe, run: Path) -> dict[str, dict[str, float]]:
    """Find a scale and bias per class that put its best F1 at a score of 0.5.

    Pairs are drawn from the recipe's sources with a seed that training does not
    use: same images, other crops and pairings.

    Returns:
        ``{"building": {"scale": s, "bias": b}, ..., "other": ...}``; the calibrated
        score is ``sigmoid(s * raw + b)``.
    """
    bank = build_bank()
    text = embed(bank.phrases, shipped_encoder())
    root = data_root()
    parts = [open_source(s.name, root, run.parent / "scenes") for s in recipe.sources]
    weights = [source.weight for source in recipe.sources]
    data = PairDataset(parts, weights, bank, recipe.queries, CALIBRATION_SEED)
    raws: dict[int, list[np.ndarray]] = {i: [] for i in range(len(CLASS_NAMES))}
    truths: dict[int, list[np.ndarray]] = {i: [] for i in range(len(CLASS_NAMES))}
    for index in range(CALIBRATION_PAIRS):
        batch = collate([data[index]])
        dates = [model.encoder(image.float()) for image in (batch.before, batch.after)]
        for phrase, direction, target, weak in zip(
            batch.phrases, batch.directions, batch.targets, batch.weak, strict=True
        ):
            kind = int(bank.classes[int(phrase)])
            if kind < 0 or bool(weak):
                continue
            pair = dates if int(direction) == 0 else dates[::-1]
            raw = model.head(*pair, *text.take(phrase[None]))
            raw = F.interpolate(raw, scale_factor=4, mode="bilinear")[0, 0, ::3, ::3].numpy()
            truth = target[::3, ::3].numpy()
            raws[kind].append(raw[truth != UNKNOWN])
            truths[kind].append(truth[truth != UNKNOWN] == 1)
    table = {"other": dict(IDENTITY)}
    for kind, name in enumerate(CLASS_NAMES):
        table[name] = dict(IDENTITY)
        if raws[kind] and any(truth.any() for truth in truths[kind]):
            best = best_threshold(np.concatenate(raws[kind]), np.concatenate(truths[kind]))
            table[name]["bias"] = round(-best, 3)
    return table


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
