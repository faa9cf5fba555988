# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled model: ONNX files on onnxruntime and numpy alone.

The network itself is in ``engine/modules/bundled/network.py``.

The head reads the object phrase only. The direction of a query is the order of the
dates in the head's input: "appeared" is (before, after), "removed" is (after,
before). Exchanging the rasters therefore exchanges appeared and removed exactly.

Where pixels are too coarse to show the shape of objects (:attr:`..request.Hints.coarse`), a change
is a pixel whose colour the other date does not predict (:mod:`.colour_residual`); the network only
assigns it to a query.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from ...class_rules import rules_of
from ...classes import CLASS_NAMES, class_of, index_among
from ...errors import DependencyError, WeightsError, raise_out_of_memory
from ...paths import MODELS
from ...request import APPEARED, CHANGED, NO_HINTS, REMOVED
from ...weights.files import sha256_of
from ..base import CLASS_UNKNOWN, ChangeSystem, SystemInfo, TilePrediction
from ..texts import SystemsTexts
from .captioner import BundledCaptioner, CaptionerFacts, read_facts
from .colour_residual import cell_means, enlarged, measurable, residual_cells
from .head import Head
from .manifest import ENCODER, HEAD, ScoreMap, read_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from ...request import Hints, Query
    from ...text.encoder import TextEncoder
    from ..base import Features

#: Minimum score of a land-cover class to be a from/to class.
MIN_CLASS_SCORE = 0.4
#: A phrase with a lower cosine similarity to every trained phrase gets a warning.
KNOWN_PHRASE = 0.72
#: Order of the dates in the head's input that answers a direction.
ORDERS = {APPEARED: (0, 1), REMOVED: (1, 0)}
#: Side in pixels of a cell of the class scores.
CLASS_STRIDE = 4
#: In pixels: 1024 pixels of LEVIR (0.55 m), magnified, make four tiles. Pixels of much larger
#: tiles take longer, since the processor's caches are too small.
LARGEST_TILE = 704
#: Lower bound of the colour residual for its logarithm, in standard deviations.
MIN_AMOUNT = 1e-3


