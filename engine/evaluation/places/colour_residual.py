# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters and evaluation of the colour residual, a score for any kind of change.

The score itself is in ``engine/systems/bundled/colour_residual.py``.

Nothing of it is trained, but its threshold is fitted on the labels of OSCD and AirChange. For its
evaluation, every place gets a threshold that was fitted without its site.

``changescribe build colour-residual MODEL_FOLDER``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ...errors import InputError
from ...request import MASK_NODATA, SCORE_SCALE
from ...systems.base import ChangeSystem
from ...systems.bundled import MANIFEST, BundledSystem
from ...training.export import write_manifest
from ...training.scenes.sources import read_rgb
from ..masks.calibration import RawCounts, fit_map, raw_scores
from ..texts import EvaluationTexts
from .elsewhere import AIRCHANGE, OSCD, OneSystemHost, run_detection
from .folds import fold_models, folds, trained_on_weak_pairs

#: Key of the manifest.
KEY = "colour_residual"
#: For the score ``amount / (1 + amount)``, whose logit is the logarithm of the amount.
IDENTITY = {"scale": 1.0, "bias": 0.0}
Counts = dict[str, dict[str, RawCounts]]


def fit_colour_residual(folder: Path, data: Path) -> dict[str, Any]:
    """Fit scale and bias on all places, and for each fold without its places.

    Returns:
        ``{"scale": s, "bias": b, "left_out": [{"places": [...], "scale": s, "bias": b}, ...]}``.
    """
    counts = _count(folder, data)
    table: dict[str, Any] = {**_fit(counts, ()), "left_out": []}
    for left_out in folds(data):
        places = tuple(name for names in left_out.values() for name in names)
        table["left_out"].append({"places": list(places), **_fit(counts, places)})
    return table


def _count(folder: Path, data: Path) -> Counts:
    """Run the pipeline on every place; count changed and unchanged pixels by amount."""
    system = BundledSystem(folder)
    system.residual_map = dict(IDENTITY)
    system.load("cpu")
    counts: Counts = {}
    for what in (OSCD, AIRCHANGE):
        counts[what.folder] = {}
        for place in sorted(path for path in (data / what.folder).iterdir() if path.is_dir()):
            sys.stderr.write(f"residual: {what.folder} {place.name}\n")
            mask, score = run_detection(OneSystemHost(system), system.info.name, place, what.prompt)
            known = mask != MASK_NODATA
            label = read_rgb(place / "label.tif")[..., 0] > 0
            counts[what.folder][place.name] = RawCounts()
            counts[what.folder][place.name].add(
                raw_scores(score[known] / SCORE_SCALE), label[known]
            )
    return counts


def _fit(counts: Counts, left_out: tuple[str, ...]) -> dict[str, float]:
    """Fit without some places, for the best mean F1 of both data sets."""
    sets = []
    for places in counts.values():
        total = RawCounts()
        for name, part in places.items():
            if not left_out or not name.startswith(left_out):
                total.right += part.right
                total.wrong += part.wrong
        sets.append(total)
    both = RawCounts(sum(s.right for s in sets), sum(s.wrong for s in sets))
    return fit_map(both, lambda thresholds: np.mean([s.f1_at(thresholds) for s in sets], axis=0))


def unbiased_chooser(
    system: ChangeSystem, folder: Path, out: Path | None
) -> Callable[[str], Optional[ChangeSystem]]:
    """Choose the system for measuring a place: neither trained nor calibrated on it.

    Args:
        system: the shipped system, loaded.
        folder: its model files.
        out: folder of the folds' model files, for a model that was trained on these places.

    Returns:
        A function from the name of a place to a loaded system: the shipped one for a place that it
        has not seen; None if every model has seen it.
    """
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    table = manifest.get(KEY)
    trained = trained_on_weak_pairs(manifest)
    thresholds = [(tuple(fold["places"]), fold) for fold in table["left_out"]] if table else []
    models = [(places, folder) for places, _ in thresholds]
    if trained:
        models = fold_models(out) if out else []
    chosen: dict[tuple[str, ...], BundledSystem] = {}

    def choose(place: str) -> Optional[ChangeSystem]:
        threshold = next((fold for places, fold in thresholds if place.startswith(places)), None)
        if threshold is None and (table or not trained):
            return system  # neither trained nor fitted on this place
        for places, path in models:
            if place.startswith(places):
                if places not in chosen:
                    chosen[places] = BundledSystem(path)
                    chosen[places].load("cpu")
                chosen[places].residual_map = (
                    {key: threshold[key] for key in ("scale", "bias")} if threshold else None
                )
                return chosen[places]
        return None

    return choose


def fit_into_manifest(folder: Path, data: Path) -> None:
    """Refit the colour residual of a model and write it into the model's manifest.

    Raises:
        InputError: the folder contains no model.
        WeightsError: the model is damaged.
    """
    if not (folder / MANIFEST).is_file():
        raise InputError(EvaluationTexts.no_model(folder=folder))
    BundledSystem(folder)  # checks the files
    table = fit_colour_residual(folder, data)
    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    kept = {key: value for key, value in facts.items() if key not in ("sha256", "phrases")}
    write_manifest(folder, {**kept, KEY: table})
