# SPDX-License-Identifier: GPL-3.0-or-later
"""KCFI: a mask of change and a sentence about it, from one pass over the images.

It learns change alone, without the object or the direction: both directions of a
query get the same score, and the notes say so. The sentence is its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from ..device import Device, choose
from ..errors import InputError, WeightsError
from ..modules.kcfi_config import KcfiConfig
from ..request import CHANGED
from ..weights import catalogue, loading
from ..weights.store import WeightsStore
from .base import ChangeSystem, SystemInfo, TilePrediction
from .mmchange import ANYTHING, answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ..request import Query

#: Entry of the catalogue of weights.
HEAD = "kcfi-head"


class KcfiSystem(ChangeSystem):
    """KCFI with the weights in the store.

    Args:
        store: of weights; None is the usual place.
    """

    def __init__(self, store: Optional[WeightsStore] = None) -> None:
        self._store = store
        self._model: Any = None
        self._wanted_device = ""
        self._used: Optional[Device] = None
        self._device = "not loaded"

    @property
    def info(self) -> SystemInfo:
        """Describe the system; its tile size and revision are those of the weights."""
        config, tile, revision = self._trained()
        return SystemInfo(
            name="kcfi",
            title="KCFI - change in sentences",
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
            weights=(HEAD, *_needed(config)),
            writes=True,
        )

    def _stored(self) -> WeightsStore:
        return self._store or WeightsStore()

    def _trained(self) -> tuple[KcfiConfig, int, str]:
        """Return settings, tile size and revision of the weights; the defaults without any."""
        store = self._stored()
        try:
            metadata = loading.head_metadata(store.location(store.entry(HEAD)))
            config = KcfiConfig.from_settings(metadata["config"])
            recipe = metadata["recipe"]
            return config, int(recipe["crop"]), f"{recipe['name']}, step {metadata['step']}"
        except (WeightsError, InputError, KeyError, TypeError, ValueError):
            # What is wrong with the file is said when it is loaded.
            return KcfiConfig(), 256, "not trained"

    def load(self, device: str = "auto") -> None:
        """Load encoder, head and language model; see the base class."""
        if self._model is not None and device == self._wanted_device:
            return
        chosen = choose(device)
        from .. import language
        from ..modules.kcfi import load_trained

        store = self._stored()
        path = store.path(HEAD)
        config = self._trained()[0]
        for name in _needed(config):
            store.path(name)
        written = language.load(
            config.language,
            chosen,
            precision=config.precision,
            store=store,
            rows=config.beams,
        )
        self._model = load_trained(path, written, store).to(chosen.name)
        self._device = f"{chosen.text}; sentences by {written.name}"
        self._used, self._wanted_device = chosen, device

    @property
    def device(self) -> str:
        """The device in use and why."""
        return self._device

    def predict(
        self, before: np.ndarray, after: np.ndarray, queries: Sequence[Query]
    ) -> TilePrediction:
        """Score a batch of tile pairs."""
        change = self._perceive(before, after)[1]
        return TilePrediction(self._scores(change, queries))

    def describe(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        regions: np.ndarray,
    ) -> TilePrediction:
        """Score a batch of tile pairs, and write about the key changes inside the regions."""
        import torch
        import torch.nn.functional as F

        from ..modules.kcfi import INSTRUCTIONS

        key, change = self._perceive(before, after)
        model, device = self._model, self._device_in_use()
        inside = torch.from_numpy(regions != 0).to(key.device)[:, None].float()
        with torch.inference_mode(), device.autocast():
            # Key change features are zero where nothing changed, as they are to be outside.
            tokens = model.projector(key * F.adaptive_avg_pool2d(inside, key.shape[2:]))
            captions = model.language.write(
                tokens, INSTRUCTIONS[:1] * len(tokens), beams=model.config.beams
            )
        sentences = tuple(_written(caption) for caption in captions)
        return TilePrediction(
            self._scores(change, queries), notes=model.language.notes, captions=sentences
        )

    def _device_in_use(self) -> Device:
        if self._used is None:
            raise RuntimeError("predict before load")
        return self._used

    def _perceive(self, before: np.ndarray, after: np.ndarray) -> tuple[Any, np.ndarray]:
        """Return key change features (B, 4C, h, w) and the probability of change (B, H, W)."""
        import torch

        self.load(self._wanted_device or "auto")
        device = self._device_in_use()
        dates = (
            torch.from_numpy(tiles).to(device.name).permute(0, 3, 1, 2).float()
            for tiles in (before, after)
        )
        with torch.inference_mode(), device.autocast():
            key, logits = self._model(*dates)
        return key, logits.float().softmax(1)[:, 1].cpu().numpy()

    def _scores(self, change: np.ndarray, queries: Sequence[Query]) -> np.ndarray:
        """Return (B, Q, H, W): the change for what it was trained to find, else nothing."""
        import numpy as np

        scores = np.zeros((len(change), len(queries), *change.shape[1:]), np.float32)
        for row, query in enumerate(queries):
            if answers(self._model.config.object, query):
                scores[:, row] = change
        return scores

    def notes(self, queries: Sequence[Query]) -> tuple[str, ...]:
        """Say what is found for a noun that the network was not trained on."""
        target = self._trained()[0].object
        wrong = dict.fromkeys(query.object for query in queries if not answers(target, query))
        found = [
            f'This KCFI was trained on {target}: nothing was looked for as "{noun}".'
            for noun in wrong
        ]
        if not target:
            others = dict.fromkeys(query.object for query in queries if query.object != ANYTHING)
            found += [f'This KCFI marks any change, and not "{noun}" alone.' for noun in others]
        if any(query.direction != CHANGED for query in queries):
            found.append(
                "KCFI knows no direction: what it marked may have appeared or been removed."
            )
        return tuple(found)

    def unload(self) -> None:
        """Free encoder, head and language model."""
        self._model = self._used = None
        self._device = "not loaded"


def _needed(config: KcfiConfig) -> tuple[str, ...]:
    """Return the entries of the catalogue beside the head.

    An encoder that has learned is in the head's file.
    """
    encoder = () if config.train_encoder else (config.encoder,)
    return tuple(name for name in (*encoder, config.language) if name in catalogue.entries())


def _written(sentence: str) -> str:
    """Return a sentence of the language model with a capital letter and a full stop."""
    sentence = sentence.strip().rstrip(".").strip()
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""
