# SPDX-License-Identifier: GPL-3.0-or-later
"""One training process: model, averaged weights, optimiser, schedule, checkpoint."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from ..device import Device, choose
from ..errors import InputError
from ..weights.files import sha256_of
from ..weights.loading import read_head, save_head
from .recipe import OptimiserSpec, Recipe
from .tasks import Task
from .texts import TrainingTexts

#: File with everything that a resumed run needs.
CHECKPOINT = "checkpoint.pt"
#: File with the result: averaged weights, as systems load them.
WEIGHTS = "model.safetensors"
#: The same at the step with the best figure of the task on the validation pairs.
BEST = "best.safetensors"
#: torch's type names for a recipe's ``precision``.
_TYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}

Batch = dict[str, Tensor]


class Trainer:
    """Model, averaged weights, optimiser and schedule.

    Torch is seeded before every step, so the random numbers of a step do not depend on the run's
    history.

    Attributes:
        model: in training mode, on the device.
        device: device and precision.
        best: highest value of the task's figure on validation pairs so far, -1 before the first.
        origin: SHA-256 of the weights that the run started from; "" for none.
    """

    def __init__(self, recipe: Recipe, task: Task, device: str = "cpu", rank: int = 0) -> None:
        self.recipe, self.task, self.rank = recipe, task, rank
        self.device = choose_device(recipe, device)
        torch.manual_seed(recipe.seed)
        model = task.build(dict(recipe.model))
        # Faster for convolutions on a CPU, and in half precision on a GPU.
        self.model = model.to(self.device.name, memory_format=torch.channels_last).train()
        self.average = self._current() if recipe.ema else {}
        groups = task.parameter_groups(self.model, recipe)
        self.optimiser = make_optimiser(recipe.optimiser, groups)
        self.schedule = LambdaLR(self.optimiser, self._rate)
        fp16 = self.device.precision == "float16"
        self.scaler = torch.amp.GradScaler(self.device.name, enabled=fp16)
        self.best = -1.0
        self.origin = ""
        self.blended_with: dict[str, Tensor] = {}
        self.partner = ""

    def _rate(self, step: int) -> float:
        """Return the factor of the learning rate at a step."""
        schedule = self.recipe.schedule
        if step < schedule.warmup:
            return (step + 1) / schedule.warmup
        done = (step - schedule.warmup) / max(1, self.recipe.steps - schedule.warmup)
        if schedule.name == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        if schedule.name == "poly":
            return max(0.0, 1 - done) ** schedule.power
        return 1.0

    def step(self, step: int, parts: Sequence[Batch]) -> dict[str, float]:
        """Take one optimiser step; return the loss and its parts.

        Raises:
            InputError: the loss is not finite.
        """
        seed = np.random.SeedSequence((self.recipe.seed, step, self.rank)).generate_state(1)
        torch.manual_seed(int(seed[0]))
        self.optimiser.zero_grad(set_to_none=False)
        with self._learning(step):
            mean = self._learn(step, parts)
        self.schedule.step()
        self._update_average(step)
        return mean

    def _learn(self, step: int, parts: Sequence[Batch]) -> dict[str, float]:
        """Compute gradients and update the weights; return the loss and its parts."""
        figures: list[dict[str, float]] = []
        for part in parts:
            with self.device.autocast():
                loss, named = self.task.loss(self.model, self.moved(part), step)
            self.scaler.scale(loss / len(parts)).backward()
            figures.append({"loss": float(loss.detach()), **named})
        mean = {name: sum(f[name] for f in figures) / len(figures) for name in figures[0]}
        if not math.isfinite(mean["loss"]):
            raise InputError(TrainingTexts.loss_not_finite(step=step + 1))
        # Before the scaler looks for overflow, so that all processes skip the same steps.
        self._share_gradients()
        self.scaler.unscale_(self.optimiser)
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return mean

    @contextmanager
    def _learning(self, step: int) -> Iterator[None]:
        """Freeze the parameters that the task does not train at a step."""
        chosen = self.task.learning(self.model, step)
        known = {id(p) for p in chosen or ()}
        frozen = (
            []
            if chosen is None
            else [p for p in self.model.parameters() if p.requires_grad and id(p) not in known]
        )
        for parameter in frozen:
            parameter.requires_grad_(False)
            parameter.grad = None  # with zero gradients, momentum would still move them
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def moved(self, batch: Batch) -> Batch:
        """Return a batch moved to the device."""
        device = self.device.name
        return {name: value.to(device, non_blocking=True) for name, value in batch.items()}

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
        """Update the moving average of weights and batch-norm statistics."""
        if not self.recipe.ema:
            return
        decay = min(self.recipe.ema, (1 + step) / (10 + step))
        current = self.task.weights(self.model)
        for name, value in self.average.items():
            if value.dtype.is_floating_point:
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])

    def _current(self) -> dict[str, Tensor]:
        """Return a copy of the current trained weights."""
        return {name: v.detach().clone() for name, v in self.task.weights(self.model).items()}

    def _result(self) -> dict[str, Tensor]:
        """Return a copy of the averaged weights, blended with those of another run if any."""
        state = {k: v.clone() for k, v in (self.average or self._current()).items()}
        for name, other in self.blended_with.items():
            if state[name].dtype.is_floating_point:
                # In this form, a share of 1 gives exactly the run's own weights.
                state[name] += (1 - self.recipe.blend) * (other - state[name])
        return state

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """Use the averaged weights, in evaluation mode; restore the model afterwards."""
        kept = self._current()
        self.model.load_state_dict(self._result(), strict=False)
        self.model.eval()
        try:
            yield self.model
        finally:
            self.model.load_state_dict(kept, strict=False)
            self.model.train()

    def save(self, out: Path, step: int) -> None:
        """Write the checkpoint and the weights, each atomically."""
        state = {
            "step": step,
            "model": self._current(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "task": self.task.state_dict(),
            "best": self.best,
            "origin": self.origin,
            "partner": self.partner,
        }
        torch.save(state, out / f"{CHECKPOINT}.part")
        os.replace(out / f"{CHECKPOINT}.part", out / CHECKPOINT)
        self.save_weights(out / WEIGHTS, step)

    def save_weights(self, path: Path, step: int, figures: dict[str, float] | None = None) -> None:
        """Write the averaged weights as a system loads them."""
        recipe = self.recipe
        metadata: dict[str, Any] = {
            "system": self.task.name,
            "config": recipe.model,
            "classes": list(self.task.classes),
            "step": step,
            "recipe": asdict(recipe),
        }
        if figures:
            metadata["validation"] = figures
        save_head(self._result(), path, metadata)

    def start_from(self, path: Path) -> None:
        """Start from the averaged weights of another run.

        Raises:
            InputError: there is no such run.
            WeightsError: its weights are damaged.
        """
        check_origin(path)
        state, _ = read_head(path)
        self._load(state)
        self.origin = sha256_of(path)
        self.average = self._current() if self.recipe.ema else {}

    def blend_with(self, path: Path) -> None:
        """Blend the result with that of another run, see :attr:`.recipe.Recipe.blend`.

        Raises:
            InputError: there is no such run, or it has another model.
            WeightsError: its weights are damaged.
        """
        check_origin(path)
        state, _ = read_head(path)
        self._check_names(state)
        self.blended_with = {name: value.to(self.device.name) for name, value in state.items()}
        self.partner = sha256_of(path)

    def resume(self, path: Path, origin: Path | None = None) -> int:
        """Load a checkpoint if there is one; return the number of steps done.

        Raises:
            InputError: it belongs to another model, or the run started from other weights.
        """
        if not path.exists():
            return 0
        state = torch.load(path, map_location=self.device.name, weights_only=True)
        self.origin = state.get("origin", "")  # missing in checkpoints of earlier versions
        if self.origin and origin and origin.exists() and sha256_of(origin) != self.origin:
            raise InputError(TrainingTexts.origin_changed(run=origin.parent.name))
        if state.get("partner", self.partner) != self.partner:
            raise InputError(TrainingTexts.partner_changed(run=self.recipe.blend_with))
        self._load(state["model"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.task.load_state_dict(state["task"])
        self.best = state["best"]
        return int(state["step"])

    def _check_names(self, state: dict[str, Tensor]) -> None:
        own = self.task.weights(self.model)
        if {n: v.shape for n, v in state.items()} != {n: v.shape for n, v in own.items()}:
            raise InputError(TrainingTexts.other_model())

    def _load(self, state: dict[str, Tensor]) -> None:
        self._check_names(state)
        self.model.load_state_dict(state, strict=False)


def check_origin(path: Path) -> None:
    """Raise InputError if the weights to build on are missing."""
    if not path.exists():
        raise InputError(TrainingTexts.run_missing(run=path.parent.name, folder=path.parent))


def choose_device(recipe: Recipe, name: str) -> Device:
    """Choose device and precision for a recipe.

    Raises:
        InputError: the device does not support the recipe's precision.
    """
    device = choose(name)
    if recipe.precision == "auto":
        half = device.name == "cpu" and torch.backends.mkldnn.is_available() and _has_bfloat16()
        return Device("cpu", "bfloat16", device.text) if half else device
    if recipe.precision == "fp16" and device.name == "cpu":
        raise InputError(TrainingTexts.fp16_needs_gpu())
    return Device(device.name, _TYPES[recipe.precision], device.text)


def make_optimiser(spec: OptimiserSpec, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Return torch's optimiser for a recipe."""
    if spec.name == "sgd":
        return torch.optim.SGD(
            groups, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay
        )
    kind = torch.optim.AdamW if spec.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=spec.lr, betas=tuple(spec.betas), weight_decay=spec.weight_decay)


def _has_bfloat16() -> bool:
    """Whether the processor has native bfloat16; without it, bfloat16 is slower."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())
