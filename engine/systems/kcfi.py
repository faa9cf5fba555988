# SPDX-License-Identifier: GPL-3.0-or-later
"""KCFI: a mask of change and a sentence about it, in one pass over the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..modules.kcfi.config import KcfiConfig
from .writers import WritingSystem

if TYPE_CHECKING:
    from pathlib import Path

    from ..weights.store import WeightsStore

#: Entry of the catalogue of weights.
HEAD = "kcfi-head"


class KcfiSystem(WritingSystem):
    """KCFI with the weights in the store."""

    name = "kcfi"
    label = "KCFI"
    head = HEAD
    settings = KcfiConfig

    def _load_trained(self, path: Path, language: Any, store: WeightsStore) -> Any:
        from ..modules.kcfi.network import load_trained

        return load_trained(path, language, store)

    def _embed(self, seen: Any, inside: Any) -> Any:
        import torch.nn.functional as F

        # Key change features are zero where nothing changed; so they are outside the region.
        return self._model.projector(seen.key * F.adaptive_avg_pool2d(inside, seen.key.shape[2:]))

    def _instruction(self) -> str:
        from ..modules.kcfi.network import INSTRUCTIONS

        return INSTRUCTIONS[0]

    def _encoder_learned(self, config: KcfiConfig) -> bool:
        return config.train_encoder
