# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of MMChange: four masks, each with cross-entropy and Dice.

Descriptions are of whole images of the data set, since they are cached by image content and random
crops rarely repeat. For finer descriptions, cut large images into patches, as in the paper. They
belong to the images and are swapped with the dates.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones.resnet import imagenet_weights
from ...errors import InputError
from ...modules.mmchange.config import MMChangeConfig
from ...modules.mmchange.network import MMChange, score_pair
from ...request import APPEARED
from ...systems import text_sources
from ...systems.text_sources import Descriptions
from ..pairs import open_pairs
from ..pairs.base import Window, read_image
from ..pairs.pair import UNKNOWN, LabelledPair
from ..texts import TrainingTexts
from .base import Task, change_of, images

if TYPE_CHECKING:
    from ..recipe import Recipe


class MmchangeTask(Task):
    """Training task of MMChange."""

    name = "mmchange"

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._config = MMChangeConfig()
        self._texts: Descriptions | None = None
        self._embeddings: dict[str, np.ndarray] = {}

    def check(self, recipe: Recipe, data: Path) -> None:
        """Raise InputError for a set without the labels that would be learned.

        Without them the loss and its gradients are zero.
        """
        self._config = MMChangeConfig.from_settings(dict(recipe.model))
        for spec in recipe.data:
            pair = open_pairs(spec, data).read(0, Window(0, 0, 1, 1))
            if self._target(pair) is None:
                phrases = dict.fromkeys(phrase for phrase, _ in pair.directions)
                raise InputError(
                    TrainingTexts.no_such_labels(
                        recipe=recipe.name,
                        layout=spec.layout,
                        object=self._config.object,
                        known=", ".join(phrases) or TrainingTexts.no_objects(),
                    )
                )

    def build(self, settings: dict[str, Any]) -> nn.Module:
        """Return the network; the frozen text tower stays with the task."""
        config = self._config = MMChangeConfig.from_settings(settings)
        if config.text:
            self._texts = Descriptions(
                text_sources.create(config.text_source),
                config.text_tower,
                config.text_width,
                self._cache or text_sources.default_folder(),
                file=config.text_file,
            )
        return MMChange(config, imagenet_weights(config.backbone) if config.pretrained else None)

    def sample(self, pair: LabelledPair, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return images, target and embedded descriptions.

        Returns:
            ``before`` and ``after`` (3, H, W) uint8; ``target`` (H, W) uint8: 0, 1 or 255 for
            unknown; ``text_before`` and ``text_after`` (W,) float32.
        """
        before, after = pair.images
        target = self._target(pair)
        if target is None:
            target = np.full(pair.before.shape[:2], UNKNOWN, np.uint8)
        return {
            **images(pair),
            "target": target,
            "text_before": self._embedding(before, pair.before),
            "text_after": self._embedding(after, pair.after),
        }

    def _target(self, pair: LabelledPair) -> np.ndarray | None:
        """Return where the object appeared, or without direction the change; None if unlabelled."""
        if self._config.direction:
            return pair.directions.get((self._config.object, APPEARED))
        return self.truth(pair)

    def truth(self, pair: LabelledPair) -> np.ndarray | None:
        """Return the change of the object in the section ``model``."""
        return change_of(pair, self._config.object)

    def _embedding(self, path: str, crop: np.ndarray) -> np.ndarray:
        """Return the embedded description of a crop's image file, or of the crop itself."""
        if self._texts is None:
            return np.zeros(self._config.text_width, np.float32)
        if not path:
            return self._texts.of([crop]).embedding
        if path not in self._embeddings:
            self._embeddings[path] = self._texts.of([read_image(Path(path))]).embedding
        return self._embeddings[path]

    def loss(
        self, model: nn.Module, batch: dict[str, Tensor], step: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the sum over the four masks of cross-entropy and Dice; see :meth:`Task.loss`."""
        dates = batch["before"].float(), batch["after"].float()
        masks = model(*dates, batch["text_before"], batch["text_after"])
        with torch.autocast(batch["before"].device.type, enabled=False):
            parts = [mask_loss(mask[:, 0].float(), batch["target"]) for mask in masks]
            entropy, dice = (torch.stack(part).sum() for part in zip(*parts, strict=True))
            total = entropy + dice
        figures = {"loss": total, "bce": entropy, "dice": dice}
        return total, {name: float(value.detach()) for name, value in figures.items()}

    def predict(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the change score; for a directed network the maximum of both directions."""
        dates = batch["before"].float(), batch["after"].float()
        texts = batch["text_before"], batch["text_after"]
        scores = score_pair(model.encoder, model.head, dates, texts)
        return {"change": scores.amax(0) if self._config.direction else scores[0]}

    def pretrained(self, model: nn.Module) -> Iterable[nn.Parameter]:
        """Return the backbone."""
        return model.encoder.backbone.parameters()


def mask_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and Dice of masks (B, H, W); :data:`UNKNOWN` does not count."""
    known = (target != UNKNOWN).float()
    truth = (target == 1).float()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, known, reduction="sum")
    score = logits.sigmoid() * known
    overlap, total = (score * truth).sum(), score.sum() + truth.sum()
    return entropy / known.sum().clamp(min=1), 1 - (2 * overlap + 1) / (total + 1)
