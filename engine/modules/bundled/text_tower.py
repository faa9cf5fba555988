# SPDX-License-Identifier: GPL-3.0-or-later
"""The small text tower: token ids to word vectors and a sentence vector.

It replaces the frozen CLIP text tower of LG-CD: word vectors ``f_w`` for attention, a sentence
vector ``f_g`` for the similarity map. It is distilled from a sentence encoder by
:mod:`changescribe.engine.training.text.distillation`, so that nouns without any change label are
still close to their synonyms.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import WeightsError, raise_out_of_memory
from ..texts import ModulesTexts


@dataclass(frozen=True)
class TextTowerConfig:
    """Sizes of a text tower.

    Attributes:
        vocabulary: number of tokens.
        length: maximum tokens of a text.
        width: channels of word and sentence vectors.
        layers: transformer layers.
        heads: attention heads; divides ``width``.
        hidden: channels of the feed-forward layer.
    """

    vocabulary: int = 30522
    length: int = 16
    width: int = 128
    layers: int = 2
    heads: int = 4
    hidden: int = 384

    @classmethod
    def tiny(cls) -> TextTowerConfig:
        """Return small sizes for tests."""
        return cls(vocabulary=50, length=16, width=16, layers=1, heads=2, hidden=32)


class TextLayer(nn.Module):
    """A pre-norm transformer layer, written out so that it exports to plain ONNX."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_hidden = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.reduce = nn.Linear(hidden, width)

    def forward(self, words: Tensor, bias: Tensor) -> Tensor:
        """Transform words (B, L, C); ``bias`` (B, 1, 1, L): 0, or very negative for padding."""
        words = words + self._attend(self.norm_attention(words), bias)
        hidden = functional.gelu(self.expand(self.norm_hidden(words)))
        return words + self.reduce(hidden)

    def _attend(self, words: Tensor, bias: Tensor) -> Tensor:
        batch, length, width = words.shape
        size = width // self.heads
        split = self.query_key_value(words).reshape(batch, length, 3, self.heads, size)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (query @ key.transpose(-2, -1)) * size**-0.5 + bias
        mixed = weights.softmax(dim=-1) @ value
        return self.project(mixed.transpose(1, 2).reshape(batch, length, width))


class TextTower(nn.Module):
    """Token and position embedding, transformer layers, masked mean."""

    def __init__(self, config: TextTowerConfig | None = None) -> None:
        super().__init__()
        self.config = config or TextTowerConfig()
        width = self.config.width
        self.tokens = nn.Embedding(self.config.vocabulary, width)
        self.positions = nn.Parameter(torch.zeros(self.config.length, width))
        self.norm_in = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            TextLayer(width, self.config.heads, self.config.hidden)
            for _ in range(self.config.layers)
        )
        self.norm_out = nn.LayerNorm(width)
        nn.init.normal_(self.positions, std=0.02)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch of texts.

        Args:
            ids: (B, L) int64 token ids, L at most ``config.length``.
            mask: (B, L), non-zero (or True) for a token, 0 for padding.

        Returns:
            ``f_w`` (B, L, C), layer-normalised word vectors, zero on padding, and
            ``f_g`` (B, C), their mean over the tokens scaled to unit length.
        """
        present = mask.to(self.positions.dtype)
        bias = (1.0 - present)[:, None, None, :] * -1e4
        words = self.norm_in(self.tokens(ids) + self.positions[: ids.shape[1]])
        for layer in self.layers:
            words = layer(words, bias)
        words = self.norm_out(words) * present[:, :, None]
        mean = words.sum(dim=1) / present.sum(dim=1, keepdim=True).clamp(min=1.0)
        sentence = mean / mean.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        return words, sentence


def save_text_tower(tower: TextTower, path: str | Path) -> None:
    """Write sizes and weights to a ``.pt`` file of tensors and numbers only."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu() for name, value in tower.state_dict().items()}
    torch.save({"config": asdict(tower.config), "state_dict": state}, path)


def load_text_tower(path: str | Path) -> TextTower:
    """Read a tower written by :func:`save_text_tower`, in evaluation mode on the CPU.

    Raises:
        WeightsError: the file is missing or is not a text tower.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        tower = TextTower(TextTowerConfig(**content["config"]))
        tower.load_state_dict(content["state_dict"])
    except Exception as error:  # a damaged file may raise anything
        raise_out_of_memory(error)
        text = ModulesTexts.text_tower_unreadable(path=path)
        raise WeightsError(text, details=str(error)) from error
    return tower.eval()
