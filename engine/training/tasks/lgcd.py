# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of LG-CD: several queries per pair, six maps, three losses (eq. 9).

Nothing can be learned from a constant prompt, so the queries vary: an object that changed, one that
did not, the opposite direction, and objects that no label calls changed, with an empty mask as
target. The text is the object phrase alone; a query for "removed" swaps the dates, see
:mod:`...modules.lgcd`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import clip_text, frozen
from ...classes import class_of
from ...errors import InputError
from ...modules.lgcd.config import LgcdConfig
from ...modules.lgcd.network import Lgcd, LgcdHead, enlarge
from ...request import APPEARED, REMOVED
from ..captioner.targets import decoded, encoded
from ..pairs.pair import UNKNOWN, LabelledPair
from ..recipe import Recipe
from ..scenes.phrases import ABSENT_NOUNS
from ..texts import TrainingTexts
from .base import Task, images

#: Default weights of the losses (eq. 9 with alpha 0.2 and beta 0.1).
WEIGHTS = {"ce": 0.7, "iou": 0.2, "dice": 0.1}
#: Query for data sets that label change without object or direction.
ANYTHING = "anything"
#: Queries per pair of a training batch; the encoder runs once for all of them.
QUESTIONS = 2
#: Maximum number of objects per pair in an evaluation.
MAX_OBJECTS = 6
#: Share of the queries after the first that are for absent objects.
ABSENT_SHARE = 0.5
#: Share of the phrases that are a synonym of the object.
SYNONYM_SHARE = 0.5
#: Bytes of a phrase in a batch, UTF-8, zero-padded.
_PHRASE_BYTES = 96


