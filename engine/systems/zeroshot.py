# SPDX-License-Identifier: GPL-3.0-or-later
"""Zero-shot: the published SAM 2.1 and CLIP, for any noun, without training.

The steps are in :mod:`..zeroshot`. For both dates, CLIP estimates how likely each pixel is the
object rather than one of the competing classes; SAM 2 outlines what is where that changed most; an
outline counts if its features have changed and the object is in it on one date only. Exchanging the
rasters exchanges appeared and removed exactly.

Limits: the list of competing classes decides the result; misaligned rasters, other seasons, shadows
and leaning facades look like change; one threshold does not suit every place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from ..classes import CLASS_NAMES
from ..device import choose
from ..request import NO_HINTS
from ..weights import catalogue, loading
from ..weights.store import WeightsStore
from ..zeroshot.vocabulary import COMPETING, TEMPLATES, question
from .base import CLASS_UNKNOWN, ChangeSystem, SystemInfo, TilePrediction
from .texts import SystemsTexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ..request import Hints, Query

_SAM2 = "sam2.1-hiera-base-plus"


class ZeroShotSystem(ChangeSystem):
    """SAM 2.1 with OpenAI's CLIP."""

    name = "zero-shot"
    title = SystemsTexts.zero_shot_title
    description = SystemsTexts.zero_shot_description
    clip = "clip-vit-b-16-openai"

    def __init__(self, store: Optional[WeightsStore] = None) -> None:
        self._store = store
        self._detector: Any = None
        self._torch_device = "cpu"
        self._requested_device = ""
        self._device: str = SystemsTexts.not_loaded()

    @property
    def info(self) -> SystemInfo:
        """Describe the system."""
        needed = (_SAM2, self.clip)
        # Loading reports what the catalogue lacks; the description always works.
        known = [entry for entry in map(catalogue.entries().get, needed) if entry is not None]
        return SystemInfo(
            name=self.name,
            title=self.title(),
            description=self.description(),
            pixel_sizes=(0.3, 0.5, 1.0),
            classes=CLASS_NAMES,
            tile_size=512,
            overlap=128,
            batch_size=1,
            revision=" + ".join(f"{entry.id} {entry.revision or ''}".strip() for entry in known),
            terms=" ".join(f"{entry.title}: {entry.terms}" for entry in known if entry.terms),
            tier="full",
            weights=needed,
            competing=COMPETING,
        )

    def load(self, device: str = "auto") -> None:
        """Load both models; see the base class."""
        if self._detector is not None and device == self._requested_device:
            return
        store = self._store or WeightsStore()
        store.require(SystemsTexts.zero_shot_name(), self.info.weights)
        sam2_path, clip_path = (store.path(identifier) for identifier in self.info.weights)
        sam2_entry, clip_entry = (store.entry(identifier) for identifier in self.info.weights)
        chosen = choose(device)
        from ..zeroshot.dense_clip import DenseClip
        from ..zeroshot.detector import Detector
        from ..zeroshot.segment import Segmenter

        size = {name: size for size, name in loading.SAM2_CONFIGURATIONS.items()}
        sam2 = loading.sam2_model(sam2_path, size[sam2_entry.architecture]).to(chosen.name)
        architecture = clip_entry.architecture
        clip = loading.clip(clip_path, architecture, clip_entry.sha256).to(chosen.name)
        import open_clip  # loading.clip reports it if it is missing

        tokenizer = open_clip.get_tokenizer(architecture)
        self._detector = Detector(
            DenseClip(clip, tokenizer, TEMPLATES, chosen), Segmenter(sam2, chosen)
        )
        self._torch_device, self._requested_device = chosen.name, device
        self._device = chosen.text

    @property
    def device(self) -> str:
        """The device in use and why, such as "CPU (2 threads): PyTorch finds no CUDA device"."""
        return self._device

    def predict(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        """Score a batch of tile pairs; every tile is encoded once for all queries."""
        import numpy as np
        import torch

        self.load(self._requested_device or "auto")
        count, height, width = before.shape[:3]
        scores = np.zeros((count, len(queries), height, width), np.float32)
        classes = np.full((2, count, height, width), CLASS_UNKNOWN, np.uint8)
        for row in range(count if queries else 0):
            tiles = [
                torch.from_numpy(tile).to(self._torch_device).permute(2, 0, 1).float()
                for tile in (before[row], after[row])
            ]
            found = self._detector.find(*tiles, queries, hints.competing or ())
            scores[row] = found.scores.cpu().numpy()
            for date, best in enumerate((found.classes_before, found.classes_after)):
                index = best.cpu().numpy()
                classes[date, row] = np.where(index < 0, CLASS_UNKNOWN, index)
        return TilePrediction(scores, classes[0], classes[1])

    def notes(self, queries: Sequence[Query], hints: Hints = NO_HINTS) -> tuple[str, ...]:
        """Warn if the user's competing classes name only the object."""
        competing = hints.competing or ()
        alone = [q.object for q in queries if question(q.object, competing).used_default]
        return tuple(
            SystemsTexts.competing_only_object(phrase=noun) for noun in dict.fromkeys(alone)
        )

    def unload(self) -> None:
        """Free both models."""
        self._detector = None
        self._device = SystemsTexts.not_loaded()


class ZeroShotRemoteClipSystem(ZeroShotSystem):
    """SAM 2.1 with RemoteCLIP, which was trained on aerial and satellite images."""

    name = "zero-shot-remoteclip"
    title = SystemsTexts.remote_clip_title
    description = SystemsTexts.remote_clip_description
    clip = "remoteclip-vit-b-32"
