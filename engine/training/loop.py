# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: from a recipe to averaged weights; :mod:`.processes` has several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import torch
from torch.utils.data import DataLoader

from ..errors import ChangeScribeError
from . import processes, tasks
from .captioner.targets import decoded
from .log import TrainingLog
from .metrics import BinaryCounts
from .pairs import open_pairs
from .pairs.crops import Tiles, collate
from .pairs.pair import UNKNOWN
from .recipe import Recipe, check_parts, check_unchanged, load_recipe, save_recipe
from .scenes.consensus import cider_d
from .semantic_metrics import SemanticCounts
from .tasks.base import Task
from .trainer import BEST, CHECKPOINT, WEIGHTS, Batch, Trainer, check_origin


def train(
    recipe: str | Path | Recipe,
    out: str | Path,
    *,
    data: Path,
    device: str = "auto",
    resume: bool = True,
    steps: Optional[int] = None,
    task: Optional[Task] = None,
    values: Sequence[str] = (),
) -> Path:
    """Train a recipe, resuming an earlier run of it.

    Into ``out`` go ``model.safetensors`` (averaged weights), ``best.safetensors`` (those with the
    best :attr:`Task.figure` on the validation pairs), ``checkpoint.pt``, ``recipe.yaml`` with all
    defaults, ``log.csv``, ``validation.csv`` and ``tensorboard``.

    A resumed run gives the result of an uninterrupted one: bit by bit on a CPU, up to the order
    of summation on a GPU.

    Args:
        recipe: YAML file, or the name of a shipped recipe, see :mod:`.recipe`; or one that is
            loaded.
        out: folder of the run.
        data: folder that the recipe's data folders are relative to.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``; see :func:`.processes.count` for the number of
            processes.
        resume: continue from ``checkpoint.pt`` if it exists; otherwise delete it and the weights
            of the earlier run as soon as all inputs of the new one are open.
        steps: stop after this step of the recipe; the schedule is unchanged.
        task: None is that of the recipe. It must be picklable if the recipe has several
            processes.
        values: ``KEY=VALUE`` that replace those of the recipe, see :mod:`.overrides`.

    Returns:
        Path of the averaged weights.

    Raises:
        InputError: the recipe or the data cannot be read, its task ignores a setting, the recipe
            differs from that of the run in ``out``, or the run that it builds on is missing.
        WeightsError: weights of a frozen part are missing.
        DependencyError: a package is not installed.
    """
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, values)
    (task or tasks.create(loaded.task)).check(loaded, Path(data))
    used = replace(loaded, processes=processes.count(loaded, device))
    check_parts(used)
    folder = Path(out).resolve()
    if resume and (folder / CHECKPOINT).exists():
        check_unchanged(loaded, folder / "recipe.yaml")
    elif loaded.start_from:
        check_origin(_result_of(loaded.start_from, folder))
    if loaded.blend_with:
        check_origin(_result_of(loaded.blend_with, folder))
    folder.mkdir(parents=True, exist_ok=True)
    last = min(steps or loaded.last_step, loaded.last_step)
    job = Job(used, folder, Path(data), device, resume, last, task, loaded)
    processes.run(_run, job, used.processes, device, folder)
    return folder / WEIGHTS


@dataclass(frozen=True)
class Job:
    """Arguments of every process of a run, named as in :func:`train`.

    Attributes:
        written: the recipe as given; there may be more or fewer processes.
    """

    recipe: Recipe
    out: Path
    data: Path
    device: str
    resume: bool
    last: int
    task: Optional[Task]
    written: Recipe


def _result_of(run: str, out: Path) -> Path:
    """Return the weights of another run, in a folder beside that of this one."""
    return out.parent / run / WEIGHTS


def _run(rank: int, job: Job) -> None:
    """Run the share of one process."""
    recipe = job.recipe
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    task = job.task or tasks.create(recipe.task)
    task.prepare(recipe, rank)
    trainer = Trainer(recipe, task, job.device, rank)
    if recipe.blend_with:
        trainer.blend_with(_result_of(recipe.blend_with, job.out))
    origin = _result_of(recipe.start_from, job.out) if recipe.start_from else None
    start = trainer.resume(job.out / CHECKPOINT, origin) if job.resume else 0
    if not start and origin:
        trainer.start_from(origin)
    tiles = _validation_tiles(job, task) if rank == 0 else None
    batches = _batches(job, task, rank, start)
    if rank == 0:
        _sign(job)
    log = TrainingLog(job.out, start, job.last) if rank == 0 else None
    try:
        for step in range(start, job.last):
            parts = [next(batches) for _ in range(recipe.accumulate)]
            figures = trainer.step(step, parts)
            if log is not None:
                log.step(step + 1, figures, trainer.schedule.get_last_lr()[-1])
                _finish_step(job, trainer, log, tiles, step + 1)
    finally:
        if log is not None:
            log.close()


