# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of TextSCD: the classes of both dates, the change, and their agreement (eq. 12)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import clip_text
from ...backbones.resnet import imagenet_weights
from ...errors import InputError
from ...modules.textscd.config import TextSCDConfig
from ...modules.textscd.network import TextSCD, caption_words, open_tower
from ...systems import text_sources
from ...systems.text_sources import Descriptions
from ..captioner.targets import decoded, encoded
from ..pairs.base import read_image
from ..pairs.pair import UNKNOWN, LabelledPair
from ..texts import TrainingTexts
from .base import Task, images

#: Bytes of a caption in a batch, UTF-8, zero-padded; enough for the 50 words read.
_CAPTION_BYTES = 512


class TextscdTask(Task):
    """Training task of TextSCD."""

    name = "textscd"
    figure = "sek"

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._config = TextSCDConfig()
        self._tower: clip_text.TextTower | None = None
        self._texts: Descriptions | None = None
        self._captions: dict[tuple[str, str], str] = {}

    def build(self, settings: dict[str, Any]) -> nn.Module:
        """Return the network; the frozen text tower stays with the task."""
        config = self._config = TextSCDConfig.from_settings(settings)
        self.classes = config.classes
        source = text_sources.create(config.text_source, text_sources.PAIR_QUESTION)
        self._texts = Descriptions(source, folder=self._cache or text_sources.default_folder())
        if config.text:
            self._tower = open_tower(config)
        return TextSCD(config, imagenet_weights(config.backbone) if config.pretrained else None)

    def sample(self, pair: LabelledPair, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return images, labels and a caption, which is dropped at random.

        Returns:
            ``before`` and ``after`` (3, H, W) uint8; ``semantic_before``, ``semantic_after`` and
            ``change`` (H, W) uint8, 255 for unknown; ``caption`` (512,) uint8.
        """
        caption = ""
        if self._config.text and rng.random() >= self._config.text_dropout:
            known = pair.captions
            caption = str(rng.choice(known)) if known else self._described(pair)
        return self._arrays(pair, caption)

    def question(self, pair: LabelledPair) -> dict[str, np.ndarray]:
        """Return the sample with the caption of the text source, as at inference.

        The data set's captions were written by people who knew what changed.
        """
        return self._arrays(pair, self._described(pair) if self._config.text else "")

    def _described(self, pair: LabelledPair) -> str:
        """Return the caption of the whole pair from the text source; cached."""
        if self._texts is None:
            raise RuntimeError("build() must be called first")
        if isinstance(self._texts.source, text_sources.NoText):
            return ""
        if not all(pair.images):
            return self._texts.of([pair.before, pair.after]).text
        if pair.images not in self._captions:
            whole = [read_image(Path(path)) for path in pair.images]
            self._captions[pair.images] = self._texts.of(whole).text
        return self._captions[pair.images]

    def _arrays(self, pair: LabelledPair, caption: str) -> dict[str, np.ndarray]:
        nothing = np.full(pair.before.shape[:2], UNKNOWN, np.uint8)
        labels = {
            name: nothing if getattr(pair, name) is None else getattr(pair, name)
            for name in ("semantic_before", "semantic_after", "change")
        }
        for name in ("semantic_before", "semantic_after"):
            index = labels[name]
            if ((index != UNKNOWN) & (index >= len(self._config.classes))).any():
                raise InputError(TrainingTexts.textscd_classes(count=len(self._config.classes)))
        return {**images(pair), **labels, "caption": encoded(caption, _CAPTION_BYTES)}

    def loss(
        self, model: nn.Module, batch: dict[str, Tensor], step: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Return eq. 12 and its parts; see :meth:`Task.loss`."""
        maps = self._maps(model, batch)
        with torch.autocast(batch["before"].device.type, enabled=False):
            before, after = maps.before.float(), maps.after.float()
            parts = {
                "semantic": (
                    semantic_loss(before, batch["semantic_before"])
                    + semantic_loss(after, batch["semantic_after"])
                )
                / 2,
                "change": change_loss(maps.change[:, 0].float(), batch["change"]),
                "similarity": similarity_loss(before.softmax(1), after.softmax(1), batch["change"]),
            }
            total = torch.stack(list(parts.values())).sum()
        figures = {"loss": total, **parts}
        return total, {name: float(value.detach()) for name, value in figures.items()}

    def predict(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the score of the change and the likeliest class of each date."""
        maps = self._maps(model, batch)
        return {
            "change": maps.change[:, 0].float().sigmoid(),
            "semantic_before": maps.before.argmax(1),
            "semantic_after": maps.after.argmax(1),
        }

    def _maps(self, model: nn.Module, batch: dict[str, Tensor]) -> Any:
        captions, place = decoded(batch["caption"]), batch["before"].device
        words, mask = caption_words(self._tower, captions, place, self._config)
        return model(batch["before"].float(), batch["after"].float(), words, mask)

    def pretrained(self, model: nn.Module) -> Iterable[nn.Parameter]:
        """Return the backbone."""
        return model.backbone.parameters()


def semantic_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy and Dice (eq. 9) of the classes, over known pixels.

    Args:
        logits: (B, K, H, W).
        target: (B, H, W) uint8, :data:`UNKNOWN` where unchanged or unknown.
    """
    known = target != UNKNOWN
    index = torch.where(known, target, 0).long()
    entropy = F.cross_entropy(logits, index, reduction="none")
    entropy = (entropy * known).sum() / known.sum().clamp(min=1)
    truth = F.one_hot(index, logits.shape[1]).permute(0, 3, 1, 2).to(logits.dtype)
    return entropy + dice_loss(logits.softmax(1), truth, known)


def change_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy (eq. 10, natural logarithm) and Dice (eq. 9) of the change.

    Args:
        logits: (B, H, W).
        target: (B, H, W) uint8: 0, 1, or :data:`UNKNOWN`, which does not count.
    """
    known = target != UNKNOWN
    truth = (target == 1).to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    entropy = (entropy * known).sum() / known.sum().clamp(min=1)
    return entropy + dice_loss(logits.sigmoid()[:, None], truth[:, None], known)


def similarity_loss(before: Tensor, after: Tensor, change: Tensor) -> Tensor:
    """L_sim (eq. 11): similar classes where unchanged, dissimilar ones where changed.

    Args:
        before: P_1 (B, K, H, W) probabilities of the classes.
        after: P_2, the same for the later date.
        change: GT (B, H, W) uint8: 0, 1, or :data:`UNKNOWN`, which does not count.

    Returns:
        The mean over the known pixels of 1 - cos where unchanged, of cos where changed.
        Probabilities are not negative, so cos is between 0 and 1.
    """
    alike = F.cosine_similarity(before, after, dim=1)
    loss = torch.where(change == 1, alike, 1 - alike)
    known = change != UNKNOWN
    return (loss * known).sum() / known.sum().clamp(min=1)


def dice_loss(probability: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """L_dice (eq. 9): 1 - 2 sum(p g) / (sum(p^2) + sum(g^2)), mean over occurring classes.

    Args:
        probability: p (B, K, H, W).
        truth: g (B, K, H, W), 0 or 1.
        known: (B, H, W) bool: pixels that count.
    """
    counted = known[:, None].to(probability.dtype)
    probability, truth = probability * counted, truth * counted
    overlap = (probability * truth).sum((0, 2, 3))
    squares = probability.square().sum((0, 2, 3)) + truth.square().sum((0, 2, 3))
    # A class absent from the batch would cost 1 for any prediction.
    present = truth.sum((0, 2, 3)) > 0
    loss = (1 - 2 * overlap / squares.clamp(min=1e-6)) * present
    return loss.sum() / present.sum().clamp(min=1)
