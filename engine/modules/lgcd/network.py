# SPDX-License-Identifier: GPL-3.0-or-later
"""LG-CD (Liu et al., 2025): two dates and a prompt to a mask of the change in the prompt.

A frozen image encoder (:mod:`..backbones.frozen`) and a frozen text tower
(:mod:`..backbones.clip_text`) feed the trained parts: adapters (eq. 1), TFAM (eq. 3) and V-SFD
(eqs. 4-8).

The text tower reads only the *object phrase* ("houses"); the direction is the order of the dates.
"houses built" compares (before, after), "houses demolished" (after, before), with the same
weights. Training with a verb in the prompt and swapped verbs for time-swapped pairs would teach
the direction approximately and for the verbs in training only. The order of the dates gives it
exactly, for every verb of the prompt grammar: swapping the dates swaps appeared and removed
bit by bit, and verb and order cannot contradict each other. Training pairs are time-swapped too,
as queries for "removed".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .adapter import Adapter
from .config import LgcdConfig
from .tfam import TextFusionAttention
from .vsfd import PyramidDecoder, VisionSemanticDecoder


class LgcdHead(nn.Module):
    """The trained parts of LG-CD: adapters, TFAM, V-SFD.

    Args:
        channels: C_0 to C_3 of the encoder, at strides 4, 8, 16, 32.
        text_width: channels of a word embedding.
        sentence_width: channels of a sentence embedding.
        config: sizes.
    """

    def __init__(
        self, channels: Sequence[int], text_width: int, sentence_width: int, config: LgcdConfig
    ) -> None:
        super().__init__()
        joint, heads = 2 * config.width, config.heads
        self.adapters = nn.ModuleList(Adapter(count, config.width) for count in channels)
        # Text towers differ in the scale of their word embeddings.
        self.word_norm = nn.LayerNorm(text_width)
        self.fusion = (
            nn.ModuleList(TextFusionAttention(joint, text_width, heads) for _ in channels)
            if config.tfam
            else None
        )
        self.decoder = (
            VisionSemanticDecoder(joint, text_width, sentence_width, heads)
            if config.vsfd
            else PyramidDecoder(joint)
        )

    def forward(
        self,
        features: Sequence[Tensor],
        first: Tensor,
        second: Tensor,
        words: Tensor,
        mask: Tensor,
        sentence: Tensor,
    ) -> list[Tensor]:
        """Answer R queries on N encoded images: what is on the later and not on the earlier one?

        Args:
            features: f^i (N, C_i, h_i, w_i) at strides 4, 8, 16, 32.
            first: (R,) int64, index of the earlier image of each query.
            second: (R,) int64, index of the later image.
            words: f_w (R, T, text_width).
            mask: (R, T), 1 for a word.
            sentence: f_g (R, sentence_width), unit length.

        Returns:
            The output maps, logits (R, 1, h, w), the final one last: six with V-SFD, else the
            five of the pyramid.
        """
        words = self.word_norm(words)
        pyramid = []
        for index, (adapter, stage) in enumerate(zip(self.adapters, features, strict=True)):
            adapted = adapter(stage)
            joint = torch.cat([adapted[first], adapted[second]], 1)  # eq. 1
            if self.fusion is not None:
                joint = self.fusion[index](joint, words, mask)  # eq. 3
            pyramid.append(joint)
        if isinstance(self.decoder, PyramidDecoder):
            return self.decoder(pyramid)[1]
        return self.decoder(pyramid, words, mask, sentence)


def head_of(state: Mapping[str, Tensor], config: LgcdConfig) -> LgcdHead:
    """Return a head with random weights whose shapes are those of a state dict."""
    channels = [state[f"adapters.{index}.0.weight"].shape[1] for index in range(4)]
    sentence = state.get("decoder.language.sentence_in.weight")
    sentence_width = 1 if sentence is None else sentence.shape[1]
    return LgcdHead(channels, state["word_norm.weight"].shape[0], sentence_width, config)


class Lgcd(nn.Module):
    """LG-CD with its frozen image encoder; the text is embedded outside."""

    def __init__(self, encoder: nn.Module, head: LgcdHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, images: Tensor, *queries: Tensor) -> list[Tensor]:
        """Encode images (N, 3, H, W), 0 to 255, once; queries: see :meth:`LgcdHead.forward`."""
        return self.head(self.encoder(images), *queries)


def enlarge(logits: Tensor, height: int, width: int) -> Tensor:
    """Resize maps (R, 1, h, w) bilinearly to (R, height, width)."""
    return F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)[:, 0]
