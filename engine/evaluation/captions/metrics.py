# SPDX-License-Identifier: GPL-3.0-or-later
"""Caption metrics: BLEU, METEOR, ROUGE-L, CIDEr-D and S*m, in the two conventions of the field.

Two variants are reported. *Words* are the sentences in lower case, without punctuation. *Ids*
replace words by their numbers, as most remote-sensing programs do: METEOR then knows no stems or
synonyms and is lower; the other metrics differ only for words outside the vocabulary. All, changed
and unchanged pairs are measured separately, including the document frequencies of CIDEr-D. The
unchanged pairs have no CIDEr-D, because all their references are the same.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ... import systems
from ...errors import InputError, missing_package
from ...systems.base import ChangeSystem
from ...training.pairs import PairSet, open_pairs
from ...training.pairs.pair import LabelledPair
from ...training.recipe import DataSpec
from ...weights.files import write_text
from ...wording.reading import says_no_change, words
from ..texts import EvaluationTexts

#: Minimum number of occurrences of a word of the vocabulary, as in programs that score ids.
MIN_COUNT = 5
NEEDS_JAVA = "METEOR and S*m are left out: they need Java (java on the path) and 2 GB of memory."

Vocabulary = Mapping[str, int]
#: Writes a sentence about a pair.
Writer = Callable[[LabelledPair], str]


@dataclass(frozen=True)
class Answered:
    """A sentence about a pair, and its references."""

    name: str
    answer: str
    references: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether the references report a change; equals LEVIR-CC's own flag."""
        return not all(says_no_change(text) for text in self.references)


def vocabulary(sentences: Iterable[str], least: int = MIN_COUNT) -> dict[str, int]:
    """Number the words with at least ``least`` occurrences from 1; 0 is for the others."""
    counts = Counter(word for sentence in sentences for word in words(sentence))
    known = sorted(word for word, count in counts.items() if count >= least)
    return {word: number for number, word in enumerate(known, 1)}


def measure(rows: Sequence[Answered], ids: Vocabulary | None = None) -> dict[str, float | None]:
    """Measure answers in per cent, as in publications.

    Returns:
        ``bleu_1`` to ``bleu_4``, ``rouge_l``, ``cider_d``, ``meteor`` and ``s_m``, the mean of
        ``bleu_4``, ``meteor``, ``rouge_l`` and ``cider_d``; the last two None without Java.

    Raises:
        DependencyError: pycocoevalcap is not installed.
    """
    bleu, rouge, cider = (_scorer(name) for name in ("Bleu", "Rouge", "Cider"))
    given = _tokenised(rows, ids)
    figures: dict[str, float | None] = {
        f"bleu_{n}": 100 * value
        for n, value in enumerate(bleu.compute_score(*given, verbose=0)[0], 1)
    }
    figures["rouge_l"] = 100 * float(rouge.compute_score(*given)[0])
    figures["cider_d"] = 100 * float(cider.compute_score(*given)[0])
    figures["meteor"] = _meteor(*given)
    parts = [figures[name] for name in ("bleu_4", "meteor", "rouge_l", "cider_d")]
    known = [part for part in parts if part is not None]
    figures["s_m"] = sum(known) / 4 if len(known) == 4 else None
    return figures


def cider_of_each(rows: Sequence[Answered]) -> np.ndarray:
    """Return CIDEr-D of each answer in per cent, (N,); its mean is that of :func:`measure`."""
    return 100 * np.asarray(_scorer("Cider").compute_score(*_tokenised(rows, None))[1])


