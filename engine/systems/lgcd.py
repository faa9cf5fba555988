# SPDX-License-Identifier: GPL-3.0-or-later
"""LG-CD: frozen SAM 2.1 and CLIP, with a head that "changescribe train" has trained.

The text tower reads the object phrase; the direction of a query is the order in
which the head is given the dates, see :mod:`..modules.lgcd`. Exchanging the
rasters therefore exchanges appeared and removed exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

from ..backbones import names
from ..classes import class_of
from ..device import Device, choose
from ..errors import InputError, WeightsError
from ..modules.lgcd_config import LgcdConfig
from ..request import APPEARED, CHANGED, REMOVED
from ..weights import catalogue, files, loading
from ..weights.store import WeightsStore
from .base import ChangeSystem, SystemInfo, TilePrediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ..request import Query

#: Entry of the catalogue of weights.
HEAD = "lg-cd-head"
#: Orders of the dates that answer a direction: False is (before, after).
_ORDERS = {APPEARED: (False,), REMOVED: (True,), CHANGED: (False, True)}
#: Pixels that the head works on at once: questions times the pixels of a tile.
_PIXELS_AT_ONCE = {"cpu": 2 * 512**2, "cuda": 16 * 512**2}


class LgcdSystem(ChangeSystem):
    """LG-CD with the head in the store of weights.

    Args:
        store: of weights; None is the usual place.
    """

    def __init__(self, store: Optional[WeightsStore] = None) -> None:
        self._store = store
        self._encoder: Any = None
        self._text: Any = None
        self._head: Optional[Callable[..., Any]] = None
        self._wanted_device = ""
        #: Of the trained file that is loaded: another one may be imported at any time.
        self._stamp: Optional[tuple[int, int]] = None
        self._used: Optional[Device] = None
        self._device = "not loaded"

    @property
    def info(self) -> SystemInfo:
        """Describe the system; its encoder, objects and revision are those of the head's file."""
        config, revision = self._trained()
        encoder = names.title(config.encoder)
        frozen = (config.encoder, config.text) if config.pretrained else ()
        return SystemInfo(
            name="lgcd",
            title=f"LG-CD - {encoder}",
            description=(
                f"Finds what a prompt names with the frozen encoder {encoder} and the text tower "
                f"{names.title(config.text)}, and a head that you have trained."
            ),
            pixel_sizes=(0.5,),
            classes=config.objects,
            tile_size=512,
            overlap=64,
            batch_size=1,
            revision=revision,
            terms="Those of the data that the head was trained on, and of the encoders' weights.",
            tier="full",
            weights=(HEAD, *(name for name in frozen if name in catalogue.entries())),
        )

    def _stored(self) -> WeightsStore:
        return self._store or WeightsStore()

    def _trained(self) -> tuple[LgcdConfig, str]:
        """Return sizes and revision of the head; the paper's where there is none."""
        store = self._stored()
        try:
            metadata = loading.head_metadata(store.location(store.entry(HEAD)))
            config = LgcdConfig.from_settings(metadata["config"])
            return config, f"{metadata['recipe']['name']}, step {metadata['step']}"
        except (WeightsError, InputError, KeyError, TypeError):
            # What is wrong with the file is said when it is loaded.
            return LgcdConfig(), "not trained"

    def load(self, device: str = "auto") -> None:
        """Load encoders and head; see the base class."""
        store = self._stored()
        stamp = store.stamp(HEAD)
        if self._head is not None and (device, stamp) == (self._wanted_device, self._stamp):
            return
        store.require("LG-CD", self.info.weights)
        chosen = choose(device)
        from ..backbones import clip_text, frozen
        from ..modules.lgcd_onnx import OnnxHead, load_head

        path = store.path(HEAD)
        head, config = load_head(path)
        text = clip_text.build(config.text, config.text_file, config.pretrained, store)
        encoder = frozen.build(config.encoder, config.pretrained, store)
        _check_fit(head, encoder.channels)
        exported = path.with_suffix(".onnx")
        self._device = chosen.text
        if exported.is_file():
            self._head = OnnxHead(exported, files.sha256_of(path), chosen.name)
            self._device += "; head on onnxruntime"
        else:
            self._head = head.to(chosen.name)
        self._encoder, self._text = encoder.to(chosen.name), text
        self._used, self._wanted_device = chosen, device
        self._stamp = stamp

    @property
    def device(self) -> str:
        """The device in use and why."""
        return self._device

    def predict(
        self, before: np.ndarray, after: np.ndarray, queries: Sequence[Query]
    ) -> TilePrediction:
        """Score a batch of tile pairs; every tile is encoded once for all queries."""
        import numpy as np

        if self._head is None:
            self.load(self._wanted_device or "auto")
        count, height, width = before.shape[:3]
        asked = list(dict.fromkeys((q.object, o) for q in queries for o in _ORDERS[q.direction]))
        planes = self._score(before, after, asked) if asked else np.zeros((count, 0, 0, 0))
        scores = np.zeros((count, len(queries), height, width), np.float32)
        for row, query in enumerate(queries):
            found = [asked.index((query.object, order)) for order in _ORDERS[query.direction]]
            scores[:, row] = planes[:, found].max(1)
        return TilePrediction(scores)

    def _score(
        self, before: np.ndarray, after: np.ndarray, asked: list[tuple[str, bool]]
    ) -> np.ndarray:
        """Answer phrases, each in an order of the dates, about every pair.

        Returns:
            (B, number of phrases, H, W) float32.
        """
        import numpy as np
        import torch

        from ..modules.lgcd import enlarge

        if self._used is None or self._head is None:
            raise RuntimeError("predict before load")
        place = self._used.name
        count, height, width = before.shape[:3]
        images = torch.from_numpy(np.concatenate([before, after])).to(place)
        pair, exchanged = np.divmod(np.arange(count * len(asked)), len(asked))
        exchanged = np.array([order for _, order in asked])[exchanged]
        first = torch.from_numpy(pair + count * exchanged).to(place)
        second = torch.from_numpy(pair + count * ~exchanged).to(place)
        step = max(1, _PIXELS_AT_ONCE[place] // (height * width))
        found = []
        with torch.inference_mode(), self._used.autocast():
            text = self._text.encode([phrase for phrase, _ in asked] * count, place)
            features = self._encoder(images.permute(0, 3, 1, 2).float())
            for start in range(0, len(pair), step):
                rows = slice(start, start + step)
                words = (part[rows] for part in text)
                logits = self._head(features, first[rows], second[rows], *words)[-1]
                found.append(enlarge(logits.float(), height, width).sigmoid().cpu().numpy())
        return np.concatenate(found).reshape(count, len(asked), height, width)

    def notes(self, queries: Sequence[Query]) -> tuple[str, ...]:
        """Warn about objects that the head was not trained to find."""
        objects = self._trained()[0].objects
        known = {_meaning(phrase) for phrase in objects}
        unknown = [q.object for q in queries if _meaning(q.object) not in known]
        return tuple(
            f'This LG-CD was not trained to find "{phrase}": the result is a guess. '
            f"It was trained on: {', '.join(objects)}."
            for phrase in dict.fromkeys(unknown)
        )

    def unload(self) -> None:
        """Free encoders and head."""
        self._encoder = self._text = self._head = self._used = None
        self._device = "not loaded"


def _check_fit(head: Any, channels: Sequence[int]) -> None:
    wanted = tuple(adapter[0].in_channels for adapter in head.adapters)
    if wanted != tuple(channels):
        raise WeightsError(
            "The head of LG-CD was trained with another encoder than the one that its file names.",
            "Train it again.",
            f"{wanted} channels, the encoder has {tuple(channels)}",
        )


def _meaning(phrase: str) -> str:
    """Return the class that a phrase names, or the phrase itself."""
    land_cover = class_of(phrase)
    return land_cover.name if land_cover else phrase
