# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of KCFI: captions and change, weighted dynamically (eq. 10).

The language model is frozen; its loss reaches the projector, the perceivers and the encoder through
the embeddings that replace ``<image>``. Sentences name places ("in the top left corner") and depend
on the order of the dates, so a recipe for captions neither flips, rotates nor swaps.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from ...modules.kcfi.config import KcfiConfig
from ...modules.kcfi.network import INSTRUCTIONS, Kcfi, build
from ..dynamic_weights import TEMPERATURE, DynamicWeights
from . import captioned

if TYPE_CHECKING:
    from ..recipe import Recipe

#: Steps per epoch for the weights if the size of the data set is unknown.
_EPOCH = 100


class KcfiTask(captioned.CaptionedTask):
    """Training task of KCFI.

    In the recipe's section ``loss``, ``temperature`` and ``epoch`` belong to
    :class:`..dynamic_weights.DynamicWeights`; the default epoch is one pass over the data.
    ``consensus`` is the share of the samples whose sentence is the
    :func:`..captioner.targets.consensus` instead of a random one; 0 by default. ``detection: 0``
    leaves the detection branch untrained (table IV); 1 by default.
    """

    name = "kcfi"
    instructions = INSTRUCTIONS

    def __init__(self) -> None:
        super().__init__()
        self._weights = DynamicWeights(2, _EPOCH)

    def prepare(self, recipe: Recipe, rank: int) -> None:
        """Read the settings of the weights."""
        self._settings = dict(recipe.loss)
        self._weights = self._dynamic(_EPOCH)

    def _dynamic(self, epoch: int) -> DynamicWeights:
        settings = self._settings
        temperature = settings.get("temperature", TEMPERATURE)
        return DynamicWeights(2, int(settings.get("epoch", epoch)), temperature)

    def build(self, settings: dict[str, Any]) -> nn.Module:
        """Return KCFI with its encoder and its frozen language model."""
        config = KcfiConfig.from_settings(settings)
        self._object = config.object
        return build(config, captioned.language_model(config, "KCFI"))

    def dataset(self, recipe: Recipe, root: Path, runs: Path) -> Dataset:
        """Return the training samples; set the number of steps per epoch."""
        crops = super().dataset(recipe, root, runs)
        pairs = sum(len(part) for part in crops.sets)
        state = self._weights.state_dict()
        self._weights = self._dynamic(max(1, round(pairs / recipe.batch_size)))
        self._weights.load_state_dict(state)
        return crops

    def loss(
        self, model: nn.Module, batch: dict[str, Tensor], step: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Return L_tot (eq. 10), L_cap and L_det (eq. 9) and their weights; see the base class."""
        features = model(batch["before"].float(), batch["after"].float())
        caption = caption_loss(model, features.key, batch)
        change = None
        if self._settings.get("detection", 1.0):
            change = captioned.change_loss(features.change, batch["change"])
        weights = self._weights.at(step)
        parts = [None if part is None else float(part.detach()) for part in (caption, change)]
        self._weights.add(parts)
        total = features.change.sum() * 0.0  # for a batch without labels
        for weight, part in zip(weights, (caption, change), strict=True):
            total = total if part is None else total + weight * part
        figures = {"caption": parts[0] or 0.0, "change": parts[1] or 0.0}
        return total, {**figures, "weight_caption": weights[0], "weight_change": weights[1]}

    def embeddings(self, model: nn.Module, features: Any) -> Tensor:
        """Return the projected key change features."""
        return model.projector(features.key)

    def pretrained(self, model: nn.Module) -> Iterable[nn.Parameter]:
        """Return encoder and projector."""
        return [*model.encoder.parameters(), *model.projector.parameters()]

    def state_dict(self) -> dict[str, Any]:
        """Return the losses behind the weights."""
        return self._weights.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._weights.load_state_dict(state)


def caption_loss(model: Kcfi, key: Tensor, batch: dict[str, Tensor]) -> Tensor | None:
    """Return L_cap (eq. 8), the mean over the tokens of the answers; None without any."""
    return captioned.answer_loss(
        model.language, lambda rows: model.projector(key[rows]), batch, INSTRUCTIONS
    )