def interval(values: np.ndarray, rounds: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of values (N,)."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(values), size=(rounds, len(values)))
    low, high = np.percentile(values[drawn].mean(1), [2.5, 97.5])
    return float(low), float(high)


def report(rows: Sequence[Answered], ids: Vocabulary | None = None) -> dict[str, Any]:
    """Measure answers in both variants, by part.

    Returns:
        ``all``, ``changed`` and ``unchanged``, each with ``pairs``, ``words``, ``ids`` and
        ``cider_d_95`` (missing without such pairs); ``no_change_accuracy``: share of the unchanged
        pairs whose caption reports no change, ``change_accuracy``: share of the changed pairs whose
        caption reports one, in per cent or None; ``notes``.

    Raises:
        InputError: there are no answers.
    """
    if not rows:
        raise InputError(EvaluationTexts.no_captions())
    parts = {
        "all": list(rows),
        "changed": [row for row in rows if row.changed],
        "unchanged": [row for row in rows if not row.changed],
    }
    if ids is None:
        ids = vocabulary((t for row in rows for t in (row.answer, *row.references)), least=1)
    figures: dict[str, Any] = {
        name: {
            "pairs": len(part),
            "words": measure(part),
            "ids": measure(part, ids),
            "cider_d_95": interval(cider_of_each(part)),
        }
        for name, part in parts.items()
        if part
    }
    right = [says_no_change(row.answer) for row in parts["unchanged"]]
    figures["no_change_accuracy"] = 100 * float(np.mean(right)) if right else None
    right = [not says_no_change(row.answer) for row in parts["changed"]]
    figures["change_accuracy"] = 100 * float(np.mean(right)) if right else None
    figures["notes"] = [NEEDS_JAVA] if figures["all"]["words"]["meteor"] is None else []
    return figures


def ask(pairs: PairSet, write: Writer) -> list[Answered]:
    """Write a sentence about every pair with references."""
    rows = []
    for index in tqdm(range(len(pairs)), desc="captions", disable=None):
        pair = pairs.read(index)
        if pair.captions:
            rows.append(Answered(pairs.names[index], write(pair), pair.captions))
    return rows


def writer_of(system: ChangeSystem) -> Writer:
    """Return a writer that captions whole pairs with a loaded system."""

    def write(pair: LabelledPair) -> str:
        inside = np.ones((1, *pair.before.shape[:2]), np.uint8)
        return system.describe(pair.before[None], pair.after[None], [], inside).captions[0]

    return write


def _tokenised(rows: Sequence[Answered], ids: Vocabulary | None) -> tuple[Any, Any]:
    """Return references and answers by number, as pycocoevalcap expects them."""

    def tokens(sentence: str) -> str:
        found = words(sentence)
        return " ".join(found if ids is None else (str(ids.get(word, 0)) for word in found))

    references = {n: [tokens(text) for text in row.references] for n, row in enumerate(rows)}
    return references, {n: [tokens(row.answer)] for n, row in enumerate(rows)}


def _scorer(name: str) -> Any:
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError as error:
        raise missing_package(EvaluationTexts.needs_pycocoevalcap(), error) from error
    # "Cider" there is CIDEr-D: clipped counts and a length penalty.
    return {"Bleu": Bleu, "Cider": Cider, "Rouge": Rouge}[name]()


def _meteor(references: Any, answers: Any) -> float | None:
    """Return METEOR in per cent; None without Java, or if Java fails (lack of memory)."""
    if shutil.which("java") is None:
        return None
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        return 100 * float(scorer.compute_score(references, answers)[0])
    except (OSError, ValueError):  # the program ended or printed no numbers
        return None
    finally:
        # After an error the scorer still holds its lock, and its destructor would wait for ever.
        if scorer.lock.locked():
            scorer.lock.release()


def measure_system(
    name: str,
    spec: DataSpec,
    data: Path,
    *,
    device: str = "auto",
    sentences: Path | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Measure the captions of a system on a data set.

    Args:
        name: name of the system.
        spec: the captioned data set.
        data: the folder of real data.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        sentences: file with one training sentence per line, for the vocabulary of the ids.
        out: JSON file for figures and answers.
    """
    system = systems.create(name)
    pairs = open_pairs(spec, data)
    system.load(device)
    rows = ask(pairs, writer_of(system))
    ids = None
    if sentences:
        ids = vocabulary(sentences.read_text(encoding="utf-8").splitlines())
    figures = report(rows, ids)
    if out:
        answers = {row.name: row.answer for row in rows}
        text = json.dumps({"figures": figures, "answers": answers}, indent=1)
        write_text(out, text)
    return figures
