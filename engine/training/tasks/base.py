# SPDX-License-Identifier: GPL-3.0-or-later
"""Interface between a system and the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from ...modules.layers import trained
from ..pairs.pair import UNKNOWN

if TYPE_CHECKING:
    from pathlib import Path

    from torch.utils.data import Dataset

    from ..pairs.pair import LabelledPair
    from ..recipe import Recipe


class Task(ABC):
    """The part of a system in the training loop.

    The loop owns device, precision, optimiser, schedule, averaged weights and files; the recipe
    sets crop and augmentation. Before every step, the loop seeds torch from the recipe's seed and
    the step number, so that a resumed run draws the same as an uninterrupted one: a task keeps no
    random state, and any other state goes into :meth:`state_dict`.

    Attributes:
        name: of the system.
        classes: names of the classes of ``semantic_before`` and ``semantic_after``, in the order
            of their indices; empty if the system has none. Written into the weights' header.
        figure: validation figure that chooses the best weights, see :func:`..loop.validate`.
    """

    name: str
    classes: tuple[str, ...] = ()
    figure: str = "f1"

    def check(self, recipe: Recipe, data: Path) -> None:  # noqa: B027 - most use every setting
        """Raise InputError for settings that the task would ignore.

        Called once, before a run writes or loads anything.

        Raises:
            InputError: a setting has no effect here, or names missing data.
        """

    def prepare(self, recipe: Recipe, rank: int) -> None:  # noqa: B027 - most need nothing
        """Read the other settings of the recipe; called first, once per process."""

    @abstractmethod
    def build(self, settings: dict[str, Any]) -> nn.Module:
        """Return the model with its initial weights, frozen parts loaded.

        Parameters that do not require a gradient are frozen, see :meth:`weights`. The model keeps
        the batch statistics of its frozen parts itself (``train`` overridden).

        Args:
            settings: the section ``model`` of the recipe; ``tiny: true`` asks for the tiny
                configuration, which needs no weights.

        Raises:
            InputError: a setting is unknown.
            WeightsError: weights of a frozen part are missing.
        """

    @abstractmethod
    def sample(self, pair: LabelledPair, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the sample of one pair, images and labels.

        Arrays of one name are stacked to tensors, so they need the same shape and type for all
        pairs. Runs in a data-loader worker, without the model.

        Args:
            pair: cropped and augmented.
            rng: the only source of random numbers.
        """

    def question(self, pair: LabelledPair) -> dict[str, np.ndarray]:
        """Return the sample for evaluation, which queries :meth:`truth` in any direction.

        It must be deterministic. The default is :meth:`sample` with a fixed random state.
        """
        return self.sample(pair, np.random.default_rng(0))

    def truth(self, pair: LabelledPair) -> np.ndarray | None:
        """Return the change that :meth:`predict` should find, as ``pair.change``.

        None where it is not labelled.
        """
        return pair.change

    @abstractmethod
    def loss(
        self, model: nn.Module, batch: dict[str, Tensor], step: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch, and its parts for the log (the same names at each step).

        Called inside the loop's autocast; leave it or cast for single precision.

        Args:
            model: as built, in training mode.
            batch: stacked samples, on the model's device.
            step: optimiser steps done before this one.
        """

    @abstractmethod
    def predict(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the predictions for a batch of :meth:`question`, in evaluation mode.

        Returns:
            ``"change"``: (B, H, W) score in [0, 1], change from 0.5. A semantic system adds
            ``"semantic_before"`` and ``"semantic_after"``: (B, H, W) index of the likeliest class
            of each date, whether it changed or not.
        """

    def write(self, model: nn.Module, batch: dict[str, Tensor]) -> list[str]:
        """Return a sentence about each pair of :meth:`question`; none if the system has none."""
        return []

    def pretrained(self, model: nn.Module) -> Iterable[nn.Parameter]:
        """Return the parameters with the encoder's learning rate; none by default."""
        return ()

    def parameter_groups(self, model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
        """Return torch's parameter groups without frozen parts: :meth:`pretrained`, and the rest.

        A group's ``lr`` is its peak rate; the default is the recipe's.
        """
        slow = list(self.pretrained(model))
        known = {id(p) for p in slow}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
        if not slow:
            return [{"params": rest}]
        rate = recipe.optimiser.encoder_lr or recipe.optimiser.lr
        return [{"params": [p for p in slow if p.requires_grad], "lr": rate}, {"params": rest}]

    def learning(self, model: nn.Module, step: int) -> list[nn.Parameter] | None:
        """Return the parameters trained at a step; None is all that require a gradient.

        The others keep their values and optimiser state.
        """
        return None

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the weights to average, checkpoint and write as the result.

        Everything but frozen parts: parameters without gradient, and the buffers of modules that
        have parameters but none with one.
        """
        return trained(model)

    def dataset(self, recipe: Recipe, root: Path, runs: Path) -> Dataset:
        """Return the training samples; sample ``i`` depends on the recipe's seed and ``i`` alone.

        Raises:
            InputError: the data cannot be read.
        """
        from ..pairs.crops import TrainingCrops

        return TrainingCrops(recipe, root, self.sample)

    def state_dict(self) -> dict[str, Any]:
        """Return the task's state between steps (tensors and plain values)."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - most have no state
        """Restore what :meth:`state_dict` returned."""


def change_of(pair: LabelledPair, phrase: str) -> np.ndarray | None:
    """Return where an object changed in any direction; None if the set does not label it.

    Args:
        pair: a set without objects (change alone) counts as labelled for the object.
        phrase: the object; empty for any change.
    """
    objects = {name for name, _ in pair.directions}
    if not phrase or not objects or objects == {phrase}:
        return pair.change
    masks = [mask for (name, _), mask in pair.directions.items() if name == phrase]
    if not masks:
        return None
    changed = np.any([mask == 1 for mask in masks], axis=0)
    unknown = np.any([mask == UNKNOWN for mask in masks], axis=0)
    return np.where(changed, 1, np.where(unknown, UNKNOWN, 0)).astype(np.uint8)


def images(pair: LabelledPair) -> dict[str, np.ndarray]:
    """Return ``before`` and ``after``, (3, H, W) uint8."""
    dates = {"before": pair.before, "after": pair.after}
    return {name: np.ascontiguousarray(image.transpose(2, 0, 1)) for name, image in dates.items()}
