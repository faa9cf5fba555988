# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of Semantic-CC: three stages in every epoch (section III-F).

1. Change detection, on pairs with a mask: encoder, neck and detection decoder are trained.
2. Captioning, on pairs with sentences: neck and caption decoder are trained, the encoder is
   frozen.
3. Both, on pairs with mask and sentences: only the neck is trained, L = L_cc + 0.5 L_cd.

Frozen parts keep their values and optimiser state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from ...errors import InputError
from ...modules.semantic_cc.config import INSTRUCTIONS, SemanticCcConfig
from ...modules.semantic_cc.network import SemanticCc, SemanticCcFeatures, build
from ..pairs import open_pairs
from ..pairs.base import Window
from ..pairs.crops import TrainingCrops
from ..texts import TrainingTexts
from . import captioned

if TYPE_CHECKING:
    from ..recipe import DataSpec, Recipe

DETECT, CAPTION, BOTH = range(3)
#: lambda of eq. 9.
BALANCE = 0.5
#: Settings for the lengths of the stages in the recipe's section ``loss``.
_LENGTHS = ("detect_steps", "caption_steps", "both_steps")


def stage_of(step: int, lengths: Sequence[int]) -> int:
    """Return the stage of a step."""
    place = step % sum(lengths)
    for stage, length in enumerate(lengths):
        if place < length:
            return stage
        place -= length
    raise ValueError(lengths)


class SemanticCcTask(captioned.CaptionedTask):
    """Training task of Semantic-CC.

    The recipe's section ``loss`` sets ``balance`` (lambda of eq. 9); ``detect_steps``,
    ``caption_steps`` and ``both_steps``, the lengths of the stages, by default one pass over their
    pairs (``both_steps: 0`` is the 2-stage training of table IV, both others 0 the 1-stage one);
    and ``consensus``, the share of the samples whose sentence is the
    :func:`..captioner.targets.consensus` instead of a random one.
    """

    name = "semantic_cc"
    instructions = INSTRUCTIONS

    def __init__(self) -> None:
        super().__init__()
        self._lengths = (1, 1, 1)

    def prepare(self, recipe: Recipe, rank: int) -> None:
        """Read the settings of the stages."""
        self._settings = dict(recipe.loss)
        lengths = [int(self._settings.get(name, 1)) for name in _LENGTHS]
        self._lengths = lengths[0], lengths[1], lengths[2]

    def build(self, settings: dict[str, Any]) -> nn.Module:
        """Return Semantic-CC with its encoder and its language model."""
        config = SemanticCcConfig.from_settings(settings)
        self._object = config.object
        return build(config, captioned.language_model(config, "Semantic-CC"))

    def dataset(self, recipe: Recipe, root: Path, runs: Path) -> Dataset:
        """Return the training samples, from pairs with the labels of the step's stage.

        Raises:
            InputError: the data cannot be read, or there are no masks or no sentences.
        """
        stages = self._specs_of_stages(recipe.data, root)
        parts = [
            TrainingCrops(recipe, root, self.sample, specs) if specs else None for specs in stages
        ]
        for number, name in enumerate(_LENGTHS):
            part = parts[number]
            pairs = sum(len(pairs) for pairs in part.sets) if part else 0
            length = max(1, round(pairs / recipe.batch_size)) if part else 0
            chosen = int(self._settings.get(name, length)) if part else 0
            self._lengths = (*self._lengths[:number], chosen, *self._lengths[number + 1 :])
        if not sum(self._lengths):
            raise InputError(TrainingTexts.semantic_cc_steps())
        return _StagedCrops(parts, self._lengths, recipe.batch_size)

    def _specs_of_stages(self, specs: Sequence[DataSpec], root: Path) -> list[list[DataSpec]]:
        """Return the sets with masks, those with sentences, and those with both."""
        stages: list[list[DataSpec]] = [[], [], []]
        for spec in specs:
            pair = open_pairs(spec, root).read(0, Window(0, 0, 1, 1))
            masks, sentences = self.truth(pair) is not None, bool(pair.captions)
            for stage, fits in enumerate((masks, sentences, masks and sentences)):
                if fits:
                    stages[stage].append(spec)
        if not stages[DETECT] or not stages[CAPTION]:
            raise InputError(TrainingTexts.semantic_cc_data())
        return stages

    def embeddings(self, model: nn.Module, features: Any) -> Tensor:
        """Return the enhanced queries of both dates."""
        return model.captioner(features.caption)

    def learning(self, model: nn.Module, step: int) -> list[nn.Parameter] | None:
        """Return the parameters trained in the stage of a step.

        Without separate stages (table IV, "1-stage"), all are trained jointly.
        """
        if not self._lengths[DETECT] and not self._lengths[CAPTION]:
            return None
        parts = {
            DETECT: (model.encoder, model.norm, model.neck, model.detector),
            CAPTION: (model.neck, model.captioner, model.network),
            BOTH: (model.neck,),
        }[stage_of(step, self._lengths)]
        return [p for part in parts for p in part.parameters() if p.requires_grad]

    def loss(
        self, model: nn.Module, batch: dict[str, Tensor], step: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of the stage (eq. 9), and both parts; see :meth:`Task.loss`."""
        stage = stage_of(step, self._lengths)
        features = model(batch["before"].float(), batch["after"].float())
        caption = caption_loss(model, features, batch) if stage != DETECT else None
        change = None
        if stage != CAPTION:
            change = captioned.change_loss(features.change, batch["change"])
        balance = self._settings.get("balance", BALANCE) if stage == BOTH else 1.0
        # Includes every part of the neck, even for a batch without labels.
        total = 0.0 * (features.change.sum() + features.caption.sum())
        total = total if caption is None else total + caption
        total = total if change is None else total + balance * change
        parts = {"caption": caption, "change": change}
        figures = {name: 0.0 if p is None else float(p.detach()) for name, p in parts.items()}
        return total, {**figures, "stage": float(stage)}


def caption_loss(
    model: SemanticCc, features: SemanticCcFeatures, batch: dict[str, Tensor]
) -> Tensor | None:
    """Return L_cc (eq. 9), the mean over the tokens of the answers; None without any."""
    count = len(batch["before"])

    def embed(rows: list[int]) -> Tensor:
        return model.captioner(features.caption[[*rows, *(row + count for row in rows)]])

    return captioned.answer_loss(model.language, embed, batch, INSTRUCTIONS)


class _StagedCrops(Dataset):
    """Crops of the sets for the stage of the sample's step."""

    def __init__(
        self, parts: Sequence[TrainingCrops | None], lengths: Sequence[int], batch: int
    ) -> None:
        self._parts, self._lengths, self._batch = parts, lengths, batch

    def __getitem__(self, index: int) -> Any:
        part = self._parts[stage_of(index // self._batch, self._lengths)]
        if part is None:
            raise IndexError(index)
        return part[index]
