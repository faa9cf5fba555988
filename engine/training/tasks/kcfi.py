# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of KCFI: captions and change, weighted by their rates of learning (eq. 10).

The language model is frozen; its loss reaches the projector, the perceivers and the encoder through
the embeddings in the place of ``<image>``. Sentences tell places ("in the top left corner") and an
order of the dates: a recipe for captions neither mirrors, turns nor exchanges.
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

#: Steps that are an epoch for the weights, where the size of the data set does not say.
_EPOCH = 100


class KcfiTask(captioned.CaptionedTask):
    """What KCFI brings to the training loop.

    Of the recipe's section ``loss`` it reads ``temperature`` and ``epoch``, see
    :class:`..dynamic_weights.DynamicWeights`; an epoch is one pass over the data unless given.
    ``consensus`` is the share of the samples that have :func:`..caption_targets.consensus` for a
    sentence and not any of them; 0 unless given.
    """

    name = "kcfi"
    instructions = INSTRUCTIONS

    def __init__(self) -> None:
        super().__init__()
        self._weights = DynamicWeights(2, _EPOCH)

    def prepare(self, recipe: Recipe, rank: int) -> None:
        """Take the settings of the weights."""
        self._settings = dict(recipe.loss)
        self._weights = self._dynamic(_EPOCH)

    def _dynamic(self, epoch: int) -> DynamicWeights:
        settings = self._settings
        temperature = settings.get("temperature", TEMPERATURE)
        return DynamicWeights(2, int(settings.get("epoch", epoch)), temperature)

    def build(self, settings: dict[str, Any]) -> nn.Module:
        """Return KCFI with its encoder and its frozen language model."""
        config = KcfiConfig.from_settings(settings)
        return build(config, captioned.language_model(config, "KCFI"))

    def dataset(self, recipe: Recipe, root: Path, runs: Path) -> Dataset:
        """Return the training samples, and learn how many steps are an epoch."""
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
        change = captioned.change_loss(features.change, batch["change"])
        weights = self._weights.at(step)
        parts = [None if part is None else float(part.detach()) for part in (caption, change)]
        self._weights.add(parts)
        total = features.change.sum() * 0.0  # of a batch that teaches nothing
        for weight, part in zip(weights, (caption, change), strict=True):
            total = total if part is None else total + weight * part
        figures = {"caption": parts[0] or 0.0, "change": parts[1] or 0.0}
        return total, {**figures, "weight_caption": weights[0], "weight_change": weights[1]}

    def pretrained(self, model: nn.Module) -> Iterable[nn.Parameter]:
        """Return encoder and projector."""
        return [*model.encoder.parameters(), *model.projector.parameters()]

    def state_dict(self) -> dict[str, Any]:
        """Return the losses that the weights come from."""
        return self._weights.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._weights.load_state_dict(state)


def caption_loss(model: Kcfi, key: Tensor, batch: dict[str, Tensor]) -> Tensor | None:
    """Return L_cap (eq. 8), the mean over the tokens of the answers; None without any."""
    return captioned.answer_loss(
        model.language, lambda rows: model.projector(key[rows]), batch, INSTRUCTIONS
    )
