# SPDX-License-Identifier: GPL-3.0-or-later
"""TextSCD: from which class to which, with weights from "changescribe train".

The network returns the classes of both dates and the change between them. The
score of a query is the minimum of three: something changed, the later date has
the class, the earlier one does not (for "removed" the other way round). Each is
0.5 on the decision boundary of the paper, so that the default threshold gives its
result: the likeliest class of each date where change is more likely than not. The
classes of the polygons, before and after, come from the same maps.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

from ..classes import class_of, index_among
from ..modules.textscd.config import TextSCDConfig
from ..request import APPEARED, NO_HINTS, REMOVED
from ..weights import catalogue
from . import text_sources
from .base import SystemInfo, TilePrediction
from .mmchange import needed_for_text
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
HEAD = "textscd-head"


class TextscdSystem(TrainedSystem):
    """TextSCD with the weights in the store."""

    label = "TextSCD"
    head = HEAD
    settings = TextSCDConfig
    _encoder: Any = None
    _head: Optional[Callable[..., Any]] = None
    _tower: Any = None
    _texts: Optional[Descriptions] = None
    _config = TextSCDConfig()

    @property
    def info(self) -> SystemInfo:
        """Describe the system; classes, tile size and revision come from the weights."""
        config, crop, revision = self._trained()
        tile = max(256, crop or 512)
        return SystemInfo(
            name="textscd",
            title=SystemsTexts.textscd_title(),
            description=SystemsTexts.textscd_description(classes=", ".join(config.classes)),
            pixel_sizes=(0.5, 1.0, 2.0),
            classes=shown(config.classes),
            tile_size=tile,
            overlap=64,
            batch_size=1,
            revision=revision,
            terms=SystemsTexts.terms(),
            tier="full",
            weights=(HEAD, *_needed(config)),
        )

    def _open(self, path: Path, store: WeightsStore, device: Device) -> str:
        from ..modules.textscd.network import load_trained, open_tower
        from ..modules.textscd.onnx import OnnxHead

        model = load_trained(path)
        self._config = config = model.config
        self._tower = open_tower(config, store) if config.text else None
        source = text_sources.create(
            config.text_source if config.text else {}, text_sources.PAIR_QUESTION, store.folder
        )
        folder = text_sources.default_folder() if source.costly else None
        self._texts = Descriptions(source, folder=folder)
        self._encoder = model.backbone.to(device.name)
        part = SystemsTexts.fusion_and_decoder()
        self._head, text = head_in_use(path, model.head, OnnxHead, device, part)
        return text

    def _close(self) -> None:
        self._encoder = self._head = self._tower = self._texts = None

    def predict(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        """Score a batch of tile pairs, and return the classes of both dates."""
        import numpy as np

        self._in_use()
        earlier, later, change = self._maps(before, after)
        margins = margin(earlier), margin(later)
        scores = np.zeros((len(before), len(queries), *change.shape[1:]), np.float32)
        for row, query in enumerate(queries):
            index = index_among(query.object, self._config.classes)
            if index is not None:
                scores[:, row] = _score(query.direction, index, margins, change)
        classes = [posterior.argmax(1).astype(np.uint8) for posterior in (earlier, later)]
        return TilePrediction(scores, *classes)

    def _maps(
        self, before: np.ndarray, after: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return probabilities: classes of both dates (B, K, H, W), change (B, H, W).

        The network compares the dates in one order (eq. 6), so exchanged dates would get other
        scores. The head runs on both orders, each image is encoded once, and the two results are
        averaged: exchanging the dates exchanges appeared and removed.
        """
        import torch

        from ..modules.textscd.network import caption_words

        device = self._in_use()
        if self._head is None or self._texts is None:
            raise RuntimeError("nothing is loaded")
        place, count = device.name, len(before)
        captions = [self._texts.of([one, two]).text for one, two in zip(before, after)]
        captions += [self._texts.of([two, one]).text for one, two in zip(before, after)]
        images = [torch.from_numpy(t).to(place).permute(0, 3, 1, 2) for t in (before, after)]
        with torch.inference_mode(), device.autocast():
            words, mask = caption_words(self._tower, captions, place, self._config)
            encoded = self._encoder(torch.cat(images).float())[1:]
            exchanged = [torch.cat([m[count:], m[:count]]) for m in encoded]
            maps = self._head(encoded, exchanged, words, mask)
        first, second = (logits.float().softmax(1) for logits in (maps.before, maps.after))
        earlier = (first[:count] + second[count:]) / 2
        later = (second[:count] + first[count:]) / 2
        change = maps.change[:, 0].float().sigmoid().unflatten(0, (2, count)).mean(0)
        return earlier.cpu().numpy(), later.cpu().numpy(), change.cpu().numpy()

    def notes(self, queries: Sequence[Query], hints: Hints = NO_HINTS) -> tuple[str, ...]:
        """Warn about nouns that are none of the classes."""
        classes = self._trained()[0].classes
        unknown = [q.object for q in queries if index_among(q.object, classes) is None]
        return tuple(
            SystemsTexts.textscd_no_class(
                phrase=noun, classes=", ".join(classes[:-1]), last=classes[-1]
            )
            for noun in dict.fromkeys(unknown)
        )


def shown(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes for the attribute table: "building" for "buildings".

    Other words for a known class, such as "low vegetation", stay as they are.
    """
    names: list[str] = []
    for phrase in classes:
        land_cover = class_of(phrase)
        name = phrase
        if land_cover is not None and phrase == land_cover.plural:
            name = land_cover.name
        names.append(phrase if name in classes or name in names else name)
    return tuple(names)


def margin(posterior: np.ndarray) -> np.ndarray:
    """Return p / (p + the largest other p) of (B, K, H, W): above 0.5 where it is the likeliest."""
    import numpy as np

    ranked = np.partition(posterior, -2, axis=1)
    largest, second = ranked[:, -1:], ranked[:, -2:-1]
    rival = np.where(posterior >= largest, second, largest)
    return posterior / np.maximum(posterior + rival, 1e-12)


def _score(
    direction: str, index: int, margins: tuple[np.ndarray, np.ndarray], change: np.ndarray
) -> np.ndarray:
    """Return the score (B, H, W) that a class appeared, was removed, or either."""
    import numpy as np

    before, after = (part[:, index] for part in margins)
    appeared = np.minimum(change, np.minimum(after, 1 - before))
    removed = np.minimum(change, np.minimum(before, 1 - after))
    return {APPEARED: appeared, REMOVED: removed}.get(direction, np.maximum(appeared, removed))


def _needed(config: TextSCDConfig) -> tuple[str, ...]:
    """Return the entries of the catalogue beside the head; empty captions need the tower too."""
    tower = (config.text_tower,) if config.text else ()
    names = dict.fromkeys((*tower, *needed_for_text(config)))
    return tuple(name for name in names if name in catalogue.entries())
