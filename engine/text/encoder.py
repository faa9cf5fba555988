# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts to vectors with the shipped text tower: onnxruntime, numpy and our own tokenizer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import DependencyError, WeightsError
from ..paths import MODELS
from .tokenizer import MAX_TOKENS, WordPieceTokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Encoding = tuple[np.ndarray, np.ndarray, np.ndarray]

MODEL_PATH = MODELS / "text.onnx"


class TextEncoder:
    """Encodes prompts and remembers the latest ones; may be shared between threads.

    Args:
        model: path of the ONNX file; None is the bundled one.
        vocabulary: path of the vocabulary; None is the bundled one.
        remember: number of texts whose vectors are kept.

    Raises:
        DependencyError: numpy or onnxruntime is missing.
        WeightsError: a file is missing or damaged.
    """

    def __init__(
        self,
        model: Optional[Union[str, Path]] = None,
        vocabulary: Optional[Union[str, Path]] = None,
        remember: int = 256,
    ) -> None:
        self._tokenizer = WordPieceTokenizer.load(vocabulary)
        self._session = _open_session(Path(model) if model is not None else MODEL_PATH)
        self._remember = remember
        self._known: OrderedDict[str, Encoding] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> Encoding:
        """Encode texts.

        Args:
            texts: B texts, at least one.

        Returns:
            Word vectors (B, 16, 128) float32, zero on padding; mask (B, 16) bool, True
            for a token; sentence vectors (B, 128) float32 of unit length.
        """
        import numpy as np

        with self._lock:
            missing = [text for text in dict.fromkeys(texts) if text not in self._known]
            fresh = self._run(missing) if missing else {}
            rows = []
            for text in texts:
                if text in fresh:
                    row = fresh[text]
                else:
                    row = self._known[text]
                    self._known.move_to_end(text)
                rows.append(row)
            self._known.update(fresh)
            while len(self._known) > self._remember:
                self._known.popitem(last=False)
        words, mask, sentence = (np.stack(part) for part in zip(*rows))
        return words, mask, sentence

    def _run(self, texts: Sequence[str]) -> dict[str, Encoding]:
        """Vectors of texts that are not remembered."""
        import numpy as np

        rows, masks = self._tokenizer.encode_batch(texts, MAX_TOKENS, pad_to=MAX_TOKENS)
        mask = np.asarray(masks, dtype=np.int64)
        words, sentence = self._session.run(
            ["words", "sentence"], {"ids": np.asarray(rows, dtype=np.int64), "mask": mask}
        )
        return {text: (words[i], mask[i].astype(bool), sentence[i]) for i, text in enumerate(texts)}


def _open_session(path: Path) -> Any:
    """Open the model on one CPU thread: it takes a millisecond, more threads only cost."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyError(
            "The package onnxruntime is not installed.",
            "Install it from the dependencies panel of ChangeScribe.",
            str(error),
        ) from error
    if not path.is_file():
        raise WeightsError(f"The text model is missing: {path}.", "Install the plugin again.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        raise WeightsError(
            f"The text model cannot be read: {path}.", "Install the plugin again.", str(error)
        ) from error
