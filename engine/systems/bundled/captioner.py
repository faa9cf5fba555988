# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled captioner as it runs in the plugin: onnxruntime and numpy, no torch.

It is trained on the features of one revision of the bundled model and would write nonsense with
another one. Its manifest therefore names the files of that revision, and it is used with these.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from ...errors import WeightsError
from ...weights.files import sha256_of
from ..texts import SystemsTexts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

MANIFEST = "captioner.json"
MODEL = "captioner.onnx"
VOCABULARY = "captioner_vocab.txt"
#: Tokens that are no words; the words follow.
PAD, START, END, UNKNOWN = range(4)
#: Width of the beam search.
BEAMS = 3


@dataclass(frozen=True)
class CaptionerFacts:
    """Contents of the manifest.

    Attributes:
        files: SHA-256 of the captioner's own files.
        belongs_to: SHA-256 of the bundled model's files that it was trained with.
        revision: name and date of the training.
        longest: maximum tokens of a sentence, with start and end.
        changed_from: minimum probability of change for a sentence about change.
        no_change: the sentence below that.
    """

    files: Mapping[str, str]
    belongs_to: Mapping[str, str]
    revision: str
    longest: int
    changed_from: float
    no_change: str


def read_facts(folder: Path) -> Optional[CaptionerFacts]:
    """Read the manifest; None if the folder has no captioner.

    Raises:
        WeightsError: it cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return _checked(CaptionerFacts(**json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(SystemsTexts.captioner_damaged(), details=str(error)) from error


def _checked(facts: CaptionerFacts) -> CaptionerFacts:
    """Return the facts; raise ValueError, TypeError or AttributeError for impossible ones."""
    if facts.files.keys() != {MODEL, VOCABULARY} or not facts.belongs_to.items():
        raise ValueError("files or belongs_to")
    if not (0 < facts.longest < 1000 and 0 <= facts.changed_from <= 1 and facts.no_change.split()):
        raise ValueError("longest, changed_from or no_change")
    return facts


class BundledCaptioner:
    """Writes a sentence about the pooled features of a pair.

    Raises:
        WeightsError: a file is missing or damaged.
    """

    def __init__(
        self, folder: Path, facts: CaptionerFacts, open_session: Callable[[Path], Any]
    ) -> None:
        for name, digest in facts.files.items():
            path = folder / name
            if not path.is_file() or sha256_of(path) != digest:
                raise WeightsError(SystemsTexts.captioner_file(file=name))
        self._facts = facts
        self._words = (folder / VOCABULARY).read_text(encoding="utf-8").splitlines()
        self._session = open_session(folder / MODEL)

    def write(self, grid: np.ndarray, summary: np.ndarray) -> str:
        """Return a sentence, with a capital letter and a full stop.

        ``grid`` is (C, 8, 8) and ``summary`` (S,), see :func:`.features.features`.
        """
        seen = {"grid": grid[None], "summary": summary[None]}

        def go_on(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            likely, changed = self._session.run(["next", "changed"], {**seen, "tokens": tokens})
            return likely, changed

        tokens, changed = decode(go_on, self._facts.longest)
        if changed < self._facts.changed_from:
            words = self._facts.no_change.split()
        else:
            words = [self._words[token] for token in tokens]
        return sentence_of(words)


def sentence_of(words: Sequence[str]) -> str:
    """Join words to a sentence with a capital letter and a full stop."""
    text = " ".join(words)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def decode(
    go_on: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], longest: int, beams: int = BEAMS
) -> tuple[list[int], float]:
    """Beam search for the sentence with the highest mean log-probability per token.

    ``go_on`` maps (B, T) int64 tokens to log-probabilities (B, V) of the next one, and the
    probability (1,) that anything changed. ``longest`` counts start and end. Returns the tokens of
    the words, and the probability that anything changed.
    """
    import numpy as np

    tokens, total = np.full((1, 1), START, np.int64), np.zeros(1)
    done: list[tuple[float, list[int]]] = []
    changed = 0.0
    for length in range(1, longest):
        likely, flag = go_on(tokens)
        changed = float(flag[0])
        likely = likely.astype(np.float64)
        likely[:, [PAD, START, UNKNOWN]] = -np.inf
        likely[np.arange(len(tokens)), tokens[:, -1]] = -np.inf  # no word twice in a row
        if length == 1:
            likely[:, END] = -np.inf  # there is no empty sentence
        if length == longest - 1:
            likely[:, :END] = likely[:, END + 1 :] = -np.inf
        sums = (total[:, None] + likely).ravel()
        best = np.argsort(-sums, kind="stable")[:beams]
        rows, words = np.divmod(best, likely.shape[1])
        for place in np.flatnonzero(words == END):
            mean = sums[best[place]] / length
            done.append((mean, tokens[rows[place], 1:].tolist()))
        going = (words != END) & np.isfinite(sums[best])
        if not going.any():
            break
        if len(done) >= beams and max(done)[0] >= sums[best[going]].max() / length:
            break
        tokens = np.concatenate([tokens[rows[going]], words[going, None]], 1)
        total = sums[best[going]]
    return max(done)[1] if done else [], changed
