# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of a change-detection system: batches of tile pairs in, scores out.

A system knows nothing of files, grids or CRSs. The pipeline gives it tiles that
are already on the common grid, at a pixel size that it was trained on, as 8-bit
RGB; it answers with one calibrated score per query and pixel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from ..errors import InputError
from ..request import NO_HINTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ..request import Hints, Query

#: Class index of a pixel whose class is not known.
CLASS_UNKNOWN = 255


@dataclass(frozen=True)
class SystemInfo:
    """What can be said of a system without loading it.

    Attributes:
        name: name in the registry and on the command line.
        title: shown in the dock ("Bundled - fast, no download").
        description: one or two sentences.
        pixel_sizes: in metres, those that it was trained on, ascending.
        classes: names of the classes of ``classes_before`` and ``classes_after``, also what
            "anything changed" asks for; empty where it has none.
        tile_size: side of a tile in pixels, a multiple of 32.
        overlap: pixels that neighbouring tiles share.
        largest_tile: side up to which tiles may grow, by multiples of 32, where fewer pixels are
            then computed twice, see :func:`..tiling.plan`; 0: all have ``tile_size``.
        batch_size: tiles per call on a CPU.
        revision: of the weights.
        terms: terms of use of the weights, for the user.
        tier: ``"compact"`` (onnxruntime) or ``"full"`` (PyTorch).
        weights: ids in the catalogue of weights, of files that it needs before it can be loaded.
        competing: what else the ground may be, by default, for a system that tells the object of
            a query from such a list; users may give their own. Empty where it needs none.
        writes: it writes sentences of its own, see :meth:`ChangeSystem.describe`.
        directed: it tells what appeared from what was removed; otherwise "anything changed" asks
            it for what changed, and no direction is put into its mouth.
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


@dataclass(frozen=True)
class TilePrediction:
    """Answer of a system for a batch of B tile pairs.

    Attributes:
        scores: (B, Q, H, W) float32 in [0, 1], one plane per query, calibrated so
            that 0.5 is the default threshold.
        classes_before: (B, H, W) uint8 index into ``SystemInfo.classes`` of the most likely
            class on the earlier date, :data:`CLASS_UNKNOWN` where none is likely; or None.
        classes_after: the same for the later date.
        notes: what happened in this batch that the user should know; become warnings of the run.
        captions: of :meth:`ChangeSystem.describe`, one sentence per tile pair; else none.
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

    if TYPE_CHECKING:  # at run time a plain attribute will do

        @property
        def info(self) -> SystemInfo:
            """Description of the system."""

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
        """Score a batch of tile pairs.

        Args:
            before: (B, H, W, 3) uint8, H and W multiples of 32.
            after: the same for the later date.
            queries: what to look for.
            hints: about the images and the queries.

        Returns:
            Scores per query, and classes per date where the system knows them.
        """

    def describe(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        regions: np.ndarray,
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        """Score a batch of tile pairs and write a sentence about each, in one pass.

        Callers who want sentences as they are ready give one pair at a time.

        Args:
            before: (B, H, W, 3) uint8, H and W multiples of 32.
            after: the same for the later date.
            queries: what to look for; may be empty.
            regions: (B, H, W) uint8, 1 where the sentence is to be about.
            hints: about the images and the queries.

        Returns:
            As :meth:`predict`, with ``captions``.

        Raises:
            InputError: the system writes no sentences (``SystemInfo.writes``).
        """
        raise InputError(
            f'The system "{self.info.name}" writes no sentences of its own.',
            "Choose another one, or leave the captions to the facts of the detection.",
        )


class ChangeSystem(OpenedSystem):
    """A change-detection system. Subclasses import heavy packages inside methods."""

    @abstractmethod
    def load(self, device: str = "auto") -> None:
        """Load the weights. Does nothing if they are loaded on that device.

        Args:
            device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

        Raises:
            DependencyError: a package is missing.
            WeightsError: weights are missing or damaged.
        """

    def unload(self) -> None:
        """Free the memory of the weights."""
