# SPDX-License-Identifier: GPL-3.0-or-later
"""The one training loop: from a recipe to averaged weights.

Several processes of one thread each share a step, and their gradients are
averaged: on a shared CPU that loses far less to its neighbours than one
process with several threads, which wait for each other at every layer.
"""

from __future__ import annotations

import copy
import csv
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..modules.bundled import NUM_CLASSES, ChangeModel, Encoded, ModelConfig
from . import datasets
from .losses import UNKNOWN, change_loss, class_loss, steady_loss
from .phrases import ABSENT, PhraseBank, build_bank
from .recipe import Recipe, load_recipe
from .sample import CELL
from .text_bank import EncodeTexts, TextBank, embed, shipped_encoder

#: Name of the file with everything that a run needs to go on.
CHECKPOINT = "checkpoint.pt"
#: Name of the file with the averaged weights.
WEIGHTS = "model.pt"
#: Weight of the loss of reading a phrase as a class; its part of the model is one linear layer.
READING_WEIGHT = 0.1
#: Phrases of absent things among the queries of a step.
ABSENT_QUERIES = 2


def train(
    recipe: str | Path,
    out: str | Path,
    *,
    data: Optional[Path] = None,
    resume: bool = True,
    steps: Optional[int] = None,
    encode: Optional[EncodeTexts] = None,
    progress: Optional[Callable[[int, int, float], None]] = None,
) -> Path:
    """Train by a recipe, and go on where an earlier run of it stopped.

    Args:
        recipe: YAML file, or the name of a shipped recipe, see :mod:`.recipe`.
        out: checkpoints, ``log.csv`` and the result are written here.
        data: folder of the real data; None is that of ``CHANGESCRIBE_DATA``.
        resume: go on from ``checkpoint.pt`` if there is one.
        steps: stop after this step of the recipe (its schedule stays as it is).
        encode: frozen text encoder; None is the shipped one. It must be picklable where the
            recipe has several processes.
        progress: called with step, steps and loss; None draws a bar on standard error. Only a
            recipe of one process calls it.

    Returns:
        Path of the averaged weights.

    Raises:
        InputError: the recipe or the data cannot be read.
        DependencyError: the backbone's weights are not installed.
    """
    loaded = load_recipe(recipe)
    folder = Path(out).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    last = min(steps or loaded.steps, loaded.stop_at or loaded.steps, loaded.steps)
    job = Job(loaded, folder, data or datasets.data_root(), resume, last, encode)
    if loaded.processes == 1:
        _run(0, job, progress)
    else:
        meeting = folder / f"meeting_{os.getpid()}"
        meeting.unlink(missing_ok=True)
        torch.multiprocessing.spawn(_run_process, (job, str(meeting)), nprocs=loaded.processes)
        meeting.unlink(missing_ok=True)
    return folder / WEIGHTS


@dataclass(frozen=True)
class Job:
    """What every process of a run is told; the names are those of :func:`train`."""

    recipe: Recipe
    out: Path
    data: Path
    resume: bool
    last: int
    encode: Optional[EncodeTexts]


def _run_process(rank: int, job: Job, meeting: str) -> None:
    """Join the group of training processes, and run."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=job.recipe.processes
    )
    _run(rank, job, None)
    torch.distributed.destroy_process_group()


def _run(rank: int, job: Job, progress: Optional[Callable[[int, int, float], None]]) -> None:
    """One process's share of the run."""
    recipe = job.recipe
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    bank = build_bank()
    text = embed(bank.phrases, job.encode or shipped_encoder())
    trainer = Trainer(recipe, text, bank, rank)
    start = trainer.resume(job.out / CHECKPOINT) if job.resume else 0
    if not start and recipe.start_from:
        trainer.start_from(job.out.parent / recipe.start_from / WEIGHTS)
    log = TrainingLog(job.out / "log.csv", start, recipe.steps, progress) if rank == 0 else None
    for step, batch in enumerate(_batches(job, rank, start), start):
        figures = trainer.step(step, batch)
        if log is not None:
            log.write(step + 1, figures)
        done = step + 1
        if rank == 0 and (done % recipe.checkpoint_every == 0 or done == job.last):
            trainer.save(job.out, done)
    if log is not None:
        log.close()


