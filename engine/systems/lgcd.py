# SPDX-License-Identifier: GPL-3.0-or-later
"""LG-CD: frozen SAM 2.1 and CLIP, with a head that is trained by "changescribe train".

The text tower reads the object phrase; the direction of a query is the order of
the dates in the head's input, see :mod:`..modules.lgcd`. Exchanging the rasters
therefore exchanges appeared and removed exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

from ..backbones import names
from ..classes import class_of
from ..errors import WeightsError
from ..modules.lgcd.config import LgcdConfig
from ..request import APPEARED, CHANGED, NO_HINTS, REMOVED
from ..weights import catalogue
from .base import SystemInfo, TilePrediction
from .texts import SystemsTexts
from .trained import TrainedSystem, head_in_use

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from ..device import Device
    from ..request import Hints, Query
    from ..weights.store import WeightsStore

#: Entry of the catalogue of weights.
HEAD = "lg-cd-head"
#: Orders of the dates for a direction: False is (before, after), True (after, before).
_ORDERS = {APPEARED: (False,), REMOVED: (True,), CHANGED: (False, True)}
#: Pixels in a batch of the head: questions times the pixels of a tile.
_PIXELS_AT_ONCE = {"cpu": 2 * 512**2, "cuda": 16 * 512**2}


class LgcdSystem(TrainedSystem):
    """LG-CD with the head in the store of weights."""

    label = "LG-CD"
    head = HEAD
    settings = LgcdConfig
    _encoder: Any = None
    _text: Any = None
    _head: Optional[Callable[..., Any]] = None

    @property
    def info(self) -> SystemInfo:
        """Describe the system; encoder, objects and revision come from the head's file."""
        config, _, revision = self._trained()
        encoder = names.title(config.encoder)
        frozen = (config.encoder, config.text) if config.pretrained else ()
        return SystemInfo(
            name="lgcd",
            title=SystemsTexts.lgcd_title(encoder=encoder),
            description=SystemsTexts.lgcd_description(
                encoder=encoder, tower=names.title(config.text)
            ),
            pixel_sizes=(0.5,),
            classes=config.objects,
            tile_size=512,
            overlap=64,
            batch_size=1,
            revision=revision,
            terms=SystemsTexts.terms(),
            tier="full",
            weights=(HEAD, *(name for name in frozen if name in catalogue.entries())),
        )

    def _open(self, path: Path, store: WeightsStore, device: Device) -> str:
        from ..backbones import clip_text, frozen
        from ..modules.lgcd.onnx import OnnxHead, load_head

        head, config = load_head(path)
        self._text = clip_text.build(config.text, config.text_file, config.pretrained, store)
        encoder = frozen.build(config.encoder, config.pretrained, store)
        _check_fit(head, encoder.channels)
        self._encoder = encoder.to(device.name)
        self._head, text = head_in_use(path, head, OnnxHead, device, SystemsTexts.head())
        return text

    def _close(self) -> None:
        self._encoder = self._text = self._head = None

    def predict(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        """Score a batch of tile pairs; every tile is encoded once for all queries."""
        import numpy as np

        count, height, width = before.shape[:3]
        questions = list(
            dict.fromkeys((q.object, o) for q in queries for o in _ORDERS[q.direction])
        )
        planes = self._score(before, after, questions) if questions else np.zeros((count, 0, 0, 0))
        scores = np.zeros((count, len(queries), height, width), np.float32)
        for row, query in enumerate(queries):
            found = [questions.index((query.object, order)) for order in _ORDERS[query.direction]]
            scores[:, row] = planes[:, found].max(1)
        return TilePrediction(scores)

    def _score(
        self, before: np.ndarray, after: np.ndarray, questions: list[tuple[str, bool]]
    ) -> np.ndarray:
        """Score phrases, each with an order of the dates: (B, questions, H, W) float32."""
        import numpy as np
        import torch

        from ..modules.lgcd.network import enlarge

        device = self._in_use()
        if self._head is None:
            raise RuntimeError("nothing is loaded")
        place = device.name
        count, height, width = before.shape[:3]
        images = torch.from_numpy(np.concatenate([before, after])).to(place)
        pair, exchanged = np.divmod(np.arange(count * len(questions)), len(questions))
        exchanged = np.array([order for _, order in questions])[exchanged]
        first = torch.from_numpy(pair + count * exchanged).to(place)
        second = torch.from_numpy(pair + count * ~exchanged).to(place)
        step = max(1, _PIXELS_AT_ONCE[place] // (height * width))
        found = []
        with torch.inference_mode(), device.autocast():
            text = self._text.encode([phrase for phrase, _ in questions] * count, place)
            features = self._encoder(images.permute(0, 3, 1, 2).float())
            for start in range(0, len(pair), step):
                rows = slice(start, start + step)
                words = (part[rows] for part in text)
                logits = self._head(features, first[rows], second[rows], *words)[-1]
                found.append(enlarge(logits.float(), height, width).sigmoid().cpu().numpy())
        return np.concatenate(found).reshape(count, len(questions), height, width)

    def notes(self, queries: Sequence[Query], hints: Hints = NO_HINTS) -> tuple[str, ...]:
        """Warn about objects that the head was not trained on."""
        objects = self._trained()[0].objects
        known = {_meaning(phrase) for phrase in objects}
        unknown = [q.object for q in queries if _meaning(q.object) not in known]
        return tuple(
            SystemsTexts.lgcd_guess(phrase=phrase, objects=", ".join(objects))
            for phrase in dict.fromkeys(unknown)
        )


def _check_fit(head: Any, channels: Sequence[int]) -> None:
    expected = tuple(adapter[0].in_channels for adapter in head.adapters)
    if expected != tuple(channels):
        raise WeightsError(
            SystemsTexts.other_encoder(),
            details=f"{expected} channels, the encoder has {tuple(channels)}",
        )


def _meaning(phrase: str) -> str:
    """Return the class that a phrase names, or the phrase itself."""
    land_cover = class_of(phrase)
    return land_cover.name if land_cover else phrase
