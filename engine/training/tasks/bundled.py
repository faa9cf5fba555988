# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled model as a training task: every pair is queried for every class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...errors import InputError
from ...modules.bundled.network import NUM_CLASSES, ChangeModel, Encoded, ModelConfig
from ...weights.loading import read_head
from ..losses import change_loss, class_loss, sentence_loss, some_loss, steady_loss
from ..pairs.pair import LabelledPair
from ..recipe import AugmentSpec, DataSpec, Recipe
from ..scenes.datasets import (
    UNSCALED,
    PairDataset,
    check_layout,
    check_places,
    open_source,
    parts_of,
)
from ..scenes.labels import BUILDING, SOME
from ..scenes.phrases import ABSENT, build_bank
from ..scenes.sample import CELL
from ..text.bank import EncodeTexts, embed, shipped_encoder
from ..texts import TrainingTexts
from .base import Task

#: Weight of the loss for classifying phrases, which trains one linear layer.
READING_WEIGHT = 0.1
#: Default weights of the parts of the loss.
_WEIGHTS = {"change": 2.0, "some": 1.0, "sentences": 0.3, "classes": 1.0, "steady": 2.0}
#: Number of absent objects among the queries of a step.
ABSENT_QUERIES = 2


class BundledTask(Task):
    """Trains the bundled model.

    Its recipe's section ``loss`` has ``change`` (change maps), ``some`` (changes of unknown class),
    ``sentences`` (reports about a whole crop), ``classes`` (classes per date) and ``steady`` (class
    scores that differ without a change);
    ``augment.colour`` scales the augmentation, ``augment.tint`` adds casts and haze.
    """

    name = "bundled"

    def __init__(self, encode: Optional[EncodeTexts] = None) -> None:
        self._encode = encode

    def check(self, recipe: Recipe, data: Path) -> None:
        """Raise InputError for unknown sources and places, and settings of other tasks."""
        for spec in recipe.data:
            check_layout(spec.layout)
            check_places(spec.layout, data)
        ignored = next(_ignored(recipe), None)
        if ignored:
            raise InputError(TrainingTexts.no_effect(recipe=recipe.name, keys=ignored))

    def prepare(self, recipe: Recipe, rank: int) -> None:
        """Embed the phrases."""
        self.recipe, self.rank = recipe, rank
        self.weight = {**_WEIGHTS, **recipe.loss}
        self.bank = build_bank()
        self.text = embed(self.bank.phrases, self._encode or shipped_encoder())

    def build(self, settings: dict[str, Any]) -> ChangeModel:
        """Return the model, its backbone pretrained on ImageNet."""
        return ChangeModel(_config(settings))

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Return all weights, since the ONNX files need them."""
        return model.state_dict()

    def dataset(self, recipe: Recipe, root: Path, runs: Path) -> Dataset:
        """Return the mix of sources; CHANGESCRIBE_SCENES may name the generated scenes."""
        scenes = Path(os.environ.get("CHANGESCRIBE_SCENES", runs / "scenes"))
        parts = [
            open_source(spec.layout, root, scenes, spec.options.get("scales"))
            for spec in recipe.data
        ]
        weights = [spec.weight for spec in recipe.data]
        augment = recipe.augment
        return PairDataset(parts, weights, recipe.seed, augment.colour, augment.tint)

    def pretrained(self, model: nn.Module) -> Iterable[nn.Parameter]:
        """Return the backbone."""
        return model.encoder.backbone.parameters()

    def loss(
        self, model: nn.Module, batch: dict[str, Tensor], step: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and its parts.

        Every pair is queried for every class and for absent objects, in both directions.
        """
        count = batch["before"].shape[0]
        images = torch.cat([batch["before"], batch["after"]]).float()
        images = images.contiguous(memory_format=torch.channels_last)
        phrases = self.phrases(step)
        sentences = self.text.sentences[phrases].to(images.device)
        encoded = model.encoder(images)
        # The dates of the second half are swapped: its queries are for "removed".
        exchanged = Encoded(*(torch.cat([p[count:], p[:count]]) for p in encoded))
        logits = model.head(encoded, exchanged, sentences)
        with torch.autocast(images.device.type, enabled=False):
            parts = self._losses(logits, encoded, batch)
            parts["text"] = self._reading_loss(model, phrases, sentences)
            weight = self.weight
            total = sum(weight[name] * parts[name] for name in _WEIGHTS)
            total = total + READING_WEIGHT * parts["text"]
        return total, {name: float(value.detach()) for name, value in parts.items()}

    def _losses(
        self, logits: Tensor, encoded: Encoded, batch: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the losses of the change maps and of the classes per date."""
        count = batch["before"].shape[0]
        targets = torch.cat([batch["targets"][:, 0], batch["targets"][:, 1]])
        absent = torch.zeros_like(targets[:, :ABSENT_QUERIES])
        # In the layout of the logits: gradients in another one make convolutions several times
        # slower.
        targets = torch.cat([targets, absent], 1).contiguous(memory_format=torch.channels_last)
        covered = targets.float().clamp(max=CELL**2) / CELL**2
        states = torch.cat([batch["state_before"], batch["state_after"]])
        before, after = encoded.classes[:count], encoded.classes[count:]
        return {
            "change": change_loss(logits, covered, targets < SOME),
            # Both directions of a pair side by side, since the direction is unknown.
            "some": some_loss(
                torch.cat([logits[:count], logits[count:]], 1),
                torch.cat([targets[:count], targets[count:]], 1),
            ),
            "sentences": sentence_loss(
                logits[:, :NUM_CLASSES],
                torch.cat([batch["sentences"][:, 0], batch["sentences"][:, 1]]),
            ),
            "classes": class_loss(encoded.classes, states),
            "steady": steady_loss(before, after, batch["steady"]),
        }

    def phrases(self, step: int) -> Tensor:
        """Return rows of the phrase bank: one phrase per class, then absent objects."""
        rng = np.random.default_rng((self.recipe.seed, step, self.rank))
        classes = [*range(NUM_CLASSES), *[ABSENT] * ABSENT_QUERIES]
        return torch.tensor([self.bank.sample(index, rng) for index in classes])

    def _reading_loss(self, model: nn.Module, phrases: Tensor, sentences: Tensor) -> Tensor:
        """Return the cross-entropy of classifying phrases, absent ones included."""
        named = torch.from_numpy(self.bank.classes)[phrases]
        target = torch.where(named == ABSENT, torch.full_like(named, NUM_CLASSES), named)
        return F.cross_entropy(model.head.prior.reading(sentences), target.to(sentences.device))

    def sample(self, pair: LabelledPair, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the images only; labels come from :meth:`dataset`."""
        images = {"before": pair.before, "after": pair.after}
        return {name: image.transpose(2, 0, 1) for name, image in images.items()}

    def predict(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the uncalibrated score of buildings that appeared or were removed."""
        before, after = batch["before"].float(), batch["after"].float()
        sentence = self.text.sentences[self.bank.of_class(BUILDING)[:1]].to(before.device)
        ways = [model(*dates, sentence)[:, 0] for dates in ((before, after), (after, before))]
        return {"change": torch.stack(ways).amax(0).sigmoid()}


def _ignored(recipe: Recipe) -> Iterator[str]:
    """Yield the names of settings that have no effect."""
    if recipe.validation is None and recipe.crop != Recipe.crop:  # the size of validation tiles
        yield "crop"
    for key in ("flip", "rotate", "exchange"):
        if getattr(recipe.augment, key) != getattr(AugmentSpec, key):
            yield f"augment.{key}"
    yield from (f"loss.{key}" for key in recipe.loss if key not in _WEIGHTS)
    usual = DataSpec()
    for spec in recipe.data:
        for key in ("folder", "split", "names", "folds", "fold", "changed"):
            if getattr(spec, key) != getattr(usual, key):
                yield f"{key} of {spec.layout}"
        scaled = any(name not in UNSCALED for name, _ in parts_of(spec.layout))
        for key in spec.options:
            if key != "scales" or not scaled:
                yield f"options.{key} of {spec.layout}"


def _config(settings: dict[str, Any]) -> ModelConfig:
    """Return the sizes of a recipe."""
    try:
        return ModelConfig(**settings)
    except TypeError as error:
        raise InputError(TrainingTexts.bundled_setting(), details=str(error)) from error


def load_model(path: str | Path) -> ChangeModel:
    """Load averaged weights written by the loop, in evaluation mode."""
    state, metadata = read_head(path)
    model = ChangeModel(_config({**metadata["config"], "pretrained": False}))
    model.load_state_dict(state)
    return model.eval()
