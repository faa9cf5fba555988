# SPDX-License-Identifier: GPL-3.0-or-later
"""WordPiece tokenizer of uncased BERT models (Devlin et al., 2019; Wu et al., 2016).

It uses the standard library alone, since QGIS ships neither transformers nor tokenizers.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

from ..errors import WeightsError
from ..paths import MODELS
from .texts import TextTexts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"

#: Tokens per prompt that the text encoder reads, with [CLS] and [SEP].
MAX_TOKENS = 16

#: Longer words are one unknown token.
MAX_WORD_CHARACTERS = 100

#: Default vocabulary: that of all-MiniLM-L6-v2, the teacher of the text encoder.
VOCABULARY_PATH = MODELS / "vocab.txt"

# Blocks of CJK ideographs; each of them is a word of its own.
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPieceTokenizer:
    """Splits text into pieces of a vocabulary by greedy longest match.

    Control characters and accents are removed, the text is lower-cased and split at white space,
    punctuation and CJK ideographs. Names of special tokens in the text ("[SEP]") are plain text.

    Args:
        vocabulary: pieces in the order of their ids; pieces inside a word begin with ``##``.

    Raises:
        WeightsError: a special token is missing.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        for special in (PAD, UNKNOWN, START, END):
            if special not in self._numbers:
                raise WeightsError(TextTexts.no_token(token=special))
        self.pad_id = self._numbers[PAD]
        self.unknown_id = self._numbers[UNKNOWN]
        self.start_id = self._numbers[START]
        self.end_id = self._numbers[END]

    @classmethod
    def load(cls, path: Optional[Union[str, Path]] = None) -> WordPieceTokenizer:
        """Read a vocabulary file with one piece per line, by default the bundled one.

        Raises:
            WeightsError: the file cannot be read or is not a vocabulary.
        """
        path = Path(path) if path is not None else VOCABULARY_PATH
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise WeightsError(
                TextTexts.vocabulary_unreadable(path=path), details=str(error)
            ) from error
        # Not splitlines(): some pieces are characters that count as line ends.
        return cls([line.rstrip("\r") for line in text.rstrip("\n").split("\n")])

    def __len__(self) -> int:
        """Number of pieces in the vocabulary."""
        return len(self._numbers)

    def words(self, text: str) -> list[str]:
        """Split into lower-case words, punctuation marks and ideographs."""
        words: list[str] = []
        current: list[str] = []
        for character in _normalise(text):
            is_space = character.isspace()
            if is_space or _is_punctuation(character):
                if current:
                    words.append("".join(current))
                    current = []
                if not is_space:
                    words.append(character)
            else:
                current.append(character)
        if current:
            words.append("".join(current))
        return words

    def pieces(self, text: str) -> list[str]:
        """Split into pieces of the vocabulary; ``[UNK]`` for a word that it cannot spell."""
        return [piece for word in self.words(text) for piece in self._split_word(word)]

    def encode(self, text: str, max_tokens: int = MAX_TOKENS) -> list[int]:
        """Return the token ids of a text with [CLS] and [SEP], cut to ``max_tokens`` in all."""
        numbers = [self._numbers[piece] for piece in self.pieces(text)]
        return [self.start_id, *numbers[: max_tokens - 2], self.end_id]

    def encode_batch(
        self, texts: Iterable[str], max_tokens: int = MAX_TOKENS, pad_to: Optional[int] = None
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Return the token ids (B, L) of B texts, and the mask (B, L), 0 for padding.

        Texts longer than ``max_tokens`` are cut. L is that of the longest, at least ``pad_to``.
        """
        rows = [self.encode(text, max_tokens) for text in texts]
        length = max([pad_to or 0, *(len(row) for row in rows)])
        padded = [row + [self.pad_id] * (length - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (length - len(row)) for row in rows]
        return padded, mask

    def _split_word(self, word: str) -> list[str]:
        """Match greedily from the left; if any rest is unknown, the whole word is."""
        if len(word) > MAX_WORD_CHARACTERS:
            return [UNKNOWN]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = prefix + word[start:end]
                if piece in self._numbers:
                    pieces.append(piece)
                    start = end
                    break
            else:
                return [UNKNOWN]
        return pieces


def _normalise(text: str) -> str:
    """Remove control characters and accents, put spaces around ideographs, lower the case."""
    cleaned: list[str] = []
    for character in text:
        if character in "\t\n\r":
            cleaned.append(" ")
        elif character == "\ufffd" or unicodedata.category(character).startswith("C"):
            continue
        elif _is_ideograph(character):
            cleaned.append(f" {character} ")
        else:
            cleaned.append(character)
    decomposed = unicodedata.normalize("NFD", "".join(cleaned))
    # Character by character: str.lower() of a whole text turns a Greek sigma at the end of a word
    # into a letter that the vocabulary does not use.
    return "".join(c.lower() for c in decomposed if unicodedata.category(c) != "Mn")


def _is_ideograph(character: str) -> bool:
    code = ord(character)
    return code >= 0x3400 and any(first <= code <= last for first, last in _IDEOGRAPHS)


def _is_punctuation(character: str) -> bool:
    """Whether a character is punctuation by Unicode or any ASCII symbol, such as "$" or "+"."""
    code = ord(character)
    if code < 128:
        return 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return unicodedata.category(character).startswith("P")
