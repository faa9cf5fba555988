# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a table: train what is missing, measure it on the test split.

A run lies in a folder named by its recipe and a digest of all its settings. Rows with the same
settings, in one table or in several, share it; other settings on the command line get another.
A run goes on from its last checkpoint, and a row whose figures are there is not computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ...backbones.names import title
from ...console import say
from ...errors import DependencyError, InputError, WeightsError
from ...training.loop import train
from ...training.pairs import PairSet, Window, open_pairs
from ...training.pairs.pair import LabelledPair
from ...training.recipe import DataSpec, Recipe, load_recipe
from ...training.trainer import WEIGHTS
from ...weights.files import write_text
from ...weights.loading import read_head
from ..captions.metrics import ask, report
from ..data_sets import candidate_of, load_run, measure
from ..texts import EvaluationTexts
from .tables import CAPTION, FULL, SEMANTIC, Row, Table

#: Settings that do not change what a run learns.
_WITHOUT_EFFECT = ("description", "checkpoint_every", "processes", "threads", "workers")
#: Standard deviation of the noise, of 255, and gain of the later date; see MMChange's table IV.
NOISE, GAIN = 10.0, 0.7


@dataclass(frozen=True)
class Outcome:
    """What became of a row on a data set.

    Attributes:
        row: as published.
        dataset: name in the paper.
        figures: our figures as shares of 1; None where the row was not measured.
        state: why not, or how long it was trained.
        differs: what is used in place of the paper's parts.
        run: name of the run's folder.
    """

    row: Row
    dataset: str
    figures: Optional[dict[str, Optional[float]]] = None
    state: str = ""
    differs: list[str] = field(default_factory=list)
    run: str = ""


def reproduce(
    table: Table,
    data: Path,
    out: Path,
    *,
    preset: str = FULL,
    values: Sequence[str] = (),
    device: str = "auto",
) -> list[Outcome]:
    """Train and measure the rows of a table, as far as data and weights are there.

    Args:
        table: of a paper.
        data: folder that the data sets lie in.
        out: folder for the runs.
        preset: one of :data:`.tables.PRESETS`.
        values: ``KEY=VALUE`` of every row's recipe.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises:
        InputError: a value is not one of the recipe.
    """
    return list(_outcomes(table, data, out, preset, values, device))


def _outcomes(
    table: Table, data: Path, out: Path, preset: str, values: Sequence[str], device: str
) -> Iterator[Outcome]:
    for dataset, presets in table.sets.items():
        for row in table.rows:
            if row.values is None:
                yield Outcome(row, dataset, state=EvaluationTexts.others())
            elif row.needs:
                yield Outcome(row, dataset, state=EvaluationTexts.needs(what=row.needs))
            elif not (preset in table.recipes and preset in presets) or (
                preset != FULL and not row.small
            ):
                yield Outcome(row, dataset, state=EvaluationTexts.not_in_preset(preset=preset))
            else:
                chosen = table.recipes[preset], presets[preset]
                recipe = _recipe(row, *chosen, values)
                test = DataSpec(**chosen[1]["test"])
                yield _outcome(table, row, dataset, recipe, test, data, out, device)


def _recipe(
    row: Row, base: dict[str, Any], dataset: dict[str, Any], values: Sequence[str]
) -> Recipe:
    """Return the recipe of a row; later values win."""
    own = [*base.get("values", ()), *dataset.get("values", ()), *(row.values or ()), *values]
    return load_recipe(base["recipe"], own)


def _outcome(
    table: Table,
    row: Row,
    dataset: str,
    recipe: Recipe,
    test: DataSpec,
    data: Path,
    out: Path,
    device: str,
) -> Outcome:
    """Train and measure one row on one data set."""
    run = out / run_name(recipe)
    figures, what = None, _missing_data([*recipe.data, recipe.validation, test], data)
    differs = differences(table, row, recipe)
    if not what:
        say(EvaluationTexts.run_started(method=row.method, dataset=dataset, run=run))
        try:
            figures = _figures(table.kind, row.perturb, recipe, test, data, run, device)
        except (WeightsError, DependencyError) as error:
            what = str(error)
    if what:
        state = EvaluationTexts.needs_files(problem=what.rstrip("."))
        return Outcome(row, dataset, state=state, differs=differs)
    state = EvaluationTexts.trained(steps=recipe.last_step)
    return Outcome(row, dataset, figures, state, differs, run.name)