class LgcdTask(Task):
    """Training task of LG-CD."""

    name = "lgcd"

    def __init__(self) -> None:
        self._text: clip_text.TextTower | None = None
        self._weights = WEIGHTS

    def prepare(self, recipe: Recipe, rank: int) -> None:
        """Read the weights of the losses."""
        unknown = set(recipe.loss) - set(WEIGHTS)
        if unknown:
            raise InputError(
                TrainingTexts.lgcd_loss(names=", ".join(sorted(unknown)), known=", ".join(WEIGHTS))
            )
        self._weights = {**WEIGHTS, **recipe.loss}

    def build(self, settings: dict[str, Any]) -> nn.Module:
        """Return LG-CD with its frozen encoder; the frozen text tower stays with the task."""
        config = LgcdConfig.from_settings(settings)
        self._text = clip_text.build(config.text, config.text_file, config.pretrained)
        encoder = frozen.build(config.encoder, config.pretrained)
        widths = (self._text.word_width, self._text.sentence_width)
        return Lgcd(encoder, LgcdHead(encoder.channels, *widths, config))

    def sample(self, pair: LabelledPair, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw queries for a pair.

        Returns:
            ``before`` and ``after`` (3, H, W) uint8; for K queries ``phrases`` (K, 96) uint8,
            ``exchanged`` (K,) bool and ``targets`` (K, H, W) uint8: 0, 1 or 255 for unknown.
        """
        answers = _answers(pair)
        changed = [key for key, mask in answers.items() if (mask == 1).any()]
        queries = [_one_of(changed or list(answers), rng)]
        queries += [_another(list(answers), rng) for _ in range(QUESTIONS - 1)]
        empty = np.zeros(pair.before.shape[:2], np.uint8)
        targets = [answers.get(key, empty) for key in queries]
        questions = [(_reworded(phrase, rng), direction) for phrase, direction in queries]
        return {**_arrays(pair, questions), "targets": np.stack(targets)}

    def question(self, pair: LabelledPair) -> dict[str, np.ndarray]:
        """Return queries for every labelled object of the pair, in both directions."""
        objects = list(dict.fromkeys(phrase for phrase, _ in _answers(pair)))
        # One length for all pairs; repeated phrases are embedded once.
        objects = (objects * MAX_OBJECTS)[:MAX_OBJECTS]
        return _arrays(pair, [(phrase, APPEARED) for phrase in objects])

    def loss(
        self, model: nn.Module, batch: dict[str, Tensor], step: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Return eq. 9 and its three parts; see :meth:`Task.loss`."""
        pairs, questions = batch["exchanged"].shape
        rows = torch.arange(pairs, device=batch["exchanged"].device).repeat_interleave(questions)
        exchanged = batch["exchanged"].flatten().long()
        first, second = rows + pairs * exchanged, rows + pairs * (1 - exchanged)
        text = self._tower().encode(decoded(batch["phrases"].flatten(0, 1)), rows.device)
        maps = model(_images(batch), first, second, *text)
        targets = batch["targets"].flatten(0, 1)
        parts = torch.stack([torch.stack(map_losses(logits, targets)) for logits in maps]).mean(0)
        total = (parts.new_tensor(list(self._weights.values())) * parts).sum()
        return total, dict(zip(self._weights, parts.tolist(), strict=True))

    def predict(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the maximum score over objects and directions."""
        before = batch["before"]
        pairs, _, height, width = before.shape
        queries = [
            (row, phrase)
            for row in range(pairs)
            for phrase in dict.fromkeys(decoded(batch["phrases"][row]))
        ]
        earlier = torch.tensor([row for row, _ in queries], device=before.device)
        text = self._tower().encode([phrase for _, phrase in queries], before.device)
        text = clip_text.Text(*(torch.cat([part, part]) for part in text))
        first = torch.cat([earlier, earlier + pairs])
        second = torch.cat([earlier + pairs, earlier])
        logits = model(_images(batch), first, second, *text)[-1]
        scores = enlarge(logits.float(), height, width).sigmoid()
        best = torch.zeros(pairs, height, width, device=before.device)
        index = (first % pairs)[:, None, None].expand_as(scores)
        return {"change": best.scatter_reduce(0, index, scores, "amax")}

    def _tower(self) -> clip_text.TextTower:
        if self._text is None:
            raise RuntimeError("build() must be called first")
        return self._text


def map_losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return L_CE, L_IoU and L_Dice of one output map (eq. 9).

    IoU and Dice are computed over all queries of the batch, as the metrics are over the whole data
    set. A query for an absent object thus counts by its false alarms; on its own it would always
    have the maximum loss.

    Args:
        logits: (R, 1, h, w); enlarged bilinearly to the size of the targets.
        targets: (R, H, W) uint8: 0, 1, or :data:`UNKNOWN`, which does not count.
    """
    logits = enlarge(logits.float(), *targets.shape[1:])
    known = (targets != UNKNOWN).float()
    truth = (targets == 1).float()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, known, reduction="sum")
    score = logits.sigmoid() * known
    overlap, total = (score * truth).sum(), score.sum() + truth.sum()
    iou = 1 - (overlap + 1) / (total - overlap + 1)
    dice = 1 - (2 * overlap + 1) / (total + 1)
    return entropy / known.sum().clamp(min=1), iou, dice


def _answers(pair: LabelledPair) -> dict[tuple[str, str], np.ndarray]:
    """Return the masks of a pair's labels by object phrase and direction."""
    if pair.directions:
        return pair.directions
    change = pair.change
    if change is None:
        change = np.full(pair.before.shape[:2], UNKNOWN, np.uint8)
    return {(ANYTHING, APPEARED): change, (ANYTHING, REMOVED): change}


def _one_of(keys: Sequence[tuple[str, str]], rng: np.random.Generator) -> tuple[str, str]:
    return keys[int(rng.integers(len(keys)))]


def _another(keys: Sequence[tuple[str, str]], rng: np.random.Generator) -> tuple[str, str]:
    """Draw a labelled object and direction, or an absent object."""
    # If only change itself is labelled, no object is known to be absent.
    if keys[0][0] == ANYTHING or rng.random() >= ABSENT_SHARE:
        return _one_of(keys, rng)
    absent = [noun for noun in ABSENT_NOUNS if noun not in {phrase for phrase, _ in keys}]
    return str(rng.choice(absent)), str(rng.choice([APPEARED, REMOVED]))


def _reworded(phrase: str, rng: np.random.Generator) -> str:
    """Return the phrase or a synonym of it."""
    land_cover = class_of(phrase)
    if land_cover is None or rng.random() >= SYNONYM_SHARE:
        return phrase
    return str(rng.choice(land_cover.words))


def _arrays(pair: LabelledPair, queries: Sequence[tuple[str, str]]) -> dict[str, np.ndarray]:
    """Return images and queries as arrays of the same shape for all pairs."""
    return {
        **images(pair),
        "phrases": np.stack([encoded(phrase, _PHRASE_BYTES) for phrase, _ in queries]),
        "exchanged": np.array([direction == REMOVED for _, direction in queries]),
    }


def _images(batch: dict[str, Tensor]) -> Tensor:
    """Return all images of a batch, the earlier dates first: (2B, 3, H, W) float."""
    return torch.cat([batch["before"], batch["after"]]).float()
