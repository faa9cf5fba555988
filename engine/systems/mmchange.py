# SPDX-License-Identifier: GPL-3.0-or-later
"""MMChange: images and a description of each, with weights from "changescribe train".

The network reads no prompt: it finds the object that it was trained on. A prompt
that names another one gets no polygons and a warning, except from a network
trained on any change, which returns the same change for every prompt.

A network that learned what appeared finds what was removed when the dates, and
their descriptions, are exchanged. One that learned change alone, as in the paper,
has no direction: both directions get the same score, and a warning.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

from ..classes import class_of
from ..modules.mmchange.config import MMChangeConfig
from ..request import APPEARED, CHANGED, NO_HINTS, REMOVED
from ..weights import catalogue
from . import text_sources
from .base import SystemInfo, TilePrediction
from .text_sources import Descriptions
from .texts import SystemsTexts
from .trained import TrainedSystem, head_in_use

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ..device import Device
    from ..request import Hints, Query
    from ..weights.store import WeightsStore

#: Entry of the catalogue of weights.
HEAD = "mmchange-head"
#: Object of "anything changed" for a network that was trained on any change.
ANYTHING = "land cover"
#: Rows of :func:`..modules.mmchange.network.score_pair` for a direction.
_ORDERS = {APPEARED: [0], REMOVED: [1], CHANGED: [0, 1]}


class MmchangeSystem(TrainedSystem):
    """MMChange with the weights in the store."""

    label = "MMChange"
    head = HEAD
    settings = MMChangeConfig
    _encoder: Any = None
    _head: Optional[Callable[..., Any]] = None
    _texts: Optional[Descriptions] = None
    _config = MMChangeConfig()

    @property
    def info(self) -> SystemInfo:
        """Describe the system; object, tile size and revision come from the weights."""
        config, crop, revision = self._trained()
        tile = crop or 256
        target = config.object or SystemsTexts.any_change()
        return SystemInfo(
            name="mmchange",
            title=SystemsTexts.mmchange_title(target=target),
            description=SystemsTexts.mmchange_description(target=target),
            pixel_sizes=(0.5,),
            classes=(config.object or ANYTHING,),
            tile_size=tile,
            overlap=tile // 4,
            batch_size=2,
            revision=revision,
            terms=SystemsTexts.terms(),
            tier="full",
            weights=(HEAD, *needed_for_text(config)),
            directed=config.direction,
        )

    def _open(self, path: Path, store: WeightsStore, device: Device) -> str:
        from ..modules.mmchange.network import load_trained
        from ..modules.mmchange.onnx import OnnxHead

        model = load_trained(path)
        self._config = config = model.config
        if config.text:
            source = text_sources.create(config.text_source, weights=store.folder)
            self._texts = Descriptions(
                source,
                config.text_tower,
                config.text_width,
                text_sources.default_folder() if source.costly else None,
                store.folder,
                config.text_file,
            )
        self._encoder = model.encoder.to(device.name)
        part = SystemsTexts.fusion_and_decoder()
        self._head, text = head_in_use(path, model.head, OnnxHead, device, part)
        return text

    def _close(self) -> None:
        self._encoder = self._head = self._texts = None

    def predict(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        """Score a batch of tile pairs; every tile is described and encoded once."""
        import numpy as np

        self._in_use()
        count, height, width = before.shape[:3]
        scores = np.zeros((count, len(queries), height, width), np.float32)
        rows = [row for row, query in enumerate(queries) if answers(self._config.object, query)]
        if not rows:
            return TilePrediction(scores)
        both = self._score(before, after)
        for row in rows:
            orders = _ORDERS[queries[row].direction] if self._config.direction else [0]
            scores[:, row] = both[orders].max(0)
        return TilePrediction(scores)

    def _score(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return (2, B, H, W) float32: scores in both orders of the dates."""
        import torch

        from ..modules.mmchange.network import score_pair

        device = self._in_use()
        if self._head is None:
            raise RuntimeError("nothing is loaded")
        place = device.name
        dates = tuple(
            torch.from_numpy(tiles).to(place).permute(0, 3, 1, 2).float()
            for tiles in (before, after)
        )
        texts = tuple(self._described(tiles).to(place) for tiles in (before, after))
        with torch.inference_mode(), device.autocast():
            return score_pair(self._encoder, self._head, dates, texts).cpu().numpy()

    def _described(self, tiles: np.ndarray) -> Any:
        """Return the embedded descriptions of tiles, (B, W)."""
        import torch

        if self._texts is None:
            return torch.zeros(len(tiles), self._config.text_width)
        return torch.stack([torch.from_numpy(self._texts.of([tile]).embedding) for tile in tiles])

    def notes(self, queries: Sequence[Query], hints: Hints = NO_HINTS) -> tuple[str, ...]:
        """Warn about nouns that the network was not trained on, and directions."""
        config = self._trained()[0]
        return notes_on(self.label, config.object, queries, directed=config.direction)


def notes_on(
    label: str, target: str, queries: Sequence[Query], *, directed: bool
) -> tuple[str, ...]:
    """Return the warnings of a network that reads no prompt."""
    nouns = dict.fromkeys(query.object for query in queries if not answers(target, query))
    found = [SystemsTexts.other_object(label=label, target=target, phrase=noun) for noun in nouns]
    if not target:
        others = dict.fromkeys(query.object for query in queries if query.object != ANYTHING)
        found += [SystemsTexts.not_alone(label=label, phrase=noun) for noun in others]
    if not directed and any(query.direction != CHANGED for query in queries):
        found.append(SystemsTexts.no_direction(label=label))
    return tuple(found)


def needed_for_text(config: Any) -> tuple[str, ...]:
    """Return the entries of the catalogue that the text branch needs."""
    settings = config.text_source
    if not config.text or settings.get("source", "none") == "none":
        return ()
    settings = settings.get("otherwise") or settings
    default = {"vlm": "tiny-llava-v1", "labels": "clip-vit-b-32-openai"}
    model = settings.get("model", default.get(settings.get("source", "none"), ""))
    needed = (config.text_tower, str(model))
    return tuple(dict.fromkeys(name for name in needed if name in catalogue.entries()))


def answers(target: str, query: Query) -> bool:
    """Tell whether a network that learned one object finds the object of a query.

    Args:
        target: object phrase that it was trained on; empty: any change.
        query: may name it in the same words, or by the same land cover.
    """
    if not target or query.object == target:
        return True
    land_cover = class_of(query.object)
    return land_cover is not None and land_cover == class_of(target)
