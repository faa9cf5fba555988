# SPDX-License-Identifier: GPL-3.0-or-later
"""The head of the bundled model in its parts: features of two dates, a question, the answer.

The features (f_V) and the class scores do not depend on the question, which is a vector (f_L, with
a bias) and weights of the class scores. Features and class scores are float16 wherever they come
from, so that an answer from what was kept is the answer of a new run, bit by bit; the logits of the
whole head in float32 differ by less than 0.01.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .onnx_cut import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

#: Tensors of ``head.onnx`` where it is cut.
_FEATURES = "/head/decoder/refine/refine.1/refine.1.3/Relu_output_0"
_VECTOR = "/head/query/mix/mix.2/Gemm_output_0"
_PRIOR = "/head/prior/Softmax_output_0"
_DATES = ("before", "after")


class Head:
    """The parts of a head as sessions.

    Args:
        content: of ``head.onnx``.
        parts: names of the encoder's outputs.
        open_session: opens the content of an ONNX file.

    Raises:
        ValueError: it is no such head.
    """

    def __init__(
        self, content: bytes, parts: tuple[str, ...], open_session: Callable[[bytes], Any]
    ) -> None:
        self._parts = parts
        inputs = {f"{date}_{part}": f"{date}_{part}" for date in _DATES for part in parts}
        self._features = open_session(cut(content, inputs, {_FEATURES: "features"}, {"features"}))
        question = {_VECTOR: "vector", _PRIOR: "prior"}
        self._question = open_session(cut(content, {"sentence": "sentence"}, question))
        classes = {"before_classes": "earlier", "after_classes": "later"}
        given = {_FEATURES: "features", **question, **classes}
        halves = {"features", *classes.values()}
        self._answer = open_session(cut(content, given, {"change": "logits"}, halves))

    @property
    def providers(self) -> list[str]:
        """Names of the execution providers in use."""
        return list(self._features.get_providers())

    def features(self, encoded: Mapping[str, np.ndarray], first: int, second: int) -> np.ndarray:
        """Return f_V of a tile pair, (C, H/2, W/2) float16.

        ``encoded`` are the encoder's outputs (2, C, h, w) by name; ``first`` and ``second`` are the
        dates in the order of the question.
        """
        inputs = {
            f"{name}_{part}": encoded[part][date : date + 1]
            for name, date in zip(_DATES, (first, second))
            for part in self._parts
        }
        found: np.ndarray = self._features.run(None, inputs)[0][0]
        return found

    def question(self, sentences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return f_L with a bias in the first place, (Q, 1 + C), and the class weights (Q, K + 1).

        ``sentences`` are (Q, T) float32.
        """
        vector, prior = self._question.run(["vector", "prior"], {"sentence": sentences})
        return vector, prior

    def answer(
        self, features: np.ndarray, classes: np.ndarray, vector: np.ndarray, prior: np.ndarray
    ) -> np.ndarray:
        """Return logits (Q, H, W) float32.

        ``features`` are those of :meth:`features`; ``classes`` (2, K, H/4, W/4) float16 are logits
        of the first and the second date in the same order.
        """
        inputs = {
            "features": features[None],
            "earlier": classes[:1],
            "later": classes[1:],
            "vector": vector,
            "prior": prior,
        }
        found: np.ndarray = self._answer.run(None, inputs)[0][0]
        return found
