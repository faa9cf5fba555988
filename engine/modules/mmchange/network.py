# SPDX-License-Identifier: GPL-3.0-or-later
"""MMChange: two images with a description of each to a change mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ...backbones.mobilenet import MobileNetPyramid
from ...backbones.resnet import ResNetPyramid
from ...weights import loading
from ..layers import resize_like, trained
from .blocks import (
    ConvNormAct,
    ImageFeatureRefinement,
    ImageTextFeatureFusion,
    NeighbourAggregation,
    SupervisedAttentionDecoder,
    TextDifferenceEnhancement,
    as_tokens,
)
from .config import MMChangeConfig

#: Number of scales; the map at stride 2 is not used.
SCALES = 4
#: Strides of the reduced pyramid.
STRIDES = (4, 8, 16, 32)


Network = TypeVar("Network", bound=nn.Module)


class ImageEncoder(nn.Module):
    """Backbone and reducers: four maps of one date at strides 4 to 32.

    Layers 3 and 4 of a ResNet are dilated and stay at stride 8; their reducers have strides 2 and
    4.
    """

    def __init__(self, config: MMChangeConfig, weights: str | Path | None = None) -> None:
        super().__init__()
        if config.backbone == "mobilenet_v2":
            self.backbone: nn.Module = MobileNetPyramid(config.pretrained)
            strides = (2, *STRIDES)
        else:
            resnet = ResNetPyramid(config.backbone, dilated=True, weights=weights)
            self.backbone, strides = resnet, resnet.strides
        self.reducers = nn.ModuleList(
            # The kernel grows with the stride, so that no pixel is skipped.
            ConvNormAct(channels, width, target // stride + (target > stride), target // stride)
            for channels, width, stride, target in zip(
                self.backbone.channels[1:], config.reduced, strides[1:], STRIDES, strict=True
            )
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) float, 0 to 255 -> maps (B, reduced[i], H / STRIDES[i], W / STRIDES[i])."""
        maps = self.backbone(images)[1:]
        return [reduce(features) for reduce, features in zip(self.reducers, maps, strict=True)]


