# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled model: a siamese change network whose last layer is made from a sentence.

It is a small relative of LG-CD and shares three parts with it: encoder and adapters common to
both dates (eq. 1), a feature pyramid (eq. 7), and the similarity map of visual features and text
(figure 2). It has no attention between pixels and words, which took half of the time on a CPU
without any gain on six classes. The text enters as one vector per query, so one pass over the
pixels answers any number of queries, and training uses every class of a pair at once.

The text is the *object phrase* only ("houses"). The direction is the order of the dates:
"appeared" is ``head(before, after)`` and "removed" is ``head(after, before)`` with the same
weights. Swapping the dates therefore swaps appeared and removed exactly, and no verb can invent
a direction that the pixels do not show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import mobilenet
from ...classes import CLASSES
from ..layers import SeparableConv, TopDown, resize_like
from ..lgcd.adapter import Adapter, PairFusion

NUM_CLASSES = len(CLASSES)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the model.

    Attributes:
        backbone: see :func:`..backbones.mobilenet.build`.
        width: d, channels of a date after the adapters.
        detail: channels of the half-resolution map for sharp outlines.
        text_width: channels of a sentence embedding.
        pretrained: start the backbone from ImageNet weights.
        frozen: number of its stages that are not trained.
    """

    backbone: str = "mobilenet_v2"
    width: int = 64
    detail: int = 32
    text_width: int = 128
    pretrained: bool = True
    frozen: int = mobilenet.FROZEN_STAGES


class Encoded(NamedTuple):
    """Features of one date, independent of any query.

    Attributes:
        stride2: (B, C, H/2, W/2) low-level features, for outlines.
        stride4: (B, d, H/4, W/4) fused with the coarser maps.
        stride8: (B, d, H/8, W/8).
        stride16: (B, d, H/16, W/16).
        stride32: (B, d, H/32, W/32).
        classes: (B, 6, H/4, W/4) logits of the land-cover classes.
    """

    stride2: Tensor
    stride4: Tensor
    stride8: Tensor
    stride16: Tensor
    stride32: Tensor
    classes: Tensor


class SceneEncoder(nn.Module):
    """Backbone, adapters and class scores of a single date.

    The class branch fuses the adapted scales at stride 4 and scores the six land-cover classes.
    It is supervised densely by single-date labels, gives from/to classes without another network,
    and its difference between the dates is evidence for the head.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.backbone = mobilenet.build(config.backbone, config.pretrained, config.frozen)
        self.adapters = nn.ModuleList(
            Adapter(channels, config.width) for channels in self.backbone.channels[1:]
        )
        self.scene = TopDown(config.width)
        self.classify = nn.Sequential(
            SeparableConv(config.width, config.width), nn.Conv2d(config.width, NUM_CLASSES, 1)
        )

    def forward(self, images: Tensor) -> Encoded:
        """Encode images (B, 3, H, W), float 0 to 255, H and W multiples of 32."""
        stride2, *stages = self.backbone(images)
        pyramid = [a(stage) for a, stage in zip(self.adapters, stages, strict=True)]
        _, stride8, stride16, stride32 = pyramid
        # Carries the context of the coarser maps to the head.
        scene = self.scene(pyramid)
        return Encoded(stride2, scene, stride8, stride16, stride32, self.classify(scene))


class ChangeDecoder(nn.Module):
    """Compares the features of two dates: f_V, what is on the later and not on the earlier date."""

    def __init__(self, config: ModelConfig, stride2_channels: int) -> None:
        super().__init__()
        width, detail = config.width, config.detail
        self.pair = nn.ModuleList(PairFusion(width) for _ in range(4))
        self.fpn = TopDown(width)
        self.evidence_in = nn.Conv2d(3 * NUM_CLASSES, width, 1)
        self.reduce = Adapter(width, detail)
        self.outline = Adapter(2 * stride2_channels, detail)
        self.refine = nn.Sequential(SeparableConv(detail, detail), SeparableConv(detail, detail))

    def forward(self, before: Encoded, after: Encoded, evidence: Tensor) -> Tensor:
        """Return f_V (B, detail, H/2, W/2); evidence: see :func:`class_evidence`."""
        pairs = zip(self.pair, before[1:5], after[1:5], strict=True)
        fused = self.fpn([pair(first, second) for pair, first, second in pairs])
        fused = self.reduce(fused + self.evidence_in(evidence))
        outline = self.outline(torch.cat([before.stride2, after.stride2], 1))
        return self.refine(resize_like(fused, outline) + outline)


