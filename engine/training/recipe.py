# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: everything that decides what a training run yields, in one YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..modules.bundled import ModelConfig
from .datasets import SourceSpec

TERMS = ("open", "restricted")
#: Folder of the recipes that ship.
RECIPES = Path(__file__).resolve().parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
        name: of the variant.
        description: one line.
        model: sizes.
        sources: data, with terms and shares.
        seed: of initial weights and data.
        steps: optimiser steps.
        stop_at: stop after this step, before the end of the schedule; 0 does not.
        batch_size: pairs per step, over all processes.
        lr: peak learning rate of adapters, class branch and head.
        encoder_lr: peak learning rate of the backbone.
        weight_decay: of AdamW.
        warmup: steps of linear warm-up, before a cosine to zero.
        ema: decay of the averaged weights, which are the result.
        change_weight: weight of the loss of the change maps.
        class_weight: weight of the per-date class loss.
        steady_weight: weight of the loss of class scores that differ where nothing changed.
        start_from: name of the recipe whose result the run starts from; its run must be in
            the folder ``start_from`` beside this one's. Empty: from ImageNet.
        processes: training processes of one thread each; gradients are averaged.
        checkpoint_every: steps.
    """

    name: str
    description: str
    sources: tuple[SourceSpec, ...]
    model: ModelConfig = field(default_factory=ModelConfig)
    seed: int = 17
    steps: int = 2400
    stop_at: int = 0
    batch_size: int = 8
    lr: float = 1e-3
    encoder_lr: float = 3e-4
    weight_decay: float = 0.01
    warmup: int = 100
    ema: float = 0.997
    change_weight: float = 2.0
    class_weight: float = 1.0
    steady_weight: float = 2.0
    start_from: str = ""
    processes: int = 2
    checkpoint_every: int = 200

    @property
    def terms(self) -> str:
        """``"open"`` if every source is."""
        return "open" if all(s.terms == "open" for s in self.sources) else "restricted"


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        path: of the YAML file, or the name of a shipped recipe ("bundled").

    Raises:
        InputError: not a recipe: unreadable, unknown key, no source, unknown terms.
    """
    import yaml

    path = Path(path)
    if not path.suffix:
        path = RECIPES / f"{path.name}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        sources = tuple(SourceSpec(**source) for source in content.pop("sources"))
        model = ModelConfig(**content.pop("model", {}))
        recipe = Recipe(sources=sources, model=model, **content)
    except (OSError, AttributeError, KeyError, TypeError, yaml.YAMLError) as error:
        raise InputError(
            f"{path.name} is not a training recipe.",
            "See engine/training/recipes/bundled.yaml for one.",
            str(error),
        ) from error
    wrong = [s.name for s in sources if s.terms not in TERMS]
    if wrong or not sources:
        raise InputError(
            f"{path.name}: terms of {', '.join(wrong) or 'no source'} must be open or restricted."
        )
    return recipe