class FeatureAggregation(nn.Module):
    """Neighbour aggregation at the four scales, shared by both dates."""

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        around = (None, *channels, None)
        self.scales = nn.ModuleList(
            NeighbourAggregation(channels[i], around[i], around[i + 2], width)
            for i in range(len(channels))
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, channels[i], h_i, w_i) -> (B, width, h_i, w_i)."""
        around: list[Tensor | None] = [None, *maps, None]
        return [
            aggregate(own, around[i], around[i + 2])
            for i, (aggregate, own) in enumerate(zip(self.scales, maps, strict=True))
        ]


class PlainDifference(nn.Module):
    """Replaces IFR: 1x1 convolution of the difference of the dates (section IV.E)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.align = nn.Conv2d(width, width, 1)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Two (B, C, h, w) -> (B, C, h, w)."""
        return self.align(before - after)


class PlainTextDifference(nn.Module):
    """Replaces TDE: 1x1 convolution of the difference of the texts (section IV.E)."""

    def __init__(self, text_width: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.align = nn.Conv2d(text_width // width, width, 1)

    def forward(self, before: Tensor, after: Tensor, like: Tensor) -> list[Tensor]:
        """As :meth:`TextDifferenceEnhancement.forward`."""
        difference = as_tokens(before, self.width) - as_tokens(after, self.width)
        maps = [self.align(resize_like(difference[:, :, None], like))]
        for _ in range(SCALES - 1):
            maps.append(nn.functional.max_pool2d(maps[-1], 2))
        return maps


class Sum(nn.Module):
    """Replaces ITFF: TF = T + F (eq. 12)."""

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """Two (B, C, h, w) -> (B, C, h, w)."""
        return image + text


class MMChangeHead(nn.Module):
    """Everything after the image encoder: aggregation, IFR, TDE, ITFF and the decoder.

    Exported to ONNX as a whole.
    """

    def __init__(self, config: MMChangeConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.aggregate = FeatureAggregation(config.reduced, width)
        difference = ImageFeatureRefinement if config.ifr else PlainDifference
        self.refine = nn.ModuleList(difference(width) for _ in range(SCALES))
        if config.text:
            enhancement = TextDifferenceEnhancement if config.tde else PlainTextDifference
            self.text = enhancement(config.text_width, width)
            self.fuse = nn.ModuleList(
                ImageTextFeatureFusion(width) if config.itff else Sum() for _ in range(SCALES)
            )
        self.decoder = SupervisedAttentionDecoder(width)

    def forward(
        self, before: list[Tensor], after: list[Tensor], text_before: Tensor, text_after: Tensor
    ) -> list[Tensor]:
        """Compare two dates.

        Args:
            before: four maps (B, reduced[i], H / STRIDES[i], W / STRIDES[i]).
            after: the same for the later date.
            text_before: (B, text_width) embedding of the description, unit length or zero.
            text_after: the same for the later date.

        Returns:
            Logits (B, 1, H / STRIDES[i], W / STRIDES[i]); the first, finest one is the result.
        """
        first, second = self.aggregate(before), self.aggregate(after)
        fused = [
            refine(one, two) for refine, one, two in zip(self.refine, first, second, strict=True)
        ]
        if self.config.text:
            texts = self.text(text_before, text_after, first[0])
            fused = [f(i, t) for f, i, t in zip(self.fuse, fused, texts, strict=True)]
        return self.decoder(fused)


class MMChange(nn.Module):
    """Encoder and head."""

    def __init__(self, config: MMChangeConfig, weights: str | Path | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config, weights)
        self.head = MMChangeHead(config)

    def forward(
        self, before: Tensor, after: Tensor, text_before: Tensor, text_after: Tensor
    ) -> list[Tensor]:
        """Compare dates (B, 3, H, W), sides multiples of 32; see :meth:`MMChangeHead.forward`.

        Returns:
            Logits (B, 1, H, W) of four masks; the first, finest one is the result.
        """
        encoded = self.encoder(torch.cat([before, after]))
        count = before.shape[0]
        masks = self.head(
            [m[:count] for m in encoded], [m[count:] for m in encoded], text_before, text_after
        )
        return [resize_like(mask, before) for mask in masks]


def score_pair(
    encoder: Callable[[Tensor], list[Tensor]],
    head: Callable[..., list[Tensor]],
    dates: tuple[Tensor, Tensor],
    texts: tuple[Tensor, Tensor],
) -> Tensor:
    """Score pairs in both orders of their dates, encoding each image once.

    Args:
        encoder: encoder of :class:`MMChange`, in evaluation mode.
        head: head of the same model, or its ONNX file, see :mod:`.onnx`.
        dates: earlier and later images, (B, 3, H, W) float, 0 to 255.
        texts: embedded descriptions, (B, W).

    Returns:
        (2, B, H, W) in [0, 1]: in the given order, then with dates and texts swapped.
    """
    count = dates[0].shape[0]
    encoded = encoder(torch.cat(dates))
    exchanged = [torch.cat([m[count:], m[:count]]) for m in encoded]
    mask = head(encoded, exchanged, torch.cat(texts), torch.cat(texts[::-1]))[0]
    mask = resize_like(mask.to(dates[0].device).float(), dates[0])
    return mask[:, 0].sigmoid().unflatten(0, (2, count))


def load_trained(path: Path) -> MMChange:
    """Load weights of "changescribe train" for MMChange; see :func:`restored`."""
    return restored(path, lambda settings: MMChange(MMChangeConfig.from_settings(settings)))


def restored(path: Path, build: Callable[[dict[str, Any]], Network]) -> Network:
    """Return a model with weights of "changescribe train", in evaluation mode on the CPU.

    Args:
        path: the file.
        build: returns the model, frozen parts loaded, for the section ``model`` of the recipe.

    Raises:
        WeightsError: the file is not from such a run, or weights of a frozen part are missing.
        InputError: it was trained with settings unknown to this version.
    """
    tensors, metadata = loading.read_head(path)
    model = build(metadata["config"])
    fill_trained(model, tensors, path.name)
    return model.eval()


def fill_trained(model: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Copy trained weights into a model and keep its frozen parts, which the file lacks.

    Raises:
        WeightsError: the file belongs to another model.
    """
    own = trained(model)
    kept = {key: value for key, value in model.state_dict().items() if key not in own}
    loading.fill(model, {**kept, **tensors}, name)
