# SPDX-License-Identifier: GPL-3.0-or-later
"""LG-CD in small: a shared encoder, and a head that answers one query about a pair.

The text that the head reads is the *object phrase* alone ("houses"). The
direction is not read from a verb, it is the order of the dates: "appeared" is
``head(before, after)`` and "removed" is ``head(after, before)`` with the same
weights. Swapping the dates of a pair therefore swaps appeared and removed
exactly, and no verb can invent a direction that the pixels do not show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..backbones import mobilenet
from ..classes import CLASSES
from .adapter import Adapter, PairFusion
from .layers import SeparableConv, TopDown
from .tfam import TextFusionAttention
from .vsfd import VisionSemanticDecoder

NUM_CLASSES = len(CLASSES)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the model.

    Attributes:
        backbone: ``"mobilenet_v2"`` or ``"tiny"``.
        width: d, channels of a date after the adapters.
        text_width: channels of word and sentence embeddings.
        heads: of every attention.
        pretrained: start the backbone from ImageNet.
    """

    backbone: str = "mobilenet_v2"
    width: int = 64
    text_width: int = 128
    heads: int = 4
    pretrained: bool = True


class Encoded(NamedTuple):
    """What the encoder knows of one date, independent of any query.

    Attributes:
        stride4: (B, d, H/4, W/4) adapted features.
        stride8: (B, d, H/8, W/8).
        stride16: (B, d, H/16, W/16).
        stride32: (B, d, H/32, W/32).
        classes: (B, 6, H/4, W/4) logits of the land-cover classes.
    """

    stride4: Tensor
    stride8: Tensor
    stride16: Tensor
    stride32: Tensor
    classes: Tensor

    def take(self, rows: Tensor) -> Encoded:
        """Return the given rows of the batch."""
        return Encoded(*(part[rows] for part in self))


class SceneEncoder(nn.Module):
    """Backbone, adapters and the per-date class scores.

    The class branch sums the adapted scales to stride 4 and scores the six
    land-cover classes of a single date. It is supervised densely by
    single-date labels, gives from/to classes without another network, and its
    difference between the dates is evidence for the head.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.backbone = mobilenet.build(config.backbone, config.pretrained)
        self.adapters = nn.ModuleList(
            Adapter(channels, config.width) for channels in self.backbone.channels[1:]
        )
        self.scene = TopDown(config.width)
        self.classify = nn.Sequential(
            SeparableConv(config.width, config.width), nn.Conv2d(config.width, NUM_CLASSES, 1)
        )

    def forward(self, images: Tensor) -> Encoded:
        """Encode images (B, 3, H, W), float 0 to 255, H and W multiples of 32."""
        pyramid = [
            adapter(stage)
            for adapter, stage in zip(self.adapters, self.backbone(images)[1:], strict=True)
        ]
        scene = self.scene(pyramid)
        # The finest map carries the context of the coarser ones to the head.
        return Encoded(scene, *pyramid[1:], self.classify(scene))


class ClassPrior(nn.Module):
    """What the class scores alone say about a query: the plain difference of two dates.

    The sentence is read as one of the land-cover classes, or none of them; the
    prior is the sum over the classes of that reading times
    ``p_after (1 - p_before)``. The fusion of text and image then has only to
    correct this, which it learns in far fewer steps than to find it.

    Args:
        text_width: of a sentence embedding.
    """

    def __init__(self, text_width: int) -> None:
        super().__init__()
        self.read = nn.Linear(text_width, NUM_CLASSES + 1)
        self.gain = nn.Parameter(torch.tensor(4.0))

    def reading(self, sentence: Tensor) -> Tensor:
        """Return logits (B, 7) of the classes and, last, of none of them."""
        return self.read(sentence * sentence.shape[1] ** 0.5)

    def forward(self, sentence: Tensor, difference: Tensor) -> Tensor:
        """Return logits (B, 1, h, w), within plus and minus the gain.

        Args:
            sentence: f_g (B, text_width).
            difference: (B, 6, h, w) p_after (1 - p_before) per class.
        """
        weights = self.reading(sentence).softmax(1)[:, :NUM_CLASSES, None, None]
        return self.gain * (2 * (weights * difference).sum(1, keepdim=True) - 1)


class ChangeHead(nn.Module):
    """Dates compared, TFAM per scale, V-SFD, similarity map plus class prior."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.pair = nn.ModuleList(PairFusion(width) for _ in range(4))
        self.fusion = nn.ModuleList(
            TextFusionAttention(width, config.text_width, width, config.heads) for _ in range(4)
        )
        self.decoder = VisionSemanticDecoder(
            width, config.text_width, config.heads, evidence=3 * NUM_CLASSES
        )
        self.prior = ClassPrior(config.text_width)

    def forward(
        self,
        before: Encoded,
        after: Encoded,
        words: Tensor,
        mask: Tensor,
        sentence: Tensor,
        side_maps: Optional[list[Tensor]] = None,
    ) -> Tensor:
        """Say where the object is on ``after`` and was not on ``before``.

        Args:
            before: features of B earlier images.
            after: features of B later images.
            words: f_w (B, T, text_width) of the object phrase of each row.
            mask: (B, T).
            sentence: f_g (B, text_width).
            side_maps: if a list, the five other output maps are appended to it.

        Returns:
            (B, 1, H/4, W/4) logits.
        """
        pyramid = [
            fusion(pair(first, second), words, mask)
            for pair, fusion, first, second in zip(
                self.pair, self.fusion, before[:4], after[:4], strict=True
            )
        ]
        evidence = class_evidence(before.classes, after.classes)
        similarity = self.decoder(pyramid, words, mask, sentence, evidence, side_maps)
        return similarity + self.prior(sentence, evidence[:, 2 * NUM_CLASSES :])


def class_evidence(before: Tensor, after: Tensor) -> Tensor:
    """Per class: present before, present after, and appeared = p_after (1 - p_before).

    Args:
        before: (B, 6, h, w) logits.
        after: the same for the later date.

    Returns:
        (B, 18, h, w) in [0, 1].
    """
    was, is_now = before.sigmoid(), after.sigmoid()
    return torch.cat([was, is_now, is_now * (1 - was)], 1)


class ChangeModel(nn.Module):
    """Encoder and head together, as trained."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = SceneEncoder(config)
        self.head = ChangeHead(config)

    def forward(
        self, before: Tensor, after: Tensor, words: Tensor, mask: Tensor, sentence: Tensor
    ) -> Tensor:
        """Return full-resolution logits (B, 1, H, W) for "the object appeared".

        Args:
            before: (B, 3, H, W) float, 0 to 255.
            after: the same for the later date; exchange the two for "removed".
            words: (B, T, text_width).
            mask: (B, T).
            sentence: (B, text_width).
        """
        logits = self.head(self.encoder(before), self.encoder(after), words, mask, sentence)
        return F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
