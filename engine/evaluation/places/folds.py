# SPDX-License-Identifier: GPL-3.0-or-later
"""Models whose last training stage leaves out half of the places of OSCD and AirChange.

The shipped model has seen all of them, so each place is measured with a model that has not: the
same recipe from the same earlier stage, without that place and some others.

``changescribe build folds RUNS RECIPE MODEL_FOLDER OUT``
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...systems.bundled import MANIFEST
from ...training import export
from ...training.loop import train
from ...training.recipe import Recipe, save_recipe
from ...training.scenes.datasets import parts_of
from ...training.scenes.weak_pairs import WEAK_SETS
from ...training.tasks.bundled import load_model
from ..texts import EvaluationTexts

#: Two models, each trained on half of the places.
NAMES = ("one", "other")
LeftOut = dict[str, list[str]]


def folds(data: Path) -> Iterator[LeftOut]:
    """Return the places that each of two models leaves out: every other one of each data set.

    Yields:
        Prefixes of the names of places, by data set; for AirChange these are sites, since images
        of a site overlap.
    """
    places = {
        folder: sorted({path.name.split("_")[0] for path in (data / folder).iterdir()})
        for folder in WEAK_SETS
    }
    for start in range(2):
        yield {folder: names[start::2] for folder, names in places.items()}


def without(recipe: Recipe, left_out: LeftOut, name: str) -> Recipe:
    """Return a recipe without some places; see :func:`..training.datasets.open_source`.

    Raises:
        InputError: an earlier stage was trained on these places.
    """
    for stage in recipe.stages[1:]:
        if any(_sources(spec.layout) & set(left_out) for spec in stage.data):
            raise InputError(EvaluationTexts.stage_saw_places(recipe=recipe.name, stage=stage.name))
    data = [replace(spec, layout=_leaving_out(spec.layout, left_out)) for spec in recipe.data]
    return replace(recipe, name=f"{recipe.name}_{name}", data=data)


def _sources(layout: str) -> set[str]:
    """Return the names of the sources of a layout."""
    return {name for name, _ in parts_of(layout)}


def _leaving_out(layout: str, left_out: LeftOut) -> str:
    """Return a layout that leaves out further places."""
    *kind, _ = layout.split(":", 1)
    parts = []
    for name, places in parts_of(layout):
        unused = dict.fromkeys([*places, *left_out.get(name, ())])
        parts.append(f"{name}-{'+'.join(unused)}" if unused else name)
    return ":".join([*kind, *parts])


def train_folds(runs: Path, recipe: Recipe, shipped: Path, out: Path, data: Path) -> None:
    """Train and export the models; existing runs are resumed.

    Args:
        runs: folder with the run that the recipe starts from; the new runs go there too.
        recipe: of the shipped model's last stage.
        shipped: its model files, for calibration and texts.
        out: folder for one folder of model files per fold.
        data: the folder of real data.
    """
    manifest = json.loads((shipped / MANIFEST).read_text(encoding="utf-8"))
    for name, left_out in zip(NAMES, folds(data), strict=True):
        fold = without(recipe, left_out, name)
        folder = out / fold.name
        folder.mkdir(parents=True, exist_ok=True)
        save_recipe(fold, folder / "recipe.yaml")
        weights = train(folder / "recipe.yaml", runs / fold.name, data=data)
        for part in ("text.onnx", "vocab.txt"):
            shutil.copyfile(shipped / part, folder / part)
        export.export(load_model(weights), folder)
        facts = {key: value for key, value in manifest.items() if key not in ("sha256", "phrases")}
        facts.update(revision=fold.name, left_out=left_out)
        export.write_manifest(folder, facts)


def trained_on_weak_pairs(manifest: dict[str, Any]) -> bool:
    """Return from a manifest whether a model was trained on OSCD or AirChange."""
    layouts = [source.split(" ")[0] for source in manifest.get("sources", ())]
    return any(_sources(layout) & set(WEAK_SETS) for layout in layouts)


def fold_models(out: Path) -> list[tuple[tuple[str, ...], Path]]:
    """Return the places left out and the folder of each model of :func:`train_folds`."""
    models = []
    for path in sorted(out.glob(f"*/{MANIFEST}")):
        left_out = json.loads(path.read_text(encoding="utf-8"))["left_out"]
        models.append((tuple(chain.from_iterable(left_out.values())), path.parent))
    return models