def _sign(job: Job) -> None:
    """Claim the folder for this run, once nothing it needs can be missing."""
    if not job.resume:
        # Otherwise, after an interruption before the first checkpoint, the next run would resume
        # the old one, and old weights would lie beside another recipe.
        for name in (CHECKPOINT, WEIGHTS, BEST):
            (job.out / name).unlink(missing_ok=True)
    save_recipe(job.written, job.out / "recipe.yaml")


def _finish_step(
    job: Job, trainer: Trainer, log: TrainingLog, tiles: Optional[Tiles], done: int
) -> None:
    """Validate and save after a step, when due."""
    recipe = job.recipe
    last = done == job.last
    due = last or (recipe.validate_every > 0 and done % recipe.validate_every == 0)
    if tiles is not None and due:
        figures = validate(trainer, tiles)
        log.validation(done, figures, trainer.task.figure)
        # A set without sentences or classes has F1 alone.
        figure = figures.get(trainer.task.figure, figures["f1"])
        if figure >= trainer.best:  # the later of equal ones
            trainer.best = figure
            trainer.save_weights(job.out / BEST, done, figures)
    if last or done % recipe.checkpoint_every == 0:
        trainer.save(job.out, done)


def _batches(job: Job, task: Task, rank: int, start: int) -> Iterator[Batch]:
    """Open the data; readers then prefetch this process's part of every batch."""
    recipe = job.recipe
    share = recipe.batch_size // recipe.processes
    size = share // recipe.accumulate
    order = [
        [step * recipe.batch_size + rank * share + part * size + i for i in range(size)]
        for step in range(start, job.last)
        for part in range(recipe.accumulate)
    ]
    loader = DataLoader(
        task.dataset(recipe, job.data, job.out.parent),
        batch_sampler=order,
        collate_fn=collate,
        num_workers=recipe.workers,
        prefetch_factor=4,
        multiprocessing_context=_how_to_start(),
    )
    return _drawn(loader)


def _drawn(loader: DataLoader) -> Iterator[Batch]:
    """Start the readers with the first batch."""
    for batch in loader:
        yield _checked(batch)


def _how_to_start() -> Optional[str]:
    """Return "fork" where available, which shares the images in memory."""
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else None


def _checked(batch: object) -> Batch:
    """Return a batch; re-raise the error of a reader."""
    if isinstance(batch, ChangeScribeError):
        raise batch
    return batch


def _validation_tiles(job: Job, task: Task) -> Optional[Tiles]:
    recipe = job.recipe
    if recipe.validation is None:
        return None
    return Tiles(open_pairs(recipe.validation, job.data), recipe.crop, task.question, task.truth)


@torch.no_grad()
def validate(trainer: Trainer, tiles: Tiles) -> dict[str, float]:
    """Measure the averaged weights tile by tile: change at threshold 0.5.

    Returns:
        ``precision``, ``recall``, ``f1`` and ``iou`` of the change class, summed over the set; for
        a set and a system with classes ``miou``, ``sek`` and ``fscd``; with sentences ``cider_d``
        of those whose tile is a whole pair, in per cent.
    """
    recipe = trainer.recipe
    loader = DataLoader(
        tiles,
        batch_size=max(1, recipe.batch_size // recipe.accumulate),
        collate_fn=collate,
        num_workers=recipe.workers,
        multiprocessing_context=_how_to_start(),
    )
    counts = BinaryCounts()
    classes = SemanticCounts(len(trainer.task.classes))
    references: list[list[str]] = []
    written: list[str] = []
    with trainer.averaged() as model:
        for batch in loader:
            question, labels = _checked(batch)
            with trainer.device.autocast():
                moved = trainer.moved(question)
                answer = trainer.task.predict(model, moved)
                sentences = decoded(labels["captions"])
                answers = trainer.task.write(model, moved) if any(sentences) else []
            found = (answer["change"].float().cpu() >= 0.5).numpy()
            truth = labels["change"].numpy()
            known = truth != UNKNOWN
            counts.add(found[known], truth[known])
            for name in {"semantic_before", "semantic_after"} & set(labels) & set(answer):
                date = answer[name].cpu().numpy()
                classes.add(found[known], date[known], labels[name].numpy()[known])
            for given, text in zip(answers, sentences, strict=False):
                if text:
                    written.append(given)
                    references.append(text.split("\n"))
    figures = {name: getattr(counts, name) for name in ("precision", "recall", "f1", "iou")}
    if classes.counts.any():
        figures |= {name: getattr(classes, name) for name in ("miou", "sek", "fscd")}
    if written:
        figures["cider_d"] = cider_d(written, references)
    return figures