class SentenceQuery(nn.Module):
    """f_L: maps the sentence of a query to a direction in the space of f_V, and a bias."""

    def __init__(self, text_width: int, detail: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Linear(text_width, 2 * detail), nn.ReLU(), nn.Linear(2 * detail, detail + 1)
        )

    def forward(self, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """Return f_L (Q, detail) and biases (Q,) of unit-length sentences (Q, text_width)."""
        mixed = self.mix(sentence * sentence.shape[1] ** 0.5)
        return mixed[:, :-1], mixed[:, -1]


class ClassPrior(nn.Module):
    """Prior of a query from the class scores: the plain difference of the two dates.

    The sentence is classified as one of the land-cover classes or none of them; the prior is the
    sum over the classes of that probability times ``p_after (1 - p_before)``. The similarity map
    only has to correct the prior, which takes far fewer training steps than to find the change.
    """

    def __init__(self, text_width: int) -> None:
        super().__init__()
        self.read = nn.Linear(text_width, NUM_CLASSES + 1)
        self.gain = nn.Parameter(torch.tensor(4.0))

    def reading(self, sentence: Tensor) -> Tensor:
        """Return logits (Q, 7) of the classes and, last, of no class."""
        return self.read(sentence * sentence.shape[1] ** 0.5)

    def forward(self, sentence: Tensor, difference: Tensor) -> Tensor:
        """Return logits (B, Q, h, w), within plus and minus the gain.

        Args:
            sentence: f_g (Q, text_width).
            difference: (B, 6, h, w) p_after (1 - p_before) per class.
        """
        weights = self.reading(sentence).softmax(1)[:, :NUM_CLASSES, None, None]
        return self.gain * (2 * F.conv2d(difference, weights) - 1)


class ChangeHead(nn.Module):
    """Compares two dates once; scores every query by a similarity map and the class prior."""

    def __init__(self, config: ModelConfig, stride2_channels: int) -> None:
        super().__init__()
        self.decoder = ChangeDecoder(config, stride2_channels)
        self.query = SentenceQuery(config.text_width, config.detail)
        self.prior = ClassPrior(config.text_width)

    def forward(self, before: Encoded, after: Encoded, sentence: Tensor) -> Tensor:
        """Score for every query where its object is on ``after`` but not on ``before``.

        Args:
            before: features of B earlier images.
            after: features of B later images.
            sentence: f_g (Q, text_width), unit length.

        Returns:
            (B, Q, H/2, W/2) logits.
        """
        evidence = class_evidence(before.classes, after.classes)
        visual = self.decoder(before, after, evidence)
        language, bias = self.query(sentence)
        similarity = F.conv2d(visual, language[:, :, None, None], bias)
        prior = self.prior(sentence, evidence[:, 2 * NUM_CLASSES :])
        return similarity + resize_like(prior, similarity)


def class_evidence(before: Tensor, after: Tensor) -> Tensor:
    """Return p_before, p_after, p_after (1 - p_before) of logits (B, 6, h, w): (B, 18, h, w)."""
    was, is_now = before.sigmoid(), after.sigmoid()
    return torch.cat([was, is_now, is_now * (1 - was)], 1)


class ChangeModel(nn.Module):
    """Encoder and head together, as trained."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = SceneEncoder(config)
        self.head = ChangeHead(config, self.encoder.backbone.channels[0])

    def forward(self, before: Tensor, after: Tensor, sentence: Tensor) -> Tensor:
        """Return logits (B, Q, H, W) for "the object appeared" of dates (B, 3, H, W), 0 to 255."""
        return enlarge(self.head(self.encoder(before), self.encoder(after), sentence))


def enlarge(logits: Tensor) -> Tensor:
    """Resize a map at stride 2 bilinearly to full resolution."""
    return F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)
