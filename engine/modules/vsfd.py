# SPDX-License-Identifier: GPL-3.0-or-later
"""Visual-semantic fusion decoder (V-SFD) of LG-CD, eqs. 4-8.

Self-attention among all positions grows with the fourth power of the tile's
side, so it runs at strides 16 and 32 only, and at stride 16 its keys are
pooled to stride 32. At strides 4 and 8 the features attend to the words alone.
"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import MultiHeadAttention, sine_positions, to_map, to_tokens
from .layers import SeparableConv, TopDown


class ScaleFusion(nn.Module):
    """Eqs. 4-6 at one scale.

    Args:
        width: d, channels of f_fusion and of the output.
        text_width: of a word embedding.
        heads: of each attention.
        self_attention: with eq. 5.
        pool: side of the windows that are averaged to one key of eq. 5.
    """

    def __init__(
        self,
        width: int,
        text_width: int,
        heads: int,
        self_attention: bool,
        pool: int = 1,
    ) -> None:
        super().__init__()
        self.word_in = nn.Linear(text_width, width) if self_attention else None
        self.self_attention = (
            MultiHeadAttention(width, width, width, heads) if self_attention else None
        )
        self.self_norm = nn.LayerNorm(width) if self_attention else None
        self.cross_attention = MultiHeadAttention(width, text_width, width, heads)
        self.pool = pool

    def forward(self, features: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Return f_MCA of f_fusion, both (B, width, h, w)."""
        tokens = to_tokens(features)
        if self.self_attention is not None:
            tokens = self._attend(features, tokens, words, mask)
        tokens = tokens + self.cross_attention(tokens, words, mask)  # eq. 6
        return to_map(tokens, features)

    def _attend(self, features: Tensor, tokens: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Eqs. 4-5: only the visual tokens ask, since only they are kept."""
        positioned = tokens + sine_positions(features)  # eq. 4
        keys = positioned
        if self.pool > 1:
            pooled = F.avg_pool2d(to_map(positioned, features), self.pool)
            keys = to_tokens(pooled)
        keys = torch.cat([self.self_norm(keys), self.word_in(words)], 1)
        visible = torch.ones_like(keys[:, :, 0])[:, : keys.shape[1] - words.shape[1]]
        joint_mask = torch.cat([visible, mask.to(visible.dtype)], 1)
        return tokens + self.self_attention(self.self_norm(positioned), keys, joint_mask)


class LanguageQuery(nn.Module):
    """Eq. 8: f_L = MSA(MCA(f_g, f_V)), a content-aware embedding of the text.

    The sentence asks the image (cross-attention over f_V pooled to stride 16),
    then speaks with its own words (self-attention over sentence and words, of
    which the sentence is kept).
    """

    def __init__(self, width: int, text_width: int, heads: int) -> None:
        super().__init__()
        self.sentence_in = nn.Linear(text_width, width)
        self.word_in = nn.Linear(text_width, width)
        self.cross_attention = MultiHeadAttention(width, width, width, heads)
        self.self_attention = MultiHeadAttention(width, width, width, heads)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )

    def forward(self, features: Tensor, words: Tensor, mask: Tensor, sentence: Tensor) -> Tensor:
        """Return f_L (B, width) of f_V (B, width, h, w) and the text."""
        # f_g has length 1; to unit variance, as the words have.
        asked = self.sentence_in(sentence * sentence.shape[1] ** 0.5)[:, None]
        pooled = to_tokens(F.avg_pool2d(features, 4))
        asked = asked + self.cross_attention(asked, pooled)
        tokens = self.norm(torch.cat([asked, self.word_in(words)], 1))
        joint_mask = torch.cat([torch.ones_like(mask[:, :1]), mask], 1)
        asked = asked + self.self_attention(tokens[:, :1], tokens, joint_mask)
        return (asked + self.mix(asked))[:, 0]


class VisionSemanticDecoder(nn.Module):
    """V-SFD with the similarity map.

    Args:
        width: d, channels of f_fusion at every scale.
        text_width: of a word embedding.
        heads: of each attention.
        evidence: channels of class evidence, see :meth:`forward`.
    """

    def __init__(self, width: int, text_width: int, heads: int, evidence: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            ScaleFusion(width, text_width, heads, attend, pool)
            for attend, pool in ((False, 1), (False, 1), (True, 2), (True, 1))
        )
        self.fpn = TopDown(width)
        self.evidence_in = nn.Conv2d(evidence, width, 1)
        self.project = nn.Sequential(SeparableConv(width, width), nn.Conv2d(width, width, 1))
        self.language = LanguageQuery(width, text_width, heads)
        self.side_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in range(4))
        self.fpn_head = nn.Conv2d(width, 1, 1)
        self.scale = width**-0.5

    def forward(
        self,
        pyramid: list[Tensor],
        words: Tensor,
        mask: Tensor,
        sentence: Tensor,
        evidence: Tensor,
        side_maps: Optional[list[Tensor]] = None,
    ) -> Tensor:
        """Return the similarity map <f_V, f_L> (B, 1, H/4, W/4).

        Args:
            pyramid: f_fusion at strides 4, 8, 16, 32, each (B, width, h, w).
            words: f_w (B, T, text_width).
            mask: (B, T).
            sentence: f_g (B, text_width).
            evidence: (B, E, H/4, W/4) what the class scores of the two dates say.
            side_maps: if a list, the other five output maps of training are appended to it.
        """
        attended = [
            scale(features, words, mask)
            for scale, features in zip(self.scales, pyramid, strict=True)
        ]
        fused = self.fpn(attended)  # eq. 7
        fused = fused + self.evidence_in(evidence)
        language = self.language(fused, words, mask, sentence)  # eq. 8
        if side_maps is not None:
            pairs = zip(self.side_heads, attended, strict=True)
            side_maps.extend(head(features) for head, features in pairs)
            side_maps.append(self.fpn_head(fused))
        visual = self.project(fused)
        similarity = (visual * language[:, :, None, None]).sum(1, keepdim=True)
        return similarity * self.scale
