# SPDX-License-Identifier: GPL-3.0-or-later
"""The embeddings of the phrase bank, computed once by the frozen text tower."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

#: phrases -> words (N, T, C), mask (N, T), sentences (N, C), all numpy.
EncodeTexts = Callable[[list[str]], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class TextBank:
    """Embedded phrases, as constants.

    Attributes:
        words: (N, T, C) f_w.
        mask: (N, T), 1 for a word.
        sentences: (N, C) f_g.
    """

    words: Tensor
    mask: Tensor
    sentences: Tensor

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the embeddings of some phrases."""
        return self.words[rows], self.mask[rows], self.sentences[rows]


def embed(phrases: tuple[str, ...], encode: EncodeTexts) -> TextBank:
    """Embed phrases with a frozen encoder, without common padding."""
    words, mask, sentences = encode(list(phrases))
    mask = np.asarray(mask, np.float32)
    length = int(mask.sum(1).max())
    return TextBank(
        torch.from_numpy(np.asarray(words, np.float32)[:, :length]),
        torch.from_numpy(mask[:, :length]),
        torch.from_numpy(np.asarray(sentences, np.float32)),
    )


def shipped_encoder() -> EncodeTexts:
    """Return the shipped text tower (ONNX, frozen)."""
    from ...text.encoder import TextEncoder

    return TextEncoder().encode
