# SPDX-License-Identifier: GPL-3.0-or-later
"""Base of the systems that mark change and describe it with a language model.

They learn change alone, without object or direction: both directions of a query
get the same score, and a warning.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from ..request import NO_HINTS
from ..weights import catalogue
from .base import SystemInfo, TilePrediction
from .mmchange import ANYTHING, answers, notes_on
from .texts import SystemsTexts
from .trained import TrainedSystem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from ..device import Device
    from ..request import Hints, Query
    from ..weights.store import WeightsStore


class WritingSystem(TrainedSystem):
    """A system whose weights are made by "changescribe train".

    Subclasses name it, build its model and prompt its language model. The model has ``config``,
    ``language`` and a forward function of both dates whose result has ``change``, logits
    (B, 2, H, W).

    Attributes:
        settings: class with ``object``, ``encoder``, ``language``, ``precision`` and ``beams``.
    """

    name: str
    _model: Any = None

    @abstractmethod
    def _load_trained(self, path: Path, language: Any, store: WeightsStore) -> Any:
        """Return the model with its trained weights, in evaluation mode on the CPU."""

    @abstractmethod
    def _embed(self, seen: Any, inside: Any) -> Any:
        """Return embeddings (B, N, W); ``inside`` (B, 1, H, W) is 1 in the part to describe."""

    @abstractmethod
    def _instruction(self) -> str:
        """Return the instruction to the language model."""

    def _encoder_learned(self, config: Any) -> bool:
        """Tell whether the encoder is in the head's file."""
        return False

    @property
    def info(self) -> SystemInfo:
        """Describe the system; tile size and revision come from the weights."""
        config, crop, revision = self._trained()
        tile = crop or 256
        return SystemInfo(
            name=self.name,
            title=SystemsTexts.writer_title(label=self.label),
            description=SystemsTexts.writer_description(
                target=config.object or SystemsTexts.any_change(), language=config.language
            ),
            pixel_sizes=(0.5,),
            classes=(config.object or ANYTHING,),
            tile_size=tile,
            overlap=tile // 4,
            batch_size=2,
            revision=revision,
            terms=SystemsTexts.terms(),
            tier="full",
            weights=(self.head, *self._needed(config)),
            writes=True,
            directed=False,
        )

    def _needed(self, config: Any) -> tuple[str, ...]:
        """Return the entries of the catalogue beside the head."""
        encoder = () if self._encoder_learned(config) else (config.encoder,)
        return tuple(name for name in (*encoder, config.language) if name in catalogue.entries())

    def _open(self, path: Path, store: WeightsStore, device: Device) -> str:
        from ..backbones import language

        config = self._trained()[0]
        written = language.load(
            config.language, device, precision=config.precision, store=store, rows=config.beams
        )
        self._model = self._load_trained(path, written, store).to(device.name)
        return SystemsTexts.sentences_by(device=device.text, language=written.name)

    def _close(self) -> None:
        self._model = None

    def predict(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        """Score a batch of tile pairs."""
        return TilePrediction(self._scores(self._see(before, after), queries))

    def describe(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        regions: np.ndarray,
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        """Score a batch of tile pairs and describe their regions."""
        import torch

        seen = self._see(before, after)
        model, device = self._model, self._in_use()
        inside = torch.from_numpy(regions != 0).to(device.name)[:, None].float()
        with torch.inference_mode(), device.autocast():
            captions = model.language.write(
                self._embed(seen, inside),
                [self._instruction()] * len(before),
                beams=model.config.beams,
            )
        return TilePrediction(
            self._scores(seen, queries),
            notes=model.language.notes,
            captions=tuple(_written(caption) for caption in captions),
        )

    def _see(self, before: np.ndarray, after: np.ndarray) -> Any:
        """Run the model on both dates."""
        import torch

        device = self._in_use()
        dates = (
            torch.from_numpy(tiles).to(device.name).permute(0, 3, 1, 2).float()
            for tiles in (before, after)
        )
        with torch.inference_mode(), device.autocast():
            return self._model(*dates)

    def _scores(self, seen: Any, queries: Sequence[Query]) -> np.ndarray:
        """Return scores (B, Q, H, W): the change for the object it was trained on, else 0."""
        import numpy as np

        change = seen.change.float().softmax(1)[:, 1].cpu().numpy()
        scores = np.zeros((len(change), len(queries), *change.shape[1:]), np.float32)
        for row, query in enumerate(queries):
            if answers(self._model.config.object, query):
                scores[:, row] = change
        return scores

    def notes(self, queries: Sequence[Query], hints: Hints = NO_HINTS) -> tuple[str, ...]:
        """Warn about nouns that the network was not trained on, and directions."""
        return notes_on(self.label, self._trained()[0].object, queries, directed=False)


def _written(sentence: str) -> str:
    """Give a sentence of the language model a capital letter and a full stop."""
    sentence = sentence.strip().rstrip(".").strip()
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""
