# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled captioner: a small decoder that captions pooled change features.

There are few captioned pairs but many sentences without images. The network therefore has two
halves that meet in *concepts*: words likely to occur in a sentence about the pair ("road", "two",
"woods", "left"), each with a probability.

- The eye predicts concepts from the features of a pair. A few hundred pairs suffice to train it.
- The writer turns concepts into a sentence. It is trained without images on thousands of groups
  of sentences about one scene, whose own words serve as concepts. It also attends over the cells
  of the features; without an image they are replaced by one learned empty cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Special tokens, in this order at the start of every vocabulary.
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
PAD, START, END, UNKNOWN = range(4)


@dataclass(frozen=True)
class CaptionerConfig:
    """Sizes of the captioner.

    Attributes:
        words: size of the vocabulary, including :data:`SPECIAL`.
        concepts: number of concepts.
        cells: channels of a cell, see :func:`...change_features.features`.
        summary: length of the summary vector of the same function.
        width: channels of the decoder.
        layers: number of decoder layers.
        heads: number of attention heads.
        longest: maximum tokens of a sentence, including start and end.
        dropout: rate in the decoder; the eye has twice that.
    """

    words: int
    concepts: int
    cells: int
    summary: int
    width: int = 128
    layers: int = 2
    heads: int = 4
    longest: int = 26
    dropout: float = 0.2


