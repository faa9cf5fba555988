# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: everything that determines the result of a training run, in one YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

import yaml
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError
from ..paths import RECIPES
from .overrides import set_values
from .texts import TrainingTexts

TERMS = ("open", "restricted")
OPTIMISERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "poly", "constant")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
#: YAML files in the folder that are not recipes of the training loop.
_OTHERS = ("text_tower",)
#: Settings that a resumed run may change; they do not affect what it learns.
_MAY_CHANGE = (
    "description steps stop_at checkpoint_every validate_every processes threads workers"
).split()


@dataclass
class DataSpec:
    """A set of labelled pairs.

    Attributes:
        layout: layout of its folder, see :mod:`.pairs`; for the bundled model a source of
            :mod:`.scenes.datasets`.
        folder: of the set; relative to the data folder.
        split: part of the set, such as ``"train"``; empty if there are none.
        names: text file in ``folder`` with the names of the images to use, one per line, with
            or without suffix; empty: all.
        folds: number of folds that the names, in alphabetical order, are dealt into in turn;
            0 does not split the set.
        fold: folds to use, from 0.
        changed: share of the training crops that should contain change.
        terms: of use, ``"open"`` or ``"restricted"``.
        weight: share of the training pairs.
        options: specific to this layout.
    """

    layout: str = MISSING
    folder: str = ""
    split: str = ""
    names: str = ""
    folds: int = 0
    fold: list[int] = field(default_factory=list)
    changed: float = 0.0
    terms: str = "restricted"
    weight: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class OptimiserSpec:
    """The optimiser.

    Attributes:
        name: ``"adamw"``, ``"adam"`` or ``"sgd"``.
        lr: peak learning rate.
        encoder_lr: peak learning rate of a pretrained encoder that is trained; None: ``lr``.
        weight_decay: see torch's optimiser.
        betas: of Adam and AdamW.
        momentum: of SGD.
    """

    name: str = "adamw"
    lr: float = 1e-3
    encoder_lr: Optional[float] = None
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9


@dataclass
class ScheduleSpec:
    """The learning rate over the run: linear warm-up, then decay to zero.

    Attributes:
        name: ``"cosine"``, ``"poly"``: (1 - t)^power, or ``"constant"``.
        warmup: optimiser steps.
        power: of ``"poly"``.
    """

    name: str = "cosine"
    warmup: int = 100
    power: float = 0.9


@dataclass
class AugmentSpec:
    """Augmentation of training crops, with their labels, directions and captions.

    Attributes:
        flip: random flips.
        rotate: random quarter turns.
        exchange: probability of swapping the dates.
        colour: strength of the differences in light, colour and registration between the dates;
            bundled model only.
        tint: probability of a strong colour cast and haze over a whole date; bundled model only.
    """

    flip: bool = True
    rotate: bool = True
    exchange: float = 0.5
    colour: float = 1.0
    tint: float = 0.0


@dataclass
class Recipe:
    """A training run.

    Attributes:
        name: of the run.
        description: one line.
        task: system to train, see :mod:`.tasks`.
        model: sizes and parts of the model, defined by the task.
        loss: weights of the parts of the loss, defined by the task.
        data: training pairs.
        validation: pairs for choosing the best weights; None keeps only the last ones.
        crop: side of training crops and validation tiles, in pixels.
        augment: of the crops.
        seed: of initial weights, crops and dropout.
        steps: optimiser steps.
        stop_at: stop after this step, before the end of the schedule; 0: never.
        batch_size: pairs per optimiser step, over all processes and parts.
        accumulate: parts into which a batch is split to save memory.
        optimiser: see :class:`OptimiserSpec`.
        schedule: see :class:`ScheduleSpec`.
        ema: decay of the averaged weights, which are the result; 0 uses the last weights.
        clip: maximum norm of the gradients; 0 does not clip.
        precision: ``"auto"``, ``"bf16"``, ``"fp16"`` (with a scaled loss, GPU only) or ``"fp32"``.
        processes: training processes, whose gradients are averaged; on GPUs at most one each.
            ``torchrun`` decides for itself.
        threads: per process on a CPU; 0 leaves it to torch.
        workers: prefetching processes per training process.
        checkpoint_every: in steps.
        validate_every: in steps; 0: at the end.
        start_from: name of the recipe whose result the run starts from, in the folder of that
            name beside this run's. Empty: from scratch, or from the model's pretrained parts.
        blend_with: name of the recipe whose result is blended with that of the run (weights
            interpolated, WiSE-FT, Wortsman et al. 2022, equation 1), in the folder of that name
            beside this run's. Empty: no blend.
        blend: share of the run in the blend.
    """

    name: str = MISSING
    description: str = ""
    task: str = MISSING
    model: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, float] = field(default_factory=dict)
    data: list[DataSpec] = field(default_factory=list)
    validation: Optional[DataSpec] = None
    crop: int = 256
    augment: AugmentSpec = field(default_factory=AugmentSpec)
    seed: int = 17
    steps: int = MISSING
    stop_at: int = 0
    batch_size: int = 8
    accumulate: int = 1
    optimiser: OptimiserSpec = field(default_factory=OptimiserSpec)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    ema: float = 0.0
    clip: float = 0.0
    precision: str = "auto"
    processes: int = 1
    threads: int = 0
    workers: int = 1
    checkpoint_every: int = 200
    validate_every: int = 0
    start_from: str = ""
    blend_with: str = ""
    blend: float = 0.5

    @property
    def stages(self) -> list[Recipe]:
        """Return the recipe and the shipped ones that it builds on, last to first."""
        stages, known = [self], set(shipped_names())
        for stage in stages:  # grows meanwhile
            for name in stage.built_on:
                if name in known:
                    known.remove(name)
                    stages.append(load_recipe(name))
        return stages

    @property
    def built_on(self) -> tuple[str, ...]:
        """Return the runs that this one starts from or is blended with."""
        return tuple(filter(None, (self.start_from, self.blend_with)))

    @property
    def terms(self) -> str:
        """Return ``"open"`` if every source of this and all earlier stages is open.

        Stages that do not ship count as restricted.
        """
        stages = self.stages
        known = set(shipped_names()).issuperset(n for stage in stages for n in stage.built_on)
        sources = [source for stage in stages for source in stage.data]
        return "open" if known and all(s.terms == "open" for s in sources) else "restricted"

    @property
    def last_step(self) -> int:
        """Return the last step of the run."""
        return min(self.stop_at or self.steps, self.steps)


