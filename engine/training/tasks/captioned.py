# SPDX-License-Identifier: GPL-3.0-or-later
"""Common parts of the tasks for a mask and a sentence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import language
from ...device import choose
from ...weights import catalogue
from ...weights.store import WeightsStore
from ..captioner.targets import decoded, drawn, encoded
from ..pairs.pair import UNKNOWN, LabelledPair
from .base import Task, change_of, images

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...backbones.causal import LanguageModel
    from ...modules.kcfi.config import KcfiConfig
    from ...modules.semantic_cc.config import SemanticCcConfig


def language_model(config: KcfiConfig | SemanticCcConfig, title: str) -> LanguageModel:
    """Load the frozen language model, after checking for the encoder's weights.

    Raises:
        InputError: the language model does not fit.
        WeightsError: weights of the encoder or the language model are missing; lists all.
        DependencyError: a package is missing.
    """
    names = (config.encoder, config.language) if config.pretrained else (config.language,)
    WeightsStore().require(title, [name for name in names if name in catalogue.entries()])
    return language.load(config.language, choose(), precision=config.precision)


class CaptionedTask(Task):
    """Task for a system with mask logits (B, 2, H, W) and sentences.

    Attributes:
        instructions: of the system; one is drawn for each pair.
    """

    instructions: Sequence[str]
    figure = "cider_d"

    def __init__(self) -> None:
        self._settings: dict[str, float] = {}
        self._object = ""

    def sample(self, pair: LabelledPair, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return images, the change, one sentence and one instruction.

        Returns:
            ``before`` and ``after`` (3, H, W) uint8; ``change`` (H, W) uint8, 255 for unknown;
            ``caption`` (384,) uint8, empty if there is none; ``instruction`` () int64.
        """
        change = self.truth(pair)
        if change is None:
            change = np.full(pair.before.shape[:2], UNKNOWN, np.uint8)
        agreed = self._settings.get("consensus", 0.0)
        return {
            **images(pair),
            "change": change,
            "caption": encoded(drawn(pair.captions, rng, agreed)),
            "instruction": np.int64(rng.integers(len(self.instructions))),
        }

    def truth(self, pair: LabelledPair) -> np.ndarray | None:
        """Return the change of the object in the section ``model``."""
        return change_of(pair, self._object)

    def question(self, pair: LabelledPair) -> dict[str, np.ndarray]:
        """Return the images."""
        return images(pair)

    def predict(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the probability of change."""
        features = model(batch["before"].float(), batch["after"].float())
        return {"change": features.change.float().softmax(1)[:, 1]}

    @abstractmethod
    def embeddings(self, model: nn.Module, features: Any) -> Tensor:
        """Return the embeddings (B, N, W) for the language model."""

    def write(self, model: nn.Module, batch: dict[str, Tensor]) -> list[str]:
        """Return a sentence about each pair, by the first instruction, as at inference."""
        features = model(batch["before"].float(), batch["after"].float())
        instructions = self.instructions[:1] * len(batch["before"])
        embeddings = self.embeddings(model, features)
        return model.language.write(embeddings, instructions, beams=model.config.beams)


def answer_loss(
    model: LanguageModel,
    embed: Callable[[list[int]], Tensor],
    batch: dict[str, Tensor],
    instructions: Sequence[str],
) -> Tensor | None:
    """Return the mean cross-entropy over the tokens of the sentences; None without any.

    Args:
        model: the captioning model.
        embed: returns the embeddings (K, N, W) for K rows of the batch.
        batch: with ``caption`` and ``instruction``.
        instructions: of the system.
    """
    sentences = decoded(batch["caption"])
    captioned = [row for row, sentence in enumerate(sentences) if sentence]
    if not captioned:
        return None
    numbers = batch["instruction"].tolist()
    inputs = model.inputs(
        embed(captioned),
        [instructions[numbers[row]] for row in captioned],
        [sentences[row] for row in captioned],
    )
    return model.loss(inputs)


def change_loss(logits: Tensor, target: Tensor) -> Tensor | None:
    """Return the mean cross-entropy (B, 2, H, W); None without labels. 255 does not count."""
    if not (target != UNKNOWN).any():
        return None
    return F.cross_entropy(logits.float(), target.long(), ignore_index=UNKNOWN)