def run_name(recipe: Recipe) -> str:
    """Return the name of a run's folder: the recipe's, and a digest of its settings."""
    settings = {k: v for k, v in asdict(recipe).items() if k not in _WITHOUT_EFFECT}
    text = json.dumps(settings, sort_keys=True, default=str)
    return f"{recipe.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _missing_data(specs: Sequence[Optional[DataSpec]], data: Path) -> str:
    """Return what a set lacks, or nothing."""
    for spec in specs:
        if spec is not None:
            try:
                open_pairs(spec, data)
            except InputError as error:
                return str(error)
    return ""


def differences(table: Table, row: Row, recipe: Recipe) -> list[str]:
    """Return what a recipe has in place of the paper's parts."""
    found = []
    without_text = recipe.model.get("text") is False
    for part, theirs in {**table.parts, **row.parts}.items():
        ours = recipe.model.get(part)
        if isinstance(ours, dict):
            ours = " ".join(str(ours[key]) for key in ("source", "model") if key in ours)
        unused = without_text and part.startswith("text")
        if ours is not None and ours != theirs and not unused:
            names = {"ours": title(str(ours)), "theirs": title(theirs)}
            found.append(EvaluationTexts.replaced(part=part.replace("_", " "), **names))
    return found


def _figures(
    kind: str,
    perturb: Sequence[str],
    recipe: Recipe,
    test: DataSpec,
    data: Path,
    run: Path,
    device: str,
) -> dict[str, Optional[float]]:
    """Return the figures of a run on the test split, from its folder if they are there."""
    key = {"step": recipe.last_step, "kind": kind, "perturb": [*perturb], "test": asdict(test)}
    path = run / ("-".join(("test", kind, *perturb, test.layout)) + ".json")
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] == key:
            return content["figures"]
    if _steps_done(run) < recipe.last_step:
        train(recipe, run, data=data, device=device)
    figures = _measured(kind, perturb, test, data, run, device)
    write_text(path, json.dumps({"key": key, "figures": figures}, indent=1) + "\n")
    return figures


def _steps_done(run: Path) -> int:
    path = run / WEIGHTS
    return int(read_head(path)[1]["step"]) if path.exists() else 0


def _measured(
    kind: str, perturb: Sequence[str], test: DataSpec, data: Path, run: Path, device: str
) -> dict[str, Optional[float]]:
    """Measure a run on the test split; figures as shares of 1."""
    pairs = open_pairs(test, data)
    if perturb:
        pairs = PerturbedPairs(pairs, perturb)
    trained = load_run(run, device)
    if kind == CAPTION:
        own = report(ask(pairs, trained.write))["all"]["ids"]
        return {name: None if share is None else share / 100 for name, share in own.items()}
    tile = max(32, trained.recipe.crop // 32 * 32)
    figures = measure(candidate_of(trained), pairs, "tile", tile)
    return dict(figures["semantic" if kind == SEMANTIC else "change"])


class PerturbedPairs(PairSet):
    """Pairs of another set with disturbed images; labels and names are its own.

    Args:
        pairs: the set.
        kinds: keys of :data:`PERTURBATIONS`, in order.
    """

    def __init__(self, pairs: PairSet, kinds: Sequence[str]) -> None:
        self.pairs, self.kinds = pairs, kinds
        self.spec, self.folder, self.names = pairs.spec, pairs.folder, pairs.names
        self.classes, self.prompt = pairs.classes, pairs.prompt

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of a pair in pixels."""
        return self.pairs.size(index)

    def read(self, index: int, window: Window | None = None) -> LabelledPair:
        """Return a disturbed pair, the same each time; see :meth:`PairSet.read`."""
        pair = self.pairs.read(index, window)
        rng = np.random.default_rng((index, *(window or ())))
        for kind in self.kinds:
            pair.before, pair.after = PERTURBATIONS[kind](pair.before, pair.after, rng)
        return pair


def _noise(
    before: np.ndarray, after: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    return tuple(_bytes(image + rng.normal(0, NOISE, image.shape)) for image in (before, after))


def _light(
    before: np.ndarray, after: np.ndarray, _: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    return before, _bytes(after * GAIN)


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


#: Name -> disturbance of both dates (H, W, 3) uint8.
PERTURBATIONS: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "noise": _noise,
    "light": _light,
}
