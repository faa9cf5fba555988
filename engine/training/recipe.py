# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: everything that determines the result of a training run, in one YAML file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

import yaml
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError
from ..paths import RECIPES
from .texts import TrainingTexts

TERMS = ("open", "restricted")
OPTIMISERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "poly", "constant")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
#: Files there that are no recipes of the training loop: a module of its own reads them.
_OTHERS = ("text_tower",)
#: What a run may change where it goes on: how long, how fast and how often, not what it learns.
_MAY_CHANGE = (
    "description steps stop_at checkpoint_every validate_every processes threads workers"
).split()


@dataclass
class DataSpec:
    """A set of labelled pairs.

    Attributes:
        layout: how its folder is laid out, see :mod:`.pairs`; for the bundled model one of the
            sources in :mod:`.datasets`.
        folder: of the set; relative to the data folder.
        split: part of the set, such as ``"train"``; empty where the folder has no parts.
        names: text file in ``folder`` with the names of the images to use, one a line (a suffix
            does not matter); empty: all.
        folds: number of parts that the names, in alphabetical order, are dealt into one by one;
            0 does not divide the set.
        fold: parts to use, from 0.
        changed: share of the training crops that should hold some change.
        terms: of use, ``"open"`` or ``"restricted"``.
        weight: share of the training pairs.
        options: what only this layout has.
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
        weight_decay: of torch's optimiser of that name.
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
    """The learning rate over the run: a linear warm-up, then a fall to zero.

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
    """What is done to training crops; labels, directions and captions follow.

    Attributes:
        flip: mirror, at random.
        rotate: turn by a quarter, at random.
        exchange: probability of exchanging the dates.
        colour: strength of the differences in light, colour and register between the dates; of
            the bundled model's training alone.
        tint: probability of a strong colour cast and haze over a whole date, as of another sensor
            or sky; of the bundled model's training alone.
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
        task: system that is trained, see :mod:`.tasks`.
        model: sizes and parts of the model; which there are is the task's business.
        loss: weights of the parts of its loss; the same.
        data: training pairs.
        validation: pairs on which the best weights are chosen; None keeps the last ones only.
        crop: side of training crops and validation tiles, in pixels.
        augment: of the crops.
        seed: of initial weights, crops and dropout.
        steps: optimiser steps.
        stop_at: stop after this step, before the end of the schedule; 0 does not.
        batch_size: pairs per optimiser step, over all processes and parts.
        accumulate: parts in which a step's batch is computed, for little memory.
        optimiser: see there.
        schedule: of the learning rate.
        ema: decay of the averaged weights, which are the result; 0 takes the last ones.
        clip: largest norm of the gradients; 0 does not clip.
        precision: ``"auto"``, ``"bf16"``, ``"fp16"`` (with a scaled loss, GPU only) or ``"fp32"``.
        processes: training processes, on a CPU; gradients are averaged. A GPU has one.
        threads: of each process on a CPU; 0 leaves it to torch.
        workers: processes per training process that read ahead.
        checkpoint_every: steps.
        validate_every: steps; 0: at the end.
        start_from: name of the recipe whose result the run starts from; its run must be in
            the folder ``start_from`` beside this one's. Empty: from scratch, or the pretrained
            parts that the model names.
        blend_with: name of a recipe whose result is blended with that of the run (weights
            interpolated, WiSE-FT, Wortsman et al. 2022, equation 1); its run must be in the folder
            of that name beside this one's. Empty: the run's result is what it has learnt.
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
        """The recipe, and those whose results it builds on as far as they ship: last to first."""
        stages, known = [self], set(shipped_names())
        for stage in stages:  # which grows meanwhile
            for name in stage.built_on:
                if name in known:
                    known.remove(name)
                    stages.append(load_recipe(name))
        return stages

    @property
    def built_on(self) -> tuple[str, ...]:
        """The runs whose results this one needs: what it starts from, and is blended with."""
        return tuple(filter(None, (self.start_from, self.blend_with)))

    @property
    def terms(self) -> str:
        """``"open"`` if every source is, those of the stages before included.

        Nothing is known of a stage that does not ship, so it counts as restricted.
        """
        stages = self.stages
        known = set(shipped_names()).issuperset(n for stage in stages for n in stage.built_on)
        sources = [source for stage in stages for source in stage.data]
        return "open" if known and all(s.terms == "open" for s in sources) else "restricted"

    @property
    def last_step(self) -> int:
        """The step at which the run ends."""
        return min(self.stop_at or self.steps, self.steps)


def shipped_names() -> tuple[str, ...]:
    """Return the names of the recipes that ship."""
    return tuple(sorted(p.stem for p in RECIPES.rglob("*.yaml") if p.stem not in _OTHERS))


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Raises:
        InputError: not a recipe: unreadable, unknown or missing key, a value of the wrong type
            or out of its range.
    """
    path = given = Path(path)
    if not path.suffix and len(path.parts) == 1:
        path = next(RECIPES.rglob(f"{path.name}.yaml"), RECIPES / f"{path.name}.yaml")
    try:
        content = OmegaConf.create(path.read_text(encoding="utf-8"))
        recipe = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Recipe), content))
    except OSError as error:
        names = ", ".join(shipped_names())
        raise InputError(TrainingTexts.no_recipe(name=given, known=names)) from error
    except (OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "full_key", None)
        problem = str(error).splitlines()[0] + (f" ({where})" if where else "")
        text = TrainingTexts.not_a_recipe(file=path.name, problem=problem)
        raise InputError(text, details=str(error)) from error
    _check(recipe, path.name)
    return recipe


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe with all its defaults."""
    text = OmegaConf.to_yaml(OmegaConf.create(asdict(recipe)))
    path.write_text(text, encoding="utf-8")


def check_unchanged(recipe: Recipe, path: Path) -> None:
    """Refuse a recipe that differs from the one that a run was begun with."""
    if not path.exists():
        return
    begun, now = asdict(load_recipe(path)), asdict(recipe)
    keys = [key for key in now if key not in _MAY_CHANGE]
    key = _first_difference({k: begun[k] for k in keys}, {k: now[k] for k in keys})
    if key is not None:
        raise InputError(TrainingTexts.other_recipe(run=path.parent.name, key=key))


def _first_difference(one: Any, other: Any) -> Optional[str]:
    """Return the path of the first value that differs, ("data.0.weight"); None: there is none."""
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
    """Refuse values out of their range."""
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
        TrainingTexts.batch_parts: parts > 0 and recipe.batch_size % parts,
        TrainingTexts.ema_range: not 0 <= recipe.ema < 1,
        TrainingTexts.blend_range: not 0 <= recipe.blend <= 1,
        TrainingTexts.positive_weights: any(s.weight <= 0 for s in recipe.data),
        TrainingTexts.fold_range: any(
            s.folds and not set(s.fold) <= set(range(s.folds)) for s in specs
        ),
    }
    for text, broken in rules.items():
        if broken:
            raise InputError(text(recipe=name, parts=parts))
