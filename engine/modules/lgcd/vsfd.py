# SPDX-License-Identifier: GPL-3.0-or-later
"""Vision-semantic fusion decoder (V-SFD) of LG-CD, eqs. 4-8, and the plain decoder of table III.

The cost of self-attention among all positions grows with the fourth power of a tile's side: at
stride 4, a tile of 512 pixels has 16,384 positions. Every position of every scale is a query
(eq. 5), but keys and values are averaged to stride 32: those at strides 4, 8 and 16 are pooled by
8, 4 and 2. The words are never pooled.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import MultiHeadAttention, sine_positions, to_map, to_tokens
from ..layers import SeparableConv, TopDown

#: Side of the windows averaged to one key of eq. 5, at strides 4, 8, 16, 32.
KEY_WINDOWS = (8, 4, 2, 1)
#: Side of the windows in which f_V is averaged for eq. 8, from stride 4 to stride 16.
LANGUAGE_WINDOW = 4


class ScaleFusion(nn.Module):
    """Eqs. 4-6 at one scale, each attention with a residual connection.

    Args:
        width: channels of f_fusion and of the output.
        text_width: channels of a word embedding.
        heads: number of attention heads.
        window: side of the windows averaged to one key of eq. 5.
    """

    def __init__(self, width: int, text_width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.word_in = nn.Linear(text_width, width)
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = MultiHeadAttention(width, width, width, heads)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, width, width, heads)

    def forward(self, features: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Fuse f_fusion (B, width, h, w), sides multiples of the window, with the words."""
        words = self.word_in(words)
        tokens = to_tokens(features) + sine_positions(features)  # eq. 4
        tokens = tokens + self._attend(tokens, features, words, mask)  # eq. 5
        tokens = tokens + self.cross_attention(self.cross_norm(tokens), words, mask)  # eq. 6
        return to_map(tokens, features)

    def _attend(self, tokens: Tensor, features: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Eq. 5 for the visual tokens, since only their outputs are used."""
        queries = self.self_norm(tokens)
        keys = queries
        if self.window > 1:
            keys = to_tokens(F.avg_pool2d(to_map(queries, features), self.window))
        visible = torch.ones_like(keys[:, :, 0], dtype=torch.bool)
        joint_mask = torch.cat([visible, mask.bool()], 1)
        return self.self_attention(queries, torch.cat([keys, words], 1), joint_mask)


class LanguageQuery(nn.Module):
    """Eq. 8: f_L = MSA(MCA(f_g, f_V)), a content-aware embedding of the text.

    The sentence attends over f_V at stride 16 (cross-attention), then over itself and its words
    (self-attention, of which only the output of the sentence is used).
    """

    def __init__(self, width: int, text_width: int, sentence_width: int, heads: int) -> None:
        super().__init__()
        self.sentence_in = nn.Linear(sentence_width, width)
        self.word_in = nn.Linear(text_width, width)
        self.cross_attention = MultiHeadAttention(width, width, width, heads)
        self.self_attention = MultiHeadAttention(width, width, width, heads)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )

    def forward(self, features: Tensor, words: Tensor, mask: Tensor, sentence: Tensor) -> Tensor:
        """Return f_L (B, width) of f_V (B, width, h, w) and the text."""
        # f_g has unit length; scaled to unit variance like the words.
        query = self.sentence_in(sentence * sentence.shape[1] ** 0.5)[:, None]
        cells = to_tokens(F.avg_pool2d(features, LANGUAGE_WINDOW))
        query = query + self.cross_attention(query, cells)
        tokens = self.norm(torch.cat([query, self.word_in(words)], 1))
        joint_mask = torch.cat([torch.ones_like(mask[:, :1]), mask], 1)
        query = query + self.self_attention(tokens[:, :1], tokens, joint_mask)
        return (query + self.mix(query))[:, 0]


class PyramidDecoder(nn.Module):
    """Eq. 7 with five of the six output maps: one per scale, and one of the fused map.

    On its own it is the decoder "FPN" of the ablation (table III).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fpn = TopDown(width)
        self.side_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in range(4))
        self.fpn_head = nn.Conv2d(width, 1, 1)

    def forward(self, pyramid: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return f_V (B, width, H/4, W/4) and five maps of logits; input at strides 4 to 32."""
        fused = self.fpn(pyramid)  # eq. 7
        pairs = zip(self.side_heads, pyramid, strict=True)
        return fused, [*(head(features) for head, features in pairs), self.fpn_head(fused)]


class VisionSemanticDecoder(nn.Module):
    """V-SFD: text fusion at every scale, a pyramid, and the similarity map of image and sentence.

    Args:
        width: channels of f_fusion at every scale.
        text_width: channels of a word embedding.
        sentence_width: channels of a sentence embedding.
        heads: number of attention heads.
    """

    def __init__(self, width: int, text_width: int, sentence_width: int, heads: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            ScaleFusion(width, text_width, heads, window) for window in KEY_WINDOWS
        )
        self.pyramid = PyramidDecoder(width)
        self.project = nn.Sequential(SeparableConv(width, width), nn.Conv2d(width, width, 1))
        self.language = LanguageQuery(width, text_width, sentence_width, heads)
        self.scale = width**-0.5
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(
        self, pyramid: list[Tensor], words: Tensor, mask: Tensor, sentence: Tensor
    ) -> list[Tensor]:
        """Return the six output maps (eq. 9), logits (B, 1, h, w), the similarity map last.

        Args:
            pyramid: f_fusion at strides 4, 8, 16, 32, each (B, width, h, w).
            words: f_w (B, T, text_width).
            mask: (B, T), 1 for a word.
            sentence: f_g (B, sentence_width), unit length.
        """
        attended = [
            scale(features, words, mask)
            for scale, features in zip(self.scales, pyramid, strict=True)
        ]
        fused, maps = self.pyramid(attended)
        language = self.language(fused, words, mask, sentence)  # eq. 8
        similarity = (self.project(fused) * language[:, :, None, None]).sum(1, keepdim=True)
        return [*maps, similarity * self.scale + self.bias]
