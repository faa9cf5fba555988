# SPDX-License-Identifier: GPL-3.0-or-later
"""A small causal language model of captions, for computers too small for a large one.

Its tokens are whole words, and it learns from sentences alone. Each sentence is reconstructed
from some of its own words, shuffled, with distractors and gaps, in the positions that hold image
embeddings later. The model thus learns to follow these positions, and stays frozen while a
captioning system is trained.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ...backbones.causal import IMAGE, LanguageModel
from ...modules.kcfi.network import INSTRUCTIONS as KCFI
from ...modules.semantic_cc.config import INSTRUCTIONS as SEMANTIC_CC
from ...weights.store import WeightsStore

#: Entry in the catalogue of weights.
ENTRY = "caption-words"
#: Sentences of LEVIR-CC's training set, in the data folder.
SENTENCES = "levir/caption_sentences_train.txt"
#: Minimum number of occurrences of a word; rarer ones are unknown.
_MIN = 3
#: Maximum weight of a repeated sentence: half of them are five ways to report no change.
_MAX = 600
_END, _EMPTY, _UNKNOWN = "<end>", "<empty>", "<unknown>"
#: Words without information about the change.
_PLAIN = frozenset(
    "a an the is are was were be been has have had of in on at to by with and or its it there "
    "that this as for from some which".split()
)
#: Shares of the positions that are empty, or hold a distractor.
_NOTHING, _WRONG = 0.3, 0.1
#: Share of the sentences that follow one of the systems' instructions.
_ASKED = 0.25


@dataclass(frozen=True)
class Sizes:
    """Sizes of the model and its training."""

    width: int = 192
    layers: int = 3
    heads: int = 6
    steps: int = 240
    batch: int = 48
    rate: float = 3e-3


def train(sentences: Sequence[str], sizes: Sizes, seed: int = 17) -> tuple[Any, Any]:
    """Train a model, deterministic on a given computer.

    Returns:
        The transformers model and tokenizer.
    """
    counts = Counter(" ".join(words(text)) for text in sentences)
    known = Counter(word for text, count in counts.items() for word in text.split() * count)
    asked = {word for text in (*KCFI, *SEMANTIC_CC) for word in words(text.replace(IMAGE, ""))}
    usual = sorted(asked | {word for word, count in known.items() if count >= _MIN})
    torch.manual_seed(seed)
    model, tokenizer = _new(usual, sizes)
    language = LanguageModel(model, tokenizer)
    model.requires_grad_(True).train()
    optimiser = torch.optim.AdamW(model.parameters(), sizes.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, sizes.rate, sizes.steps, pct_start=0.1
    )
    rng = np.random.default_rng(seed)
    texts = sorted(counts)
    shares = np.array([min(counts[text], _MAX) for text in texts], np.float64)
    shares /= shares.sum()
    progress = tqdm(range(sizes.steps), desc="language model", mininterval=10)
    for _ in progress:
        drawn = [texts[i] for i in rng.choice(len(texts), sizes.batch, p=shares)]
        loss = _loss(language, drawn, usual, rng)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        progress.set_postfix(loss=f"{loss.item():.2f}", refresh=False)
    return model.eval(), tokenizer


def words(text: str) -> list[str]:
    """Return the tokens of a text: words and punctuation, lower-case."""
    return re.findall(r"[\w'-]+|[^\w\s]", text.lower())


def hints(text: str, usual: Sequence[str], places: int, rng: np.random.Generator) -> list[str]:
    """Return stand-ins for an image: words of the sentence, distractors and gaps, shuffled."""
    telling = [word for word in text.split() if word not in _PLAIN]
    telling = list(rng.permutation(telling or text.split()))
    found = []
    for number, chance in enumerate(rng.random(places)):
        if chance < _NOTHING:
            found.append(_EMPTY)
        elif chance < _NOTHING + _WRONG:
            found.append(str(rng.choice(usual)))
        else:
            found.append(str(telling[number % len(telling)]))
    return found


def _loss(
    language: LanguageModel, texts: Sequence[str], usual: Sequence[str], rng: np.random.Generator
) -> torch.Tensor:
    """Return the loss of reconstructing sentences from some of their words."""
    places = int(rng.integers(6, 17))
    ids = language.tokenizer(
        [" ".join(hints(text, usual, places, rng)) for text in texts], return_tensors="pt"
    ).input_ids
    asked = str(rng.choice((*KCFI, *SEMANTIC_CC))) if rng.random() < _ASKED else IMAGE
    images = language.model.get_input_embeddings()(ids)
    return language.loss(language.inputs(images, [asked] * len(texts), texts))


def _new(usual: Sequence[str], sizes: Sizes) -> tuple[Any, Any]:
    """Return a model with random weights and a whole-word tokenizer."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    symbols = [_END, _EMPTY, _UNKNOWN, *usual]
    reader = Tokenizer(models.WordLevel({word: i for i, word in enumerate(symbols)}, _UNKNOWN))
    reader.normalizer = normalizers.Lowercase()
    reader.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"<\w+>|[\w'-]+|[^\w\s]"), behavior="removed", invert=True
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=reader, eos_token=_END, pad_token=_EMPTY, unk_token=_UNKNOWN
    )
    config = LlamaConfig(
        vocab_size=len(symbols),
        hidden_size=sizes.width,
        intermediate_size=3 * sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )
    return LlamaForCausalLM(config), tokenizer


def build(data: Path, out: Path, *, steps: int | None = None, threads: int = 0) -> None:
    """Train the small language model of captions, and import it into the folder of weights."""
    if threads:
        torch.set_num_threads(threads)
    sentences = (data / SENTENCES).read_text(encoding="utf-8").splitlines()
    model, tokenizer = train(sentences, Sizes(steps=steps) if steps else Sizes())
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    WeightsStore().import_from(out, [ENTRY])