class Eye(nn.Module):
    """Predicts concepts from features, and whether anything changed."""

    def __init__(self, config: CaptionerConfig, grid: int = 4) -> None:
        super().__init__()
        self.grid = grid
        drop = nn.Dropout(min(0.5, 2 * config.dropout))
        self.cell = nn.Sequential(nn.Conv2d(config.cells, 32, 1), nn.GELU(), drop)
        self.read = nn.Sequential(
            nn.Linear(32 * grid * grid + config.summary, config.width),
            nn.GELU(),
            drop,
            nn.Linear(config.width, config.concepts + 1),
        )

    def forward(self, grid: Tensor, summary: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of concepts (B, K) and any change (B,) from standardised features."""
        cells = self.cell(F.adaptive_avg_pool2d(grid, self.grid)).flatten(1)
        read = self.read(torch.cat([cells, summary], 1))
        return read[:, 1:], read[:, 0]


class Attention(nn.Module):
    """Scaled dot-product attention with several heads."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from x (B, T, d) to memory (B, M, d); mask (T, M) is added to the scores."""
        batch, length, width = x.shape
        size = width // self.heads
        query = self.query(x).view(batch, length, self.heads, size).transpose(1, 2)
        key, value = (
            part.view(batch, memory.shape[1], self.heads, size).transpose(1, 2)
            for part in self.key_value(memory).chunk(2, 2)
        )
        scores = query @ key.transpose(2, 3) * size**-0.5
        if mask is not None:
            scores = scores + mask
        weights = F.dropout(scores.softmax(3), self.dropout, self.training)
        return self.out((weights @ value).transpose(1, 2).reshape(batch, length, width))


class Layer(nn.Module):
    """Decoder layer: causal self-attention over the words, then cross-attention over the cells."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        width = config.width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own = Attention(width, config.heads, config.dropout)
        self.cross = Attention(width, config.heads, config.dropout)
        self.forward_ = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, past: Tensor, memory: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Return x (B, T, d) after the layer.

        Args:
            x: (B, T, d) current words.
            past: (B, P, d) inputs of this layer for the words that may be attended to.
            memory: (B, M, d) cells.
            mask: (T, P), minus infinity for words that may not be attended to.
        """
        normed = self.norms[0](past)
        x = x + self.drop(self.own(self.norms[0](x), normed, mask))
        x = x + self.drop(self.cross(self.norms[1](x), memory))
        return x + self.drop(self.forward_(self.norms[2](x)))


class Writer(nn.Module):
    """Writes a sentence from concepts and cells."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.word = nn.Embedding(config.words, width, padding_idx=PAD)
        nn.init.normal_(self.word.weight, std=0.02 * 4)
        self.place = nn.Parameter(torch.randn(config.longest, width) * 0.02)
        self.concept = nn.Linear(config.concepts, width)
        self.cell = nn.Linear(config.cells, width)
        self.where = nn.Parameter(torch.randn(64, width) * 0.02)
        self.empty = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)

    def memory(self, grid: Tensor | None, rows: int) -> Tensor:
        """Return (rows, M, d): the empty cell, and the cells of a grid (rows, C, 8, 8) if given."""
        empty = self.empty.expand(rows, 1, -1)
        if grid is None:
            return empty
        cells = self.cell(grid.flatten(2).transpose(1, 2)) + self.where
        return torch.cat([empty, self.drop(cells)], 1)

    def start(self, tokens: Tensor, concepts: Tensor, first: int = 0) -> Tensor:
        """Embed tokens (B, T) from position ``first`` on, with concepts (B, K) in [0, 1]."""
        length = tokens.shape[1]
        hints = self.concept(2 * concepts - 1)[:, None]
        return self.drop(self.word(tokens) + self.place[first : first + length] + hints)

    def forward(self, tokens: Tensor, concepts: Tensor, memory: Tensor) -> Tensor:
        """Return logits (B, T, V) of the word that follows each of the tokens (B, T)."""
        x = self.start(tokens, concepts)
        length = tokens.shape[1]
        mask = torch.full((length, length), float("-inf")).triu(1)
        for layer in self.layers:
            x = layer(x, x, memory, mask)
        return self.words_of(x)

    def words_of(self, x: Tensor) -> Tensor:
        """Return the logits (B, T, V) of the last layer's output (B, T, d)."""
        return self.norm(x) @ self.word.weight.t()

    @torch.no_grad()
    def sample(self, concepts: Tensor, memory: Tensor, *, greedy: bool = False) -> Tensor:
        """Write sentences by sampling or greedily.

        Args:
            concepts: (B, K) in [0, 1].
            memory: (B, M, d) from :meth:`memory`.
            greedy: take the most probable word instead of drawing one.

        Returns:
            (B, T) tokens from :data:`START`; :data:`PAD` after :data:`END`.
        """
        rows = len(concepts)
        tokens = torch.full((rows, 1), START)
        past = [torch.zeros(rows, 0, self.config.width) for _ in self.layers]
        ended = torch.zeros(rows, dtype=torch.bool)
        for place in range(self.config.longest - 1):
            x = self.start(tokens[:, -1:], concepts, place)
            for number, layer in enumerate(self.layers):
                past[number] = torch.cat([past[number], x], 1)
                x = layer(x, past[number], memory)
            logits = self.words_of(x)[:, 0]
            logits[:, [PAD, START, UNKNOWN]] = float("-inf")
            word = logits.argmax(1) if greedy else torch.multinomial(logits.softmax(1), 1)[:, 0]
            word = torch.where(ended, PAD, word)
            tokens = torch.cat([tokens, word[:, None]], 1)
            ended |= word == END
            if ended.all():
                break
        return tokens


class Captioner(nn.Module):
    """Eye and writer together."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.config = config
        self.eye = Eye(config)
        self.writer = Writer(config)
        # Mean and standard deviation per channel over the training crops.
        self.register_buffer("grid_scale", torch.tensor([[0.0], [1.0]]).repeat(1, config.cells))
        self.register_buffer(
            "summary_scale", torch.tensor([[0.0], [1.0]]).repeat(1, config.summary)
        )

    def standardise(self, grid: Tensor, summary: Tensor) -> tuple[Tensor, Tensor]:
        """Standardise features to mean 0 and deviation 1, clamped to plus and minus 4."""
        scale = self.grid_scale[:, None, :, None, None]
        grid = ((grid - scale[0]) / scale[1]).clamp(-4, 4)
        return grid, ((summary - self.summary_scale[0]) / self.summary_scale[1]).clamp(-4, 4)

    def forward(self, grid: Tensor, summary: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the next word of sentences about one pair.

        Args:
            grid: (1, C, 8, 8), see :func:`...change_features.features`.
            summary: (1, S).
            tokens: (B, T) unfinished sentences, from :data:`START`.

        Returns:
            Log probabilities (B, V) of the next word, and the probability (1,) of any change.
        """
        grid, summary = self.standardise(grid, summary)
        concepts, changed = self.eye(grid, summary)
        rows = tokens.shape[0]
        memory = self.writer.memory(grid, 1).expand(rows, -1, -1)
        logits = self.writer(tokens, concepts.sigmoid().expand(rows, -1), memory)[:, -1]
        return logits.log_softmax(1), changed.sigmoid()
