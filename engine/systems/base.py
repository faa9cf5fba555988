# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of a change-detection system: batches of tile pairs in, scores out.

A system knows nothing about files, grids or CRSs. It is given 8-bit RGB tiles on
the common grid, at a pixel size that it was trained on, and returns one calibrated
score per query and pixel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from ..errors import InputError
from ..request import NO_HINTS
from .texts import SystemsTexts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    #: What is kept of a tile pair, by name.
    Features = Mapping[str, np.ndarray]

    from ..request import Hints, Query

#: Class index of a pixel of unknown class.
CLASS_UNKNOWN = 255


@dataclass(frozen=True)
class SystemInfo:
    """Description of a system, known without loading it.

    Attributes:
        name: name in the registry and on the command line.
        title: shown in the dock ("Bundled - fast, no download").
        description: one or two sentences.
        pixel_sizes: that it was trained on, in metres, ascending.
        classes: names of the classes of ``classes_before`` and ``classes_after``, which "anything
            changed" stands for as well; may be empty.
        tile_size: side of a tile in pixels, a multiple of 32.
        overlap: pixels that neighbouring tiles share.
        largest_tile: side up to which tiles may grow, by multiples of 32, if fewer pixels are
            then computed twice, see :func:`..detect.tiling.plan`; 0: always ``tile_size``.
        remembers: what does not depend on the question can be kept, see
            :meth:`OpenedSystem.encode`.
        batch_size: tiles per call on a CPU.
        revision: of the weights.
        terms: terms of use of the weights, for the user.
        tier: ``"compact"`` (onnxruntime) or ``"full"`` (PyTorch).
        weights: ids in the catalogue of weights of the files that it needs.
        competing: default list of what else the ground may be, for a system that distinguishes
            the object of a query from such a list, see :class:`~..request.Hints`; else empty.
        writes: it writes sentences of its own, see :meth:`OpenedSystem.describe`.
        directed: it distinguishes what appeared from what was removed; otherwise "anything
            changed" becomes queries with the direction "changed".
    """

    name: str
    title: str
    description: str
    pixel_sizes: tuple[float, ...]
    classes: tuple[str, ...]
    tile_size: int
    overlap: int
    batch_size: int
    revision: str
    terms: str
    tier: str = "compact"
    weights: tuple[str, ...] = ()
    competing: tuple[str, ...] = ()
    writes: bool = False
    directed: bool = True
    largest_tile: int = 0
    remembers: bool = False


@dataclass(frozen=True)
class TilePrediction:
    """Output of a system for a batch of B tile pairs.

    Attributes:
        scores: (B, Q, H, W) float32 in [0, 1], one plane per query, calibrated so that 0.5 is
            the default threshold.
        classes_before: (B, H, W) uint8, index into ``SystemInfo.classes`` of the likeliest class
            on the earlier date, :data:`CLASS_UNKNOWN` where none is likely; or None.
        classes_after: the same for the later date.
        notes: warnings for the user about this batch.
        captions: of :meth:`OpenedSystem.describe`, one sentence per tile pair; else empty.
    """

    scores: np.ndarray
    classes_before: Optional[np.ndarray] = None
    classes_after: Optional[np.ndarray] = None
    notes: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()


class OpenedSystem(ABC):
    """A change-detection system whose weights are loaded, in this process or in another one.

    A host opens one, see :meth:`~..hosts.base.Host.open`.
    """

    @property
    @abstractmethod
    def info(self) -> SystemInfo:
        """Description of the system; a subclass may have it as a class attribute."""

    @property
    @abstractmethod
    def device(self) -> str:
        """The device in use and why, for the user, such as "CPU (2 threads)"."""

    def notes(self, queries: Sequence[Query], hints: Hints = NO_HINTS) -> tuple[str, ...]:
        """Return warnings about the queries, such as a noun that the system was not trained on."""
        return ()

    @abstractmethod
    def predict(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        """Score a batch of tile pairs, (B, H, W, 3) uint8, H and W multiples of 32.

        ``hints`` are about the images and the queries.
        """

    def encode(self, before: np.ndarray, after: np.ndarray, *, coarse: bool) -> Features:
        """Return what the answer to any question about a tile pair is made of.

        The dates are (H, W, 3) uint8 each. The arrays are what :mod:`..memory` keeps: float16,
        float32 or uint8. ``coarse``: questions may have :attr:`~..request.Hints.coarse` set.

        Raises:
            InputError: the system keeps nothing (``SystemInfo.remembers``).
        """
        raise InputError(SystemsTexts.keeps_nothing(name=self.info.name))

    def answer(
        self, features: Features, queries: Sequence[Query], hints: Hints = NO_HINTS
    ) -> TilePrediction:
        """Answer a question from the features of one tile pair, exactly as :meth:`predict` does.

        Raises:
            InputError: the system keeps nothing (``SystemInfo.remembers``).
        """
        raise InputError(SystemsTexts.keeps_nothing(name=self.info.name))

    def describe(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        regions: np.ndarray,
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        """Score a batch of tile pairs and write a sentence about each, in one pass.

        As :meth:`predict`, with ``captions``; ``regions`` are (B, H, W) uint8, 1 in the part to
        describe, and there may be no queries. One pair at a time gives sentences as they are ready.

        Raises:
            InputError: the system writes no sentences (``SystemInfo.writes``).
        """
        raise InputError(SystemsTexts.no_sentences(name=self.info.name))


class ChangeSystem(OpenedSystem):
    """A change-detection system. Subclasses import heavy packages inside methods."""

    @abstractmethod
    def load(self, device: str = "auto") -> None:
        """Load the weights for "auto", "cpu" or "cuda". Does nothing if they are loaded there.

        Raises:
            DependencyError: a package is missing.
            WeightsError: weights are missing or damaged.
        """

    def unload(self) -> None:
        """Free the memory of the weights."""
