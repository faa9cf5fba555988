# SPDX-License-Identifier: GPL-3.0-or-later
"""Target sentences: the choice among several, and their encoding in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from torch import Tensor

#: Bytes of a sentence in a batch, UTF-8, zero-padded; the longest of LEVIR-CC has 230.
_BYTES = 384


def drawn(captions: Sequence[str], rng: np.random.Generator, agreed: float = 0.0) -> str:
    """Return a random sentence, with probability ``agreed`` the :func:`consensus`; or ""."""
    if not captions:
        return ""
    one = str(rng.choice(captions))
    return consensus(tuple(captions)) if agreed and rng.random() < agreed else one


@lru_cache(maxsize=4096)
def consensus(captions: tuple[str, ...]) -> str:
    """Return the sentence that shares the most words and word pairs with the others."""
    parts = [_parts(text) for text in captions]

    def shared(row: int) -> float:
        return sum(
            2 * len(parts[row] & other) / max(1, len(parts[row]) + len(other))
            for number, other in enumerate(parts)
            if number != row
        )

    return captions[max(range(len(captions)), key=shared)]


def _parts(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {(word,) for word in words} | set(pairwise(words))


def encoded(sentence: str, size: int = _BYTES) -> np.ndarray:
    """Return a text as zero-padded UTF-8, (size,) uint8."""
    text = np.zeros(size, np.uint8)
    cut = sentence.encode()[:size]
    text[: len(cut)] = np.frombuffer(cut, np.uint8)
    return text


def decoded(batch: Tensor) -> list[str]:
    """Return the texts of a batch (B, size) uint8."""
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in batch.cpu().numpy()]
