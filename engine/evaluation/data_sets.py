# SPDX-License-Identifier: GPL-3.0-or-later
"""``changescribe evaluate`` on a labelled data set: any system, or a run of ``changescribe train``.

There are two protocols, named in the result, since F1 differs by up to a point. *Tiles*: images
are cut into squares without overlap, each predicted alone, as in most papers. *Images*: whole
images through overlapping, blended tiles, as in the plugin. Both sum counts over the set.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from .. import prompt, systems
from ..classes import class_of
from ..detect.tiling import Blender, plan
from ..device import Device, choose
from ..errors import InputError
from ..request import Query
from ..training import tasks
from ..training.metrics import BinaryCounts
from ..training.pairs import PairSet, Window, open_pairs
from ..training.pairs.crops import collate, tile_of
from ..training.pairs.pair import UNKNOWN, LabelledPair
from ..training.recipe import DataSpec, Recipe, load_recipe
from ..training.semantic_metrics import SemanticCounts
from ..training.tasks.base import Task
from ..training.trainer import BEST, WEIGHTS
from ..weights.loading import read_head
from .texts import EvaluationTexts

PROTOCOLS = ("tile", "image")
#: Overlap of a training run's tiles in whole images, in pixels.
RUN_OVERLAP = 64


@dataclass(frozen=True)
class Answer:
    """Prediction for one tile.

    Attributes:
        scores: (Q, H, W) float32 per query; change is where their maximum reaches the threshold.
        before: (H, W) index of the data set's class on the earlier date, or None.
        after: the same for the later date.
    """

    scores: np.ndarray
    before: np.ndarray | None = None
    after: np.ndarray | None = None


@dataclass(frozen=True)
class Candidate:
    """A system or run to measure.

    Attributes:
        queries: one per plane of its scores; empty for a single plane of any change.
        tile_size: side of its tiles in whole images, in pixels.
        overlap: of these tiles, in pixels.
        answer: predicts a tile.
        truth: returns the change that it should find; None where it is not labelled.
    """

    name: str
    revision: str
    device: str
    queries: tuple[Query, ...]
    tile_size: int
    overlap: int
    answer: Callable[[LabelledPair], Answer]
    truth: Callable[[LabelledPair], np.ndarray | None] = attrgetter("change")


def evaluate(
    spec: DataSpec,
    data: Path,
    out: Path,
    *,
    system: str = "",
    run: Path | None = None,
    protocols: Sequence[str] = PROTOCOLS,
    tile: int = 256,
    text: str = "",
    device: str = "auto",
    threshold: float = 0.5,
) -> dict[str, Any]:
    """Measure a system or a training run; write ``figures.json`` and print a table.

    Args:
        spec: the data set.
        data: folder that the data set's folder is relative to.
        out: folder for the results.
        system: name of a system with its weights in place; or
        run: folder of a training run; its best weights are used, or else the last ones.
        protocols: see the module's docstring.
        tile: side of the tiles of the tile protocol in pixels, a multiple of 32.
        text: prompt for a system; empty: the data set's.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        threshold: minimum score of a change.

    Returns:
        The figures, as in ``figures.json``.

    Raises:
        InputError: the data or the run cannot be read, or the prompt is not understood.
        WeightsError: weights are missing.
    """
    if tile < 32 or tile % 32:
        raise InputError(EvaluationTexts.bad_tile_size(size=tile))
    pairs = open_pairs(spec, data)
    candidate = (
        candidate_of(load_run(run, device))
        if run
        else _of_system(system, device, text or pairs.prompt, pairs)
    )
    figures: dict[str, Any] = {
        "system": candidate.name,
        "revision": candidate.revision,
        "device": candidate.device,
        "data": {"layout": spec.layout, "split": spec.split, "pairs": len(pairs)},
        "asked": [str(query) for query in candidate.queries] or "any change",
        "threshold": threshold,
    }
    for protocol in protocols:
        figures[protocol] = measure(candidate, pairs, protocol, tile, threshold)
    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(table(figures))
    return figures


def measure(
    candidate: Candidate, pairs: PairSet, protocol: str, tile: int, threshold: float = 0.5
) -> dict[str, Any]:
    """Measure by one protocol.

    Returns:
        ``protocol`` in words, ``change`` (binary figures), ``queries`` (the same for each labelled
        object and direction), ``semantic`` for a set with classes, ``seconds``.
    """
    figures = _Figures(candidate, pairs, threshold)
    start = time.monotonic()
    if protocol == "tile":
        words = f"tiles of {tile} pixels, each by itself"
        places = [
            (index, y, x)
            for index in range(len(pairs))
            for y in range(0, pairs.size(index)[0], tile)
            for x in range(0, pairs.size(index)[1], tile)
        ]
        for place in tqdm(places, "tiles"):
            pair = tile_of(pairs, *place, tile)
            figures.add(candidate.answer(pair), pair)
    else:
        words = (
            f"whole images, through tiles of {candidate.tile_size} pixels that share "
            f"{candidate.overlap} and are blended"
        )
        for index in tqdm(range(len(pairs)), "images"):
            for window, answer in _over_image(candidate, pairs, index):
                figures.add(answer, pairs.read(index, window))
    return {"protocol": words, **figures.result(), "seconds": round(time.monotonic() - start, 1)}


def _over_image(
    candidate: Candidate, pairs: PairSet, index: int
) -> Iterator[tuple[Window, Answer]]:
    """Blend the predictions of a whole image; yield windows that cover it once."""
    height, width = pairs.size(index)
    tiles = plan(width, height, candidate.tile_size, candidate.overlap)
    blender = Blender(tiles, max(1, len(candidate.queries)))
    classes = np.full((2, height, width), UNKNOWN, np.uint8) if pairs.classes else None
    for tile in tiles:
        answer = candidate.answer(tile_of(pairs, index, tile.y, tile.x, tile.width))
        core = tiles.core(tile)
        if answer.before is None or answer.after is None:
            classes = None
        if classes is not None and core is not None:
            x0, y0, x1, y1 = core
            inside = np.s_[y0 - tile.y : y1 - tile.y, x0 - tile.x : x1 - tile.x]
            classes[:, y0:y1, x0:x1] = answer.before[inside], answer.after[inside]
        for block in blender.add(tile, answer.scores.astype(np.float32)):
            window = Window(block.y, block.x, *block.array.shape[1:])
            dates = (None, None) if classes is None else classes[(slice(None), *window.slices)]
            yield window, Answer(block.array, *dates)


class _Figures:
    """Sums over a data set."""

    def __init__(self, candidate: Candidate, pairs: PairSet, threshold: float) -> None:
        self.queries, self.truth, self.threshold = candidate.queries, candidate.truth, threshold
        self.change = BinaryCounts()
        self.by_query: dict[str, BinaryCounts] = {}
        self.semantic = SemanticCounts(len(pairs.classes)) if pairs.classes else None

    def add(self, answer: Answer, pair: LabelledPair) -> None:
        """Count a part of a pair, where labelled."""
        change = self.truth(pair)
        if change is None:
            raise InputError(EvaluationTexts.no_change_labels())
        known = change != UNKNOWN
        changed = answer.scores.max(0) >= self.threshold
        self.change.add(changed[known], change[known])
        for query, scores in zip(self.queries, answer.scores, strict=False):
            truth = pair.directions.get((query.object, query.direction))
            if truth is not None:
                labelled = known & (truth != UNKNOWN)
                counts = self.by_query.setdefault(str(query), BinaryCounts())
                counts.add(scores[labelled] >= self.threshold, truth[labelled])
        if answer.before is None or answer.after is None:
            self.semantic = None
        if self.semantic is not None:
            dates = (answer.before, pair.semantic_before), (answer.after, pair.semantic_after)
            for found, truth in dates:
                self.semantic.add(changed[known], found[known], truth[known])

    def result(self) -> dict[str, Any]:
        """Return all figures."""
        result: dict[str, Any] = {"change": self.change.figures()}
        result["queries"] = {name: counts.figures() for name, counts in self.by_query.items()}
        if self.semantic is not None:
            result["semantic"] = self.semantic.figures()
        return result


def _of_system(name: str, device: str, text: str, pairs: PairSet) -> Candidate:
    """Load a system for a prompt."""
    system = systems.create(name)
    system.load(device)
    info = system.info
    plurals = [found.plural if (found := class_of(c)) else c for c in info.classes]
    queries = prompt.resolve(prompt.parse(text), plurals, info.directed).queries
    table_ = _class_table(info.classes, pairs.classes)

    def answer(pair: LabelledPair) -> Answer:
        output = system.predict(pair.before[None], pair.after[None], queries)
        classes = (output.classes_before, output.classes_after)
        if table_ is None or classes[0] is None or classes[1] is None:
            return Answer(output.scores[0])
        return Answer(output.scores[0], *(table_[c[0]] for c in classes if c is not None))

    return Candidate(
        info.name, info.revision, system.device, queries, info.tile_size, info.overlap, answer
    )


def _class_table(own: Sequence[str], wanted: Sequence[str]) -> np.ndarray | None:
    """Return the index of the data set's class for each class of a system.

    None if the system lacks one of them, since its classes are then not comparable.
    """

    def same(one: str, other: str) -> bool:
        return one == other or (class_of(one) is not None and class_of(one) == class_of(other))

    table_ = np.full(256, UNKNOWN, np.uint8)
    for index, name in enumerate(wanted):
        found = [number for number, known in enumerate(own) if same(known, name)]
        if not found:
            return None
        table_[found] = index
    return table_ if wanted and len(own) == len(wanted) else None


@dataclass(frozen=True)
class TrainedRun:
    """The trained model of a run.

    Attributes:
        recipe: of the run.
        task: of the recipe, with its frozen parts loaded.
        model: in evaluation mode.
        step: of the weights.
        device: of the model.
    """

    recipe: Recipe
    task: Task
    model: torch.nn.Module
    step: str
    device: Device

    @torch.inference_mode()
    def predict(self, pair: LabelledPair) -> dict[str, np.ndarray]:
        """Return the task's predictions for a tile, without the batch dimension."""
        with self.device.autocast():
            output = self.task.predict(self.model, self._batch(pair))
        return {name: value[0].float().cpu().numpy() for name, value in output.items()}

    @torch.inference_mode()
    def write(self, pair: LabelledPair) -> str:
        """Return a sentence about a whole pair; empty if the system writes none."""
        with self.device.autocast():
            return next(iter(self.task.write(self.model, self._batch(pair))), "")

    def _batch(self, pair: LabelledPair) -> dict[str, torch.Tensor]:
        question = collate([self.task.question(pair)])
        return {name: value.to(self.device.name) for name, value in question.items()}


