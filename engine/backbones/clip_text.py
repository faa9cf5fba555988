# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen text towers: f_w and f_g of LG-CD (eq. 2), cached by phrase.

:class:`ClipText` wraps any text tower of open_clip; :class:`ShippedText` is the small one that
ships with ChangeScribe.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..text.encoder import TextEncoder
from ..weights import catalogue, loading
from ..weights.store import WeightsStore
from .texts import BackbonesTexts

#: Name of the tower that ships with ChangeScribe.
SHIPPED = "shipped"
#: Number of phrases whose embeddings are cached: a few megabytes.
_CACHED = 1024


class Text(NamedTuple):
    """Embedded phrases.

    Attributes:
        words: f_w (R, T, word_width).
        mask: (R, T) bool, True for a word, False for padding.
        sentence: f_g (R, sentence_width), unit length.
    """

    words: Tensor
    mask: Tensor
    sentence: Tensor


class TextTower(ABC):
    """A frozen text encoder with a cache; not a module, since it is neither trained nor saved.

    Attributes:
        word_width: channels of f_w.
        sentence_width: channels of f_g.
    """

    word_width: int
    sentence_width: int

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Tensor, Tensor]] = OrderedDict()

    def encode(self, phrases: Sequence[str], device: torch.device | str = "cpu") -> Text:
        """Embed R phrases, at least one; each is computed once.

        Common padding is cut off, since a phrase has about three words and the tower up to 77.
        """
        missing = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._known]
        fresh: dict[str, tuple[Tensor, Tensor]] = {}
        if missing:
            words, mask, sentence = self.compute(missing)
            for row, phrase in enumerate(missing):
                length = int(mask[row].nonzero().max()) + 1
                fresh[phrase] = (words[row, :length].clone(), sentence[row].clone())
        rows = [fresh[p] if p in fresh else self._known[p] for p in phrases]
        self._remember(fresh, phrases)
        lengths = torch.tensor([len(words) for words, _ in rows])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        words = nn.utils.rnn.pad_sequence([words for words, _ in rows], batch_first=True)
        sentence = torch.stack([sentence for _, sentence in rows])
        return Text(words.to(device), mask.to(device), sentence.to(device))

    def _remember(self, fresh: dict[str, tuple[Tensor, Tensor]], phrases: Sequence[str]) -> None:
        """Add new phrases to the cache and drop the least recently used ones."""
        self._known.update(fresh)
        for phrase in phrases:
            self._known.move_to_end(phrase)
        while len(self._known) > _CACHED:
            self._known.popitem(last=False)

    @abstractmethod
    def compute(self, phrases: Sequence[str]) -> Text:
        """Embed phrases on the CPU in single precision, padded on the right."""


class ClipText(TextTower):
    """A text tower of open_clip; the paper's is that of CLIP ViT-B/16 (77 words, 512 channels)."""

    def __init__(self, model: nn.Module, tokenizer: Callable[[list[str]], Tensor]) -> None:
        super().__init__()
        self._model = model.requires_grad_(False).eval()
        self._tokenizer = tokenizer
        probe = self.compute(["a"])
        self.word_width = probe.words.shape[2]
        self.sentence_width = probe.sentence.shape[1]

    @torch.no_grad()
    def compute(self, phrases: Sequence[str]) -> Text:
        """Eq. 2: words after the tower's last layer, and the sentence that the tower pools."""
        ids = self._tokenizer(list(phrases))
        # Cached values must not depend on the precision of the first caller.
        with torch.autocast("cpu", enabled=False):
            words, sentence = self._run(ids)
        mask = _is_word(ids, self._tokenizer)
        # A tower that pools an extra first token does not return it with the words.
        mask = mask[:, mask.shape[1] - words.shape[1] :]
        return Text(words.float(), mask, F.normalize(sentence.float(), dim=-1))

    def _run(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return word embeddings (R, T, C) and pooled sentence embeddings (R, C')."""
        text = getattr(self._model, "text", None)
        if text is not None:  # CustomTextCLIP and CoCa have a separate text tower
            text.output_tokens = True
            sentence, words = text(ids)
            return words, sentence
        # The class CLIP does not return the words: they are taken from its last layer.
        kept: list[Tensor] = []
        hook = self._model.ln_final.register_forward_hook(lambda *args: kept.append(args[-1]))
        try:
            sentence = self._model.encode_text(ids)
        finally:
            hook.remove()
        return kept[0], sentence


class ShippedText(TextTower):
    """The small text tower that ships with ChangeScribe (16 words, 128 channels)."""

    word_width = 128
    sentence_width = 128

    def __init__(self) -> None:
        super().__init__()
        self._encoder = TextEncoder()

    def compute(self, phrases: Sequence[str]) -> Text:
        """Embed phrases with onnxruntime."""
        return Text(*(torch.from_numpy(part) for part in self._encoder.encode(phrases)))


def build(
    name: str, file: str = "", pretrained: bool = True, store: WeightsStore | None = None
) -> TextTower:
    """Return a frozen text tower.

    Args:
        name: :data:`SHIPPED`, a catalogue entry in the format of open_clip, or, with ``file``, an
            architecture of open_clip ("ViT-L-14").
        file: weights of open_clip that are not in the catalogue.
        pretrained: False for random weights, which are only useful for measuring speed.
        store: store of weights; None for the default store.

    Raises:
        InputError: there is no such tower.
        WeightsError: the weights are missing.
        DependencyError: open_clip or onnxruntime is missing.
    """
    if name == SHIPPED:
        return ShippedText()
    if file:
        return _clip(name, loading.clip_text(file, name))
    entry = catalogue.entries().get(name)
    if entry is None or entry.format != catalogue.OPEN_CLIP:
        known = [e.id for e in catalogue.entries().values() if e.format == catalogue.OPEN_CLIP]
        towers = ", ".join([SHIPPED, *known])
        raise InputError(BackbonesTexts.no_text_tower(name=name, known=towers))
    if not pretrained:
        return _clip(entry.architecture, loading.clip_architecture(entry.architecture))
    path = (store or WeightsStore()).path(name)
    return _clip(entry.architecture, loading.clip_text(path, entry.architecture, entry.sha256))


def _clip(architecture: str, model: nn.Module) -> ClipText:
    import open_clip

    model.visual = None  # not needed, and most of the memory
    return ClipText(model, open_clip.get_tokenizer(architecture))


def _is_word(ids: Tensor, tokenizer: Any) -> Tensor:
    """Return (R, T) bool: True for words, start and end tokens, False for padding.

    CLIP's tokenizer pads with 0, which is also the token of "!"; :meth:`TextTower.encode` takes
    everything up to the last True.
    """
    inner = getattr(tokenizer, "tokenizer", None)
    return ids != (0 if inner is None else inner.pad_token_id)
