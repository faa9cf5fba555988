# SPDX-License-Identifier: GPL-3.0-or-later
"""From a finished run to the shipped files: export, calibration, manifest.

``changescribe build release RUN_FOLDER RECIPE MODEL_FOLDER``
"""

from __future__ import annotations

import os
import shutil
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from ..classes import CLASS_NAMES
from ..paths import MODELS
from ..request import APPEARED, REMOVED, Query
from ..systems.bundled import BundledSystem
from ..training import export
from ..training.recipe import load_recipe
from ..training.scenes.datasets import data_root
from ..training.scenes.labels import UNKNOWN
from ..training.scenes.roads import new_roads
from ..training.scenes.sources import read_captions
from ..training.tasks.bundled import load_model
from ..training.trainer import WEIGHTS, check_origin
from ..weights.loading import read_head
from .masks.calibration import RawCounts, fit_map, raw_scores
from .masks.ranking import CropsFound
from .masks.road_lines import LineMatch
from .places.colour_residual import KEY, fit_colour_residual
from .places.generated import CALIBRATION_SEEDS, GeneratedFigures, scored_scenes
from .places.levir import PIXEL_SIZE, VALIDATION_TILES, read_tile
from .places.whole_image import score_pair

#: Pixel size in metres, to which the last stages resample 0.3 to 1 m.
PIXEL_SIZES = (0.44,)
IDENTITY = {"scale": 1.0, "bias": 0.0}

TERMS = {
    "open": "GPL-3.0-or-later; trained on openly licensed imagery only.",
    "restricted": (
        "For research and other non-commercial use: trained on imagery with academic and "
        "research terms (see resources/models/README.md)."
    ),
}


def release(run: Path, recipe_name: str, folder: Path) -> dict[str, Any]:
    """Write the model files of a run, with calibration and manifest.

    Args:
        run: folder of the training run.
        recipe_name: its recipe.
        folder: for the files; the shipped ``text.onnx`` and ``vocab.txt`` replace those there.

    Raises:
        InputError: there is no such recipe or run, or ``CHANGESCRIBE_DATA`` is not a folder.
        WeightsError: the run has no readable weights.
    """
    data = _data()
    recipe = load_recipe(recipe_name)
    check_origin(run / WEIGHTS)
    model = load_model(run / WEIGHTS)
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != MODELS.resolve():
        # Always the shipped text tower: an older copy would be listed as part of the model.
        for name in ("text.onnx", "vocab.txt"):
            shutil.copyfile(MODELS / name, folder / name)
    steps = read_head(run / WEIGHTS)[1]["step"]
    facts = {
        "name": recipe.name,
        "revision": f"{recipe.name}-{datetime.now(tz=timezone.utc):%Y%m%d}-{steps}",
        "terms": TERMS[recipe.terms],
        "pixel_sizes": PIXEL_SIZES,
        "steps": steps,
        "sources": sorted(
            {f"{part.layout} ({part.terms})" for stage in recipe.stages for part in stage.data}
        ),
        "calibration": {"other": dict(IDENTITY)},
    }
    export.export(model, folder)
    export.write_manifest(folder, facts)
    facts["calibration"] = calibrate(folder, data)
    # The colour residual goes to the best query, so it needs the final calibration.
    export.write_manifest(folder, facts)
    if data:
        facts[KEY] = fit_colour_residual(folder, data)
        export.write_manifest(folder, facts)
    return facts


def _data() -> Path | None:
    """Return the folder of real data; without one, log the consequences."""
    if os.environ.get("CHANGESCRIBE_DATA"):
        return data_root()
    _tell(
        "CHANGESCRIBE_DATA is not set: the thresholds of buildings and roads come from generated "
        "scenes, and the colour residual (for coarse pixels) is left out."
    )
    return None


def calibrate(folder: Path, data: Path | None) -> dict[str, dict[str, float]]:
    """Fit scale and bias per class, see :func:`.calibration.fit_map`.

    With real data, buildings are fitted on the labels of LEVIR tiles 31-36, which training does
    not see, and roads on their centre lines: the F of the lines determines the threshold, the
    pixels near and far from lines the scale. Other classes are fitted on generated scenes of
    seeds that neither training nor evaluation use. The threshold for trees also depends on the
    sentences of those tiles (:class:`.ranking.CropsFound`), since generated woods alone would
    give a stricter one.

    Returns:
        ``{"building": {"scale": s, "bias": b}, ..., "other": ...}``; the calibrated
        score is ``sigmoid(s * raw + b)``.
    """
    system = BundledSystem(folder)
    system.load("cpu")
    generated = GeneratedFigures(dict.fromkeys(CLASS_NAMES, IDENTITY))
    for scene in scored_scenes(system, CALIBRATION_SEEDS, _tell):
        generated.add(scene)
    table = {"other": dict(IDENTITY)}
    table.update({name: fit_map(counts) for name, counts in generated.raw.items()})
    if data:
        table.update(_calibrate_on_levir(system, data, generated.raw["tree"]))
    return table


def _calibrate_on_levir(
    system: BundledSystem, data: Path, generated_trees: RawCounts
) -> dict[str, dict[str, float]]:
    """Fit buildings and roads on tiles 31-36, and trees on these and generated scenes."""
    felled = Query("trees", REMOVED)
    queries = (Query("buildings", APPEARED), Query("roads", APPEARED), felled)
    buildings, roads = RawCounts(), RawCounts()
    woods = CropsFound(("tree", REMOVED), read_captions(data / "levir"))
    matches = []
    for number in VALIDATION_TILES:
        _tell(f"LEVIR tile {number}")
        tile = read_tile(data, number)
        raw_buildings, raw_roads, raw_trees = (
            raw_scores(score)
            for score in score_pair(system, tile.before, tile.after, queries, PIXEL_SIZE)
        )
        buildings.add(raw_buildings, tile.label > 0)
        state = new_roads(number, tile.label.shape, tile.geotransform)
        roads.add(raw_roads[state != UNKNOWN], state[state != UNKNOWN] == 1)
        matches.append(tile.road_match(raw_roads))
        woods.add(f"test_{number}", raw_trees)
    lines = LineMatch.together(matches)

    def f_of_lines(thresholds: np.ndarray) -> np.ndarray:
        return np.array([lines.at(float(threshold)).f for threshold in thresholds])

    def f_of_trees(thresholds: np.ndarray) -> np.ndarray:
        return (generated_trees.f1_at(thresholds) + woods.f1_at(thresholds)) / 2

    return {
        "building": fit_map(buildings),
        "road": fit_map(roads, f_of_lines),
        "tree": fit_map(generated_trees, f_of_trees),
    }


def _tell(what: str) -> None:
    """Print progress on standard error."""
    sys.stderr.write(f"calibration: {what}\n")
