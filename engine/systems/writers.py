# SPDX-License-Identifier: GPL-3.0-or-later
"""What the systems have in common that mark change and write about it with a language model.

They learn change alone, without the object or the direction: both directions of a
query get the same score, and the notes say so. The sentence is their own.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Optional

from ..request import CHANGED, NO_HINTS
from ..weights import catalogue
from .base import SystemInfo, TilePrediction
from .mmchange import ANYTHING, answers
from .trained import TrainedSystem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from ..device import Device
    from ..request import Hints, Query
    from ..weights.store import WeightsStore


class WritingSystem(TrainedSystem):
    """A system that "changescribe train" has made, with the weights in the store.

    Subclasses name it, and say how its model is built and asked. The model has ``config``,
    ``language`` and a forward function of both dates whose answer has ``change``, logits
    (B, 2, H, W).

    Args:
        store: of weights; None is the usual place.

    Attributes:
        name: in the registry.
        settings: have ``object``, ``encoder``, ``language``, ``precision`` and ``beams``.
    """

    name: str

    def __init__(self, store: Optional[WeightsStore] = None) -> None:
        super().__init__(store)
        self._model: Any = None

    @abstractmethod
    def _load_trained(self, path: Path, language: Any, store: WeightsStore) -> Any:
        """Return the model with its trained weights, in evaluation mode on the CPU."""

    @abstractmethod
    def _embed(self, seen: Any, inside: Any) -> Any:
        """Return embeddings (B, N, W) for the language model.

        Args:
            seen: what the model has returned.
            inside: (B, 1, H, W) float, 1 where the sentence is to be about.
        """

    @abstractmethod
    def _instruction(self) -> str:
        """Return what the language model is asked."""

    def _encoder_learned(self, config: Any) -> bool:
        """Whether the encoder is in the head's file."""
        return False

    @property
    def info(self) -> SystemInfo:
        """Describe the system; its tile size and revision are those of the weights."""
        config, crop, revision = self._trained()
        tile = crop or 256
        return SystemInfo(
            name=self.name,
            title=f"{self.label} - change in sentences",
            description=(
                f"Marks {config.object or 'any change'}, whatever the prompt, and writes a "
                f"sentence about it with the language model {config.language}."
            ),
            pixel_sizes=(0.5,),
            classes=(config.object or ANYTHING,),
            tile_size=tile,
            overlap=tile // 4,
            batch_size=2,
            revision=revision,
            terms=(
                "Those of the data that it was trained on, of the encoder's weights and of the "
                "language model."
            ),
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
            config.language,
            device,
            precision=config.precision,
            store=store,
            rows=config.beams,
        )
        self._model = self._load_trained(path, written, store).to(device.name)
        return f"{device.text}; sentences by {written.name}"

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
        """Score a batch of tile pairs, and write about what is inside the regions."""
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
        """Return what the model says of both dates."""
        import torch

        device = self._in_use()
        dates = (
            torch.from_numpy(tiles).to(device.name).permute(0, 3, 1, 2).float()
            for tiles in (before, after)
        )
        with torch.inference_mode(), device.autocast():
            return self._model(*dates)

    def _scores(self, seen: Any, queries: Sequence[Query]) -> np.ndarray:
        """Return (B, Q, H, W): the change for what it was trained to find, else nothing."""
        import numpy as np

        change = seen.change.float().softmax(1)[:, 1].cpu().numpy()
        scores = np.zeros((len(change), len(queries), *change.shape[1:]), np.float32)
        for row, query in enumerate(queries):
            if answers(self._model.config.object, query):
                scores[:, row] = change
        return scores

    def notes(self, queries: Sequence[Query], hints: Hints = NO_HINTS) -> tuple[str, ...]:
        """Say what is found for a noun that the network was not trained on."""
        target = self._trained()[0].object
        wrong = dict.fromkeys(query.object for query in queries if not answers(target, query))
        found = [
            f'This {self.label} was trained on {target}: nothing was looked for as "{noun}".'
            for noun in wrong
        ]
        if not target:
            others = dict.fromkeys(query.object for query in queries if query.object != ANYTHING)
            found += [
                f'This {self.label} marks any change, and not "{noun}" alone.' for noun in others
            ]
        if any(query.direction != CHANGED for query in queries):
            found.append(
                f"{self.label} knows no direction: what it marked may have appeared or been "
                "removed."
            )
        return tuple(found)


def _written(sentence: str) -> str:
    """Return a sentence of the language model with a capital letter and a full stop."""
    sentence = sentence.strip().rstrip(".").strip()
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""