def _batches(job: Job, rank: int, start: int) -> Iterator[datasets.Batch]:
    """This process's part of every batch, drawn ahead by a worker."""
    recipe = job.recipe
    generated = Path(os.environ.get("CHANGESCRIBE_SCENES", job.out.parent / "scenes"))
    parts = [datasets.open_source(s.name, job.data, generated) for s in recipe.sources]
    data = datasets.PairDataset(parts, [s.weight for s in recipe.sources], recipe.seed)
    share = recipe.batch_size // recipe.processes
    order = [
        [step * recipe.batch_size + rank * share + i for i in range(share)]
        for step in range(start, job.last)
    ]
    return iter(
        torch.utils.data.DataLoader(
            data,
            batch_sampler=order,
            collate_fn=datasets.collate,
            num_workers=1,
            prefetch_factor=4,
            # Forked, so that the images in memory are shared and not copied.
            multiprocessing_context="fork",
        )
    )


class Trainer:
    """Model, averaged model, optimiser and schedule.

    Args:
        recipe: the run.
        text: embedded phrase bank.
        bank: its phrases.
        rank: number of this process; each asks with phrases of its own.
    """

    def __init__(self, recipe: Recipe, text: TextBank, bank: PhraseBank, rank: int = 0) -> None:
        self.recipe = recipe
        self.text = text
        self.bank = bank
        self.rank = rank
        self.model = ChangeModel(recipe.model).to(memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.model).eval()
        backbone = [p for p in self.model.encoder.backbone.parameters() if p.requires_grad]
        known = {id(p) for p in self.model.encoder.backbone.parameters()}
        others = [p for p in self.model.parameters() if id(p) not in known]
        self.optimiser = torch.optim.AdamW(
            [{"params": backbone, "lr": recipe.encoder_lr}, {"params": others, "lr": recipe.lr}],
            weight_decay=recipe.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)
        self.half = torch.backends.mkldnn.is_available() and _has_bfloat16()

    def _rate(self, step: int) -> float:
        """Linear warm-up, then a cosine to zero."""
        warmup = self.recipe.warmup
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, self.recipe.steps - warmup)))

    def loss(self, step: int, batch: datasets.Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and its parts.

        Every pair is asked about every class, and absent things, in both directions.
        """
        count = batch.before.shape[0]
        images = torch.cat([batch.before, batch.after]).float()
        images = images.contiguous(memory_format=torch.channels_last)
        phrases = self._phrases(step)
        sentences = self.text.sentences[phrases]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.half):
            encoded = self.model.encoder(images)
            # The dates of the second half are exchanged: what is asked there is "removed".
            exchanged = Encoded(*(torch.cat([p[count:], p[:count]]) for p in encoded))
            logits = self.model.head(encoded, exchanged, sentences)
        targets = torch.cat([batch.targets[:, 0], batch.targets[:, 1]])
        absent = torch.zeros_like(targets[:, :ABSENT_QUERIES])
        # In the layout of the logits: convolutions are several times slower where the gradients
        # come back in another one.
        targets = torch.cat([targets, absent], 1).contiguous(memory_format=torch.channels_last)
        change = change_loss(logits, targets.float().clamp(max=CELL**2) / CELL**2,
                             targets != UNKNOWN)
        scenes = class_loss(encoded.classes, torch.cat([batch.state_before, batch.state_after]))
        steady = steady_loss(encoded.classes[:count], encoded.classes[count:], batch.steady)
        text = self._reading_loss(phrases, sentences)
        recipe = self.recipe
        total = recipe.change_weight * change + recipe.class_weight * scenes
        total = total + recipe.steady_weight * steady + READING_WEIGHT * text
        parts = {"loss": total, "change": change, "classes": scenes, "steady": steady, "text": text}
        return total, {name: float(value.detach()) for name, value in parts.items()}

    def _phrases(self, step: int) -> Tensor:
        """Return rows of the phrase bank: one phrase for each class, then absent things."""
        rng = np.random.default_rng((self.recipe.seed, step, self.rank))
        wanted = [*range(NUM_CLASSES), *[ABSENT] * ABSENT_QUERIES]
        return torch.tensor([self.bank.sample(index, rng) for index in wanted])

    def _reading_loss(self, phrases: Tensor, sentences: Tensor) -> Tensor:
        """Cross-entropy of which class, or none, a phrase names."""
        named = torch.from_numpy(self.bank.classes)[phrases]
        target = torch.where(named == ABSENT, torch.full_like(named, NUM_CLASSES), named)
        return F.cross_entropy(self.model.head.prior.reading(sentences), target)

    def step(self, step: int, batch: datasets.Batch) -> dict[str, float]:
        """Take one optimiser step; return the parts of the loss."""
        total, figures = self.loss(step, batch)
        self.optimiser.zero_grad(set_to_none=False)
        total.backward()
        self._share_gradients()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        self.schedule.step()
        self._update_average(step)
        return figures

    def _share_gradients(self) -> None:
        """Average the gradients over the processes, as one vector."""
        if not torch.distributed.is_initialized():
            return
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([p.grad.reshape(-1) for p in parameters])
        torch.distributed.all_reduce(flat)
        flat /= torch.distributed.get_world_size()
        start = 0
        for parameter in parameters:
            part = flat[start : start + parameter.numel()].view(parameter.shape)
            parameter.grad.copy_(part)
            start += parameter.numel()

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        """Exponential moving average of weights and of the statistics of batch norm."""
        decay = min(self.recipe.ema, (1 + step) / (10 + step))
        current = self.model.state_dict()
        for name, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])

    def save(self, out: Path, step: int) -> None:
        """Write the checkpoint and the averaged weights, each complete or not at all."""
        state = {
            "step": step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        weights = {"config": asdict(self.recipe.model), "state_dict": state["average"]}
        weights["step"] = step
        for name, content in ((CHECKPOINT, state), (WEIGHTS, weights)):
            torch.save(content, out / f"{name}.part")
            os.replace(out / f"{name}.part", out / name)

    def start_from(self, path: Path) -> None:
        """Take the averaged weights of another run.

        Raises:
            InputError: there is no such run.
        """
        if not path.exists():
            raise InputError(
                f"The run that this recipe starts from is missing: {path.parent.name}.",
                f"Train it first: changescribe train {path.parent.name} --out {path.parent}",
            )
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        self.model.load_state_dict(state)
        self.average.load_state_dict(state)

    def resume(self, path: Path) -> int:
        """Load a checkpoint if there is one; return the number of steps done."""
        if not path.exists():
            return 0
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        return int(state["step"])


class TrainingLog:
    """Appends figures to a CSV file, and shows how far the run is.

    Args:
        path: of the file.
        start: steps done before; a fresh run starts a fresh file.
        steps: of the whole run.
        progress: see :func:`train`.
    """

    def __init__(
        self,
        path: Path,
        start: int,
        steps: int,
        progress: Optional[Callable[[int, int, float], None]],
    ) -> None:
        self.file = path.open("a" if start else "w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file)
        self.start, self.steps, self.progress = start, steps, progress
        self.began = time.monotonic()
        self.mean: Optional[float] = None

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Write one step."""
        if step == 1:
            self.writer.writerow(["step", "seconds", *figures])
        seconds = time.monotonic() - self.began
        self.writer.writerow([step, f"{seconds:.1f}", *(f"{v:.5f}" for v in figures.values())])
        self.file.flush()
        loss = figures["loss"]
        self.mean = loss if self.mean is None else 0.98 * self.mean + 0.02 * loss
        if self.progress is not None:
            self.progress(step, self.steps, self.mean)
        else:
            self._draw(step, seconds)

    def _draw(self, step: int, seconds: float) -> None:
        left = seconds / (step - self.start) * (self.steps - step)
        bar = "#" * (30 * step // self.steps)
        sys.stderr.write(
            f"\r[{bar:<30}] {step}/{self.steps}  loss {self.mean:.3f}  {left / 60:.0f} min left "
        )
        sys.stderr.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself: otherwise it is slower, not faster."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())


def load_model(path: str | Path) -> ChangeModel:
    """Load averaged weights written by :func:`train`, in evaluation mode."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    config = ModelConfig(**{**content["config"], "pretrained": False})
    model = ChangeModel(config)
    model.load_state_dict(content["state_dict"])
    return model.eval()