class BundledSystem(ChangeSystem):
    """The model that ships with the plugin, or one in another folder."""

    def __init__(self, folder: Optional[Path] = None) -> None:
        self._folder = Path(folder) if folder is not None else MODELS
        self._manifest = read_manifest(self._folder)
        self._encoder: Any = None
        self._head: Optional[Head] = None
        #: The objects that were last asked for, and the head's numbers of them.
        self._asked: Optional[tuple[list[str], tuple[np.ndarray, np.ndarray]]] = None
        self._text: Optional[TextEncoder] = None
        self._captioner: Optional[BundledCaptioner] = None
        self._captioner_facts = self._fitting_captioner()
        self._trained_phrases: Optional[np.ndarray] = None
        #: ``scale`` and ``bias`` of the score of the colour residual; None leaves it out.
        self.residual_map: Optional[ScoreMap] = self._manifest.colour_residual
        self._requested_device = ""
        self._device: str = SystemsTexts.not_loaded()

    @property
    def info(self) -> SystemInfo:
        """Describe the system."""
        return SystemInfo(
            name="bundled",
            title=SystemsTexts.bundled_title(),
            description=SystemsTexts.bundled_description(),
            pixel_sizes=self._manifest.pixel_sizes,
            classes=CLASS_NAMES,
            tile_size=512,
            largest_tile=LARGEST_TILE,
            overlap=64,
            batch_size=1,
            revision=self._manifest.revision,
            terms=self._manifest.terms,
            writes=self._captioner_facts is not None,
            remembers=True,
        )

    def _fitting_captioner(self) -> Optional[CaptionerFacts]:
        """Return the manifest of the captioner; None unless it was trained on this model."""
        facts = read_facts(self._folder)
        if facts is None:
            return None
        fits = all(self.digests.get(name) == known for name, known in facts.belongs_to.items())
        return facts if fits else None

    def load(self, device: str = "auto") -> None:
        """Open the model files, verified by their SHA-256; see the base class."""
        if self._head is not None and device == self._requested_device:
            return
        try:
            import onnxruntime
        except ImportError as error:
            raise_out_of_memory(error)
            raise DependencyError(SystemsTexts.no_onnxruntime(), details=str(error)) from error
        from ...text.encoder import TextEncoder

        for name, digest in self._manifest.sha256.items():
            _verify(self._folder / name, digest)
        threads = _cpu_count()
        providers, reason = _choose_providers(onnxruntime, device)
        self._encoder = self._open(onnxruntime, ENCODER, providers, threads)
        self._head = self._open_head(onnxruntime, providers, threads)
        self._text, self._asked = TextEncoder(), None
        self._requested_device = device
        # The session drops a provider that fails to start.
        if "CUDAExecutionProvider" in self._head.providers:
            self._device = "CUDA"
        else:
            cpu = SystemsTexts.cpu_threads if threads > 1 else SystemsTexts.cpu_1_thread
            self._device = cpu(threads=threads, reason=reason or SystemsTexts.cuda_failed())

    def _open_head(self, onnxruntime: Any, providers: list[str], threads: int) -> Head:
        """Open the parts of the head."""

        def open_session(content: bytes) -> Any:
            return self._open(onnxruntime, HEAD, providers, threads, content)

        try:
            content = (self._folder / HEAD).read_bytes()
            parts = tuple(part.name for part in self._encoder.get_outputs())
            return Head(content, parts, open_session)
        except (OSError, ValueError) as error:
            raise WeightsError(
                SystemsTexts.model_unreadable(file=HEAD), details=str(error)
            ) from error

    def _open(
        self,
        onnxruntime: Any,
        name: str,
        providers: list[str],
        threads: int,
        content: Optional[bytes] = None,
    ) -> Any:
        """Open an ONNX file, or a part of it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads sleep rather than spin, so that QGIS can draw.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        try:
            return onnxruntime.InferenceSession(
                content or str(self._folder / name), sess_options=options, providers=providers
            )
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise_out_of_memory(error)
            raise WeightsError(
                SystemsTexts.model_unreadable(file=name), details=str(error)
            ) from error

    @property
    def device(self) -> str:
        """The device in use and why, such as "CPU (2 threads): no CUDA provider"."""
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

        self.load(self._requested_device or "auto")
        answers = []
        for earlier, later in zip(before, after):
            parts = self._encoded(earlier, later)
            ways = self._ways(queries, hints)
            features = self._features(parts, earlier, later, ways, coarse=hints.coarse)
            answers.append(self.answer(features, queries, hints))
        notes = dict.fromkeys(note for answer in answers for note in answer.notes)
        return TilePrediction(
            np.concatenate([answer.scores for answer in answers]),
            np.concatenate([answer.classes_before for answer in answers]),
            np.concatenate([answer.classes_after for answer in answers]),
            tuple(notes),
        )

    def encode(self, before: np.ndarray, after: np.ndarray, *, coarse: bool) -> Features:
        """Return f_V of both orders, class scores and colour residual of a tile pair."""
        self.load(self._requested_device or "auto")
        parts = self._encoded(before, after)
        return self._features(parts, before, after, tuple(ORDERS), coarse=coarse)

    def answer(
        self, features: Features, queries: Sequence[Query], hints: Hints = NO_HINTS
    ) -> TilePrediction:
        """Answer a question from the features of one tile pair; see the base class."""
        self.load(self._requested_device or "auto")
        scores = self._scores(features, queries, hints)
        before, after = map(_likely_class, features["classes"])
        notes = [SystemsTexts.coarse()] if self._uses_colour(queries, hints) else []
        if notes and not features["measurable"].any():
            notes.append(SystemsTexts.too_little_data())
        return TilePrediction(scores[None], before[None], after[None], tuple(notes))

    def describe(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        regions: np.ndarray,
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        """Score a batch of tile pairs and describe their regions; ignores the hints."""
        if self._captioner_facts is None:
            return super().describe(before, after, queries, regions)
        import numpy as np

        from . import features

        both = [*queries, *features.QUERIES]
        batch, height, width = before.shape[:3]
        scores = np.zeros((batch, len(queries), height, width), np.float32)
        sentences = []
        for row in range(batch):
            parts, found = self.look(before[row], after[row], both)
            scores[row] = found[: len(queries)]
            if not regions[row].any():
                sentences.append("")
                continue
            seen = features.features(parts, found[len(queries) :], regions[row])
            sentences.append(self.captioner().write(*seen))
        return TilePrediction(scores, captions=tuple(sentences))

    def captioner(self) -> BundledCaptioner:
        """Return the captioner, opened on one thread of the CPU when it is first needed."""
        import onnxruntime

        facts = self._captioner_facts
        if self._captioner is None and facts is not None:
            self._captioner = BundledCaptioner(
                self._folder,
                facts,
                lambda path: self._open(onnxruntime, path.name, ["CPUExecutionProvider"], 1),
            )
        if self._captioner is None:
            raise RuntimeError("there is no captioner")
        return self._captioner

    def look(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        hints: Hints = NO_HINTS,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Run the model on a pair of tiles, (H, W, 3) uint8, H and W multiples of 32.

        Returns the parts of the encoder's output by name, each (2, C, h, w), the earlier date
        first; and the calibrated scores (Q, H, W) float32.
        """
        self.load(self._requested_device or "auto")
        parts = self._encoded(before, after)
        ways = self._ways(queries, hints)
        features = self._features(parts, before, after, ways, coarse=hints.coarse)
        return parts, self._scores(features, queries, hints)

    def _encoded(self, before: np.ndarray, after: np.ndarray) -> dict[str, np.ndarray]:
        """Return the encoder's outputs for a tile pair by name, (2, C, h, w) each."""
        import numpy as np

        encoded = self._encoder.run(None, {"images": np.stack([before, after])})
        return dict(zip([part.name for part in self._encoder.get_outputs()], encoded))

    def _ways(self, queries: Sequence[Query], hints: Hints) -> tuple[str, ...]:
        """Return the orders of the dates, keys of :data:`ORDERS`, that queries need."""
        directions = {query.direction for query in queries}
        both = CHANGED in directions or self._uses_colour(queries, hints)
        return tuple(way for way in ORDERS if both or way in directions)

    def _features(
        self,
        parts: Mapping[str, np.ndarray],
        before: np.ndarray,
        after: np.ndarray,
        ways: Sequence[str],
        *,
        coarse: bool,
    ) -> dict[str, np.ndarray]:
        """Return what the answer is made of, for the orders of the dates that are needed."""
        import numpy as np

        if self._head is None:
            raise RuntimeError("not loaded")
        kept = {way: self._head.features(parts, *ORDERS[way]) for way in ways}
        kept["classes"] = parts["classes"].astype(np.float16)
        if coarse:
            kept["residual"] = residual_cells(before, after, parts["stride4"])
            kept["measurable"] = np.array([measurable(before, after)], np.uint8)
        return kept

    def _scores(self, features: Features, queries: Sequence[Query], hints: Hints) -> np.ndarray:
        """Return the calibrated scores (Q, H, W) float32."""
        import numpy as np

        scores = self._calibrated(self._raw(features, queries), queries)
        if self._uses_colour(queries, hints):
            residual = self._residual_score(enlarged(features["residual"]))
            fits = self._best_fitting(features, queries, features["classes"])
            np.maximum(scores, residual * fits, out=scores)
        return scores

    def _uses_colour(self, queries: Sequence[Query], hints: Hints) -> bool:
        """Tell whether the colour residual answers any of the queries."""
        known = hints.coarse and self.residual_map is not None
        return known and any(map(_kind, queries))

    def _residual_score(self, amount: np.ndarray) -> np.ndarray:
        """Return the score in [0, 1] of a colour residual, of the same shape."""
        import numpy as np

        table = self.residual_map or {}
        raw = np.log(np.maximum(amount, MIN_AMOUNT))
        return 1 / (1 + np.exp(-(table["scale"] * raw + table["bias"])))

    def _best_fitting(
        self, features: Features, queries: Sequence[Query], classes: np.ndarray
    ) -> np.ndarray:
        """Assign a possible change at every pixel to at most one query, (Q, H, W) bool.

        It is the query with the highest score whose class is of the kind of the ground on that
        date, and whose score is no lower in its own direction than in the other one. Whole cells
        of the class scores are assigned: single pixels would give regions too small to keep.
        Queries of no kind (:func:`_kind`) get nothing. ``classes`` are (2, 6, H/4, W/4) logits.
        """
        import numpy as np

        appeared, removed = (
            cell_means(self._raw(features, [replace(query, direction=way) for query in queries]))
            for way in (APPEARED, REMOVED)
        )
        ways = ((APPEARED, appeared, removed, 1), (REMOVED, removed, appeared, 0))
        kind_of = np.array([rules_of(name).coarse_kind for name in CLASS_NAMES])
        kinds = kind_of[classes.argmax(1)]
        best = np.full(appeared.shape, -np.inf, np.float32)
        for row, query in enumerate(queries):
            kind = _kind(query)
            if not kind:
                continue
            for name, this, other, date in ways:
                if query.direction in (name, CHANGED):
                    fits = (this[row] >= other[row]) & (kinds[date] == kind)
                    best[row][fits] = this[row][fits]
        best = self._calibrated(best, queries)
        fitting = (best == best.max(0)) & (best > 0)
        return fitting.repeat(CLASS_STRIDE, 1).repeat(CLASS_STRIDE, 2)

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the model's files by name, from its manifest."""
        return dict(self._manifest.sha256)

    def _raw(self, features: Features, queries: Sequence[Query]) -> np.ndarray:
        """Return the logits of the head for a tile pair, (Q, H, W) float32.

        There is one answer per order of the dates; "changed" is the maximum of both directions.
        """
        import numpy as np

        classes = features["classes"]
        height, width = (side * CLASS_STRIDE for side in classes.shape[2:])
        raw = np.full((len(queries), height, width), -np.inf, np.float32)
        if not queries or self._text is None or self._head is None:
            return raw
        objects = [query.object for query in queries]
        if self._asked is None or self._asked[0] != objects:
            sentences = self._text.encode(objects)[2].astype(np.float32)
            self._asked = objects, self._head.question(sentences)
        vector, prior = self._asked[1]
        for way, order in ORDERS.items():
            rows = [i for i, query in enumerate(queries) if query.direction in (way, CHANGED)]
            if not rows:
                continue
            answers = self._head.answer(
                features[way], classes[list(order)], vector[rows], prior[rows]
            )
            for row, answer in zip(rows, answers):
                np.maximum(raw[row], answer, out=raw[row])
        return raw

    def _calibrated(self, raw: np.ndarray, queries: Sequence[Query]) -> np.ndarray:
        """Return scores (Q, H, W) in [0, 1]; minus infinity becomes 0."""
        import numpy as np

        scores = np.zeros_like(raw)
        for row, query in enumerate(queries):
            scale, bias = self._calibration(query.object)
            inner = scale * raw[row] + bias
            scores[row] = (inner > -np.inf) / (1 + np.exp(-np.clip(inner, -30, 30)))
        return scores

    def _calibration(self, phrase: str) -> tuple[float, float]:
        """Return scale and bias that make 0.5 the default threshold of the phrase's class."""
        land_cover = class_of(phrase)
        table = self._manifest.calibration
        entry = table.get(land_cover.name if land_cover else "other", table["other"])
        return entry["scale"], entry["bias"]

    def notes(self, queries: Sequence[Query], hints: Hints = NO_HINTS) -> tuple[str, ...]:
        """Warn about object phrases unlike any that the model was trained on."""
        import numpy as np

        unknown = [q.object for q in queries if class_of(q.object) is None]
        if not unknown or self._text is None:
            return ()
        if self._trained_phrases is None:
            self._trained_phrases = self._text.encode(self._manifest.phrases)[2]
        sentences = self._text.encode(unknown)[2]
        similarity = np.max(sentences @ self._trained_phrases.T, axis=1)
        return tuple(
            SystemsTexts.bundled_guess(
                phrase=phrase, classes=", ".join(CLASS_NAMES[:-1]), last=CLASS_NAMES[-1]
            )
            for phrase, cosine in dict(zip(unknown, similarity)).items()
            if cosine < KNOWN_PHRASE
        )

    def unload(self) -> None:
        """Close the sessions."""
        self._encoder = self._head = self._text = self._trained_phrases = None
        self._captioner = None
        self._device = SystemsTexts.not_loaded()


