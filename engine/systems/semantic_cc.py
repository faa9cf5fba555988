# SPDX-License-Identifier: GPL-3.0-or-later
"""Semantic-CC: a mask of change and a sentence about it, in one pass over the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..modules.semantic_cc.config import INSTRUCTIONS, SemanticCcConfig
from .writers import WritingSystem

if TYPE_CHECKING:
    from pathlib import Path

    from ..weights.store import WeightsStore

#: Entry of the catalogue of weights.
HEAD = "semantic-cc-head"


class SemanticCcSystem(WritingSystem):
    """Semantic-CC with the weights in the store."""

    name = "semantic-cc"
    label = "Semantic-CC"
    head = HEAD
    settings = SemanticCcConfig

    def _load_trained(self, path: Path, language: Any, store: WeightsStore) -> Any:
        from ..modules.semantic_cc.network import load_trained

        return load_trained(path, language, store)

    def _embed(self, seen: Any, inside: Any) -> Any:
        import torch.nn.functional as F

        side = self._model.encoder.side
        # A cell counts as soon as one of its pixels does.
        cells = F.adaptive_max_pool2d(inside, side).flatten(1)
        return self._model.captioner(seen.caption, cells)

    def _instruction(self) -> str:
        return INSTRUCTIONS[0]