def load_run(run: Path, device: str) -> TrainedRun:
    """Load the best weights of a training run, or else the last ones.

    Raises:
        InputError: the weights do not fit the recipe.
        WeightsError: weights of a frozen part are missing.
    """
    recipe = load_recipe(run / "recipe.yaml")
    path = run / (BEST if (run / BEST).exists() else WEIGHTS)
    state, header = read_head(path)
    chosen = choose(device)
    task = tasks.create(recipe.task)
    task.prepare(recipe, 0)
    model = task.build(dict(recipe.model)).to(chosen.name)
    if set(state) != set(task.weights(model)):
        raise InputError(EvaluationTexts.weights_differ(run=run.name), details=str(path))
    model.load_state_dict(state, strict=False)
    return TrainedRun(recipe, task, model.eval(), header["step"], chosen)


def candidate_of(trained: TrainedRun) -> Candidate:
    """Return a training run as a candidate for :func:`measure`."""
    recipe, task = trained.recipe, trained.task

    def answer(pair: LabelledPair) -> Answer:
        found = trained.predict(pair)
        classes = [found.get(name) for name in ("semantic_before", "semantic_after")]
        return Answer(found["change"][None], *classes)

    size = max(64, recipe.crop // 32 * 32)
    revision = f"{recipe.name}, step {trained.step}"
    overlap = min(RUN_OVERLAP, size // 4)
    return Candidate(
        task.name, revision, trained.device.text, (), size, overlap, answer, task.truth
    )


def table(figures: dict[str, Any]) -> str:
    """Return the figures as text."""
    data, asked = figures["data"], figures["asked"]
    asked = asked if isinstance(asked, str) else ", ".join(asked)
    lines = [
        f"{figures['system']} ({figures['revision']}) on {figures['device']}",
        f"{data['layout']} {data['split']}: {data['pairs']} pairs; asked for {asked}",
    ]
    keys = {"precision": "P", "recall": "R", "f1": "F1", "iou": "IoU", "accuracy": "OA"}
    head = f"{'':<32}" + "".join(f"{title:>7}" for title in keys.values())
    for protocol in PROTOCOLS:
        part = figures.get(protocol)
        if part is None:
            continue
        lines += ["", f"{part['protocol']}:", head]
        for name, row in {"change": part["change"], **part["queries"]}.items():
            lines.append(f"{name:<32}" + "".join(f"{row[key]:7.3f}" for key in keys))
        if "semantic" in part:
            row = part["semantic"]
            lines.append(
                f"mIoU {row['miou']:.4f}  SeK {row['sek']:.4f}  Fscd {row['fscd']:.4f}  "
                f"OA {row['accuracy']:.4f}"
            )
    return "\n".join(lines)
