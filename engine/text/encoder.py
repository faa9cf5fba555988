# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts to vectors with the bundled text encoder, on onnxruntime and numpy."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import DependencyError, WeightsError, raise_out_of_memory
from ..paths import MODELS
from .texts import TextTexts
from .tokenizer import MAX_TOKENS, WordPieceTokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Encoding = tuple[np.ndarray, np.ndarray, np.ndarray]

MODEL_PATH = MODELS / "text.onnx"


class TextEncoder:
    """Encodes prompts and caches the latest; may be shared between threads.

    Args:
        model: path of the ONNX file; None for the bundled one.
        vocabulary: path of the vocabulary; None for the bundled one.
        cache_size: number of texts whose vectors are kept.

    Raises:
        DependencyError: numpy or onnxruntime is missing.
        WeightsError: a file is missing or damaged.
    """

    def __init__(
        self,
        model: Optional[Union[str, Path]] = None,
        vocabulary: Optional[Union[str, Path]] = None,
        cache_size: int = 256,
    ) -> None:
        self._tokenizer = WordPieceTokenizer.load(vocabulary)
        self._session = _open_session(Path(model) if model is not None else MODEL_PATH)
        self._cache_size = cache_size
        self._cache: OrderedDict[str, Encoding] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> Encoding:
        """Encode B texts, at least one.

        Returns word vectors (B, 16, 128) float32, zero on padding; mask (B, 16) bool, True for a
        token; sentence vectors (B, 128) float32 of unit length.
        """
        import numpy as np

        with self._lock:
            missing = [text for text in dict.fromkeys(texts) if text not in self._cache]
            fresh = self._run(missing) if missing else {}
            rows = []
            for text in texts:
                if text in fresh:
                    row = fresh[text]
                else:
                    row = self._cache[text]
                    self._cache.move_to_end(text)
                rows.append(row)
            self._cache.update(fresh)
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        words, mask, sentence = (np.stack(part) for part in zip(*rows))
        return words, mask, sentence

    def _run(self, texts: Sequence[str]) -> dict[str, Encoding]:
        """Return the vectors of texts that are not cached."""
        import numpy as np

        rows, masks = self._tokenizer.encode_batch(texts, MAX_TOKENS, pad_to=MAX_TOKENS)
        mask = np.asarray(masks, dtype=np.int64)
        words, sentence = self._session.run(
            ["words", "sentence"], {"ids": np.asarray(rows, dtype=np.int64), "mask": mask}
        )
        return {text: (words[i], mask[i].astype(bool), sentence[i]) for i, text in enumerate(texts)}


def _open_session(path: Path) -> Any:
    """Open the model on one CPU thread: a text takes a millisecond, more threads cost more."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyError(TextTexts.no_onnxruntime(), details=str(error)) from error
    if not path.is_file():
        raise WeightsError(TextTexts.missing(path=path))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        raise_out_of_memory(error)
        raise WeightsError(TextTexts.unreadable(path=path), details=str(error)) from error