def shipped_names() -> tuple[str, ...]:
    """Return the names of the recipes that ship."""
    return tuple(sorted(p.stem for p in RECIPES.rglob("*.yaml") if p.stem not in _OTHERS))


def load_recipe(path: str | Path, values: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: YAML file, or the name of a shipped recipe.
        values: ``KEY=VALUE`` that replace those of the file, see :mod:`.overrides`.

    Raises:
        InputError: unreadable, an unknown or missing key, or a value of the wrong type or out of
            range.
    """
    path = given = Path(path)
    if not path.suffix and len(path.parts) == 1:
        path = next(RECIPES.rglob(f"{path.name}.yaml"), RECIPES / f"{path.name}.yaml")
    try:
        content = OmegaConf.create(path.read_text(encoding="utf-8"))
        if values and OmegaConf.is_dict(content):
            set_values(content, Recipe, values)
        recipe = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Recipe), content))
    except OSError as error:
        names = ", ".join(shipped_names())
        raise InputError(TrainingTexts.no_recipe(name=given, known=names)) from error
    # OmegaConf asserts that YAML is a mapping or a list.
    except (
        OmegaConfBaseException,
        yaml.YAMLError,
        ValueError,
        AssertionError,
        RecursionError,
    ) as error:
        where = getattr(error, "full_key", None)
        problem = (str(error).splitlines() or [TrainingTexts.no_mapping()])[0] + (
            f" ({where})" if where else ""
        )
        text = TrainingTexts.not_a_recipe(file=path.name, problem=problem)
        raise InputError(text, details=str(error)) from error
    _check(recipe, path.name)
    return recipe


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe with all defaults."""
    text = OmegaConf.to_yaml(OmegaConf.create(asdict(recipe)))
    path.write_text(text, encoding="utf-8")


def check_unchanged(recipe: Recipe, path: Path) -> None:
    """Raise InputError if a recipe differs from the one that the run was started with."""
    if not path.exists():
        return
    begun, now = asdict(load_recipe(path)), asdict(recipe)
    keys = [key for key in now if key not in _MAY_CHANGE]
    key = _first_difference({k: begun[k] for k in keys}, {k: now[k] for k in keys})
    if key is not None:
        raise InputError(TrainingTexts.other_recipe(run=path.parent.name, key=key))


def _first_difference(one: Any, other: Any) -> Optional[str]:
    """Return the path of the first value that differs ("data.0.weight"), or None."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return None if one == other else ""
    for key in dict.fromkeys([*one, *other]):
        if key not in one or key not in other:
            return str(key)
        found = _first_difference(one[key], other[key])
        if found is not None:
            return f"{key}.{found}".rstrip(".")
    return None


def _check(recipe: Recipe, name: str) -> None:
    """Raise InputError for values out of range."""
    specs = [*recipe.data, *([recipe.validation] if recipe.validation else [])]
    choices = [
        ("optimiser.name", recipe.optimiser.name, OPTIMISERS),
        ("schedule.name", recipe.schedule.name, SCHEDULES),
        ("precision", recipe.precision, PRECISIONS),
        *((f"terms of {s.layout}", s.terms, TERMS) for s in specs),
    ]
    for key, value, allowed in choices:
        if value not in allowed:
            known = ", ".join(allowed)
            text = TrainingTexts.bad_choice(recipe=name, key=key, value=value, known=known)
            raise InputError(text)
    parts = recipe.processes * recipe.accumulate
    sizes = (recipe.steps, recipe.batch_size, recipe.crop, recipe.checkpoint_every, parts)
    rules = {
        TrainingTexts.needs_data: not recipe.data,
        TrainingTexts.positive_sizes: min(*sizes, recipe.workers) < 1,
        TrainingTexts.ema_range: not 0 <= recipe.ema < 1,
        TrainingTexts.blend_range: not 0 <= recipe.blend <= 1,
        TrainingTexts.positive_weights: any(s.weight <= 0 for s in recipe.data),
        TrainingTexts.fold_range: any(
            s.folds and not set(s.fold) <= set(range(s.folds)) for s in specs
        ),
    }
    for text, broken in rules.items():
        if broken:
            raise InputError(text(recipe=name))
    check_parts(recipe)


def check_parts(recipe: Recipe) -> None:
    """Raise InputError if the batches cannot be shared among the processes and their parts."""
    parts = recipe.processes * recipe.accumulate
    if recipe.batch_size % parts:
        raise InputError(TrainingTexts.batch_parts(recipe=recipe.name, parts=parts))