def _kind(query: Query) -> str:
    """Return the kind of ground that a query looks for in coarse pixels; "" for none."""
    index = index_among(query.object, CLASS_NAMES)
    return "" if index is None else rules_of(CLASS_NAMES[index]).coarse_kind


def _likely_class(raw: np.ndarray) -> np.ndarray:
    """Return (H, W) uint8, the likeliest class, from class logits (6, H/4, W/4)."""
    import numpy as np

    best = raw.argmax(0).astype(np.uint8)
    least = np.log(MIN_CLASS_SCORE / (1 - MIN_CLASS_SCORE))
    best[raw.max(0) < least] = CLASS_UNKNOWN
    return best.repeat(CLASS_STRIDE, 0).repeat(CLASS_STRIDE, 1)


def _verify(path: Path, digest: str) -> None:
    """Check a file against its SHA-256."""
    try:
        found = sha256_of(path)
    except OSError as error:
        raise WeightsError(
            SystemsTexts.model_file_missing(file=path.name), details=str(error)
        ) from error
    if found != digest:
        raise WeightsError(
            SystemsTexts.model_file_damaged(file=path.name),
            details=f"SHA-256 is {found}, expected {digest}.",
        )


def _cpu_count() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def _choose_providers(onnxruntime: Any, device: str) -> tuple[list[str], str]:
    """Return the providers to try, and why CUDA is not among them ("" if it is)."""
    if device == "cpu":
        return ["CPUExecutionProvider"], SystemsTexts.as_chosen()
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return ["CPUExecutionProvider"], SystemsTexts.no_cuda_provider()
    return ["CUDAExecutionProvider", "CPUExecutionProvider"], ""
