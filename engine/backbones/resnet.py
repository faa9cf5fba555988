# SPDX-License-Identifier: GPL-3.0-or-later
"""torchvision's ResNet as a five-stage feature pyramid."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..weights import loading
from ..weights.store import WeightsStore
from .mobilenet import IMAGENET_MEAN, IMAGENET_STD
from .texts import BackbonesTexts

#: Channels of the five stages by name: stem, then layers 1 to 4.
CHANNELS = {
    "resnet18": (64, 64, 128, 256, 512),
    "resnet34": (64, 64, 128, 256, 512),
    "resnet50": (64, 256, 512, 1024, 2048),
    "tiny": (8, 8, 12, 16, 16),
}


class ResNetPyramid(nn.Module):
    """The trunk of a ResNet, returning one feature map per stage.

    Args:
        name: one of :data:`CHANNELS`; ``"tiny"`` is a small network for tests.
        dilated: keep layers 3 and 4 at stride 8, with dilated instead of strided convolutions;
            the weights are the same.
        weights: file of torchvision's ImageNet weights; None for random weights.

    Raises:
        InputError: there is no such network.
        WeightsError: the weights do not fit.
    """

    def __init__(
        self, name: str = "resnet50", *, dilated: bool = False, weights: str | Path | None = None
    ) -> None:
        super().__init__()
        if name not in CHANNELS:
            raise InputError(BackbonesTexts.no_backbone(name=name, known=", ".join(CHANNELS)))
        self.channels = CHANNELS[name]
        self.strides = (2, 4, 8, 8, 8) if dilated else (2, 4, 8, 16, 32)
        network = _tiny() if name == "tiny" else _torchvision(name, weights)
        if dilated:
            _dilate(network.layer3, 2)
            _dilate(network.layer4, 4)
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu)
        self.pool = network.maxpool
        self.layers = nn.ModuleList(
            [network.layer1, network.layer2, network.layer3, network.layer4]
        )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) * 255, False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255, False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return five maps of images (B, 3, H, W), 0 to 255, at :attr:`strides`."""
        features = self.stem((images - self.mean) / self.std)
        pyramid = [features]
        features = self.pool(features)
        for layer in self.layers:
            features = layer(features)
            pyramid.append(features)
        return pyramid


def imagenet_weights(name: str, store: WeightsStore | None = None) -> Path | None:
    """Return the file of ImageNet weights for :class:`ResNetPyramid`; None if it needs none.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    if not name.startswith("resnet"):
        return None
    return (store or WeightsStore()).path(f"{name}-imagenet")


def _torchvision(name: str, weights: str | Path | None) -> nn.Module:
    if weights is not None:
        return loading.resnet(weights, name)
    from torchvision import models

    return models.get_model(name, weights=None)


def _tiny() -> nn.Module:
    """Return modules named like torchvision's, with a few thousand parameters."""
    network = nn.Module()
    stem, *widths = CHANNELS["tiny"]
    network.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm2d(stem)
    network.relu = nn.ReLU()
    network.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
    before = stem
    for number, width in enumerate(widths, 1):
        convolution = nn.Conv2d(
            before, width, 3, stride=1 if number == 1 else 2, padding=1, bias=False
        )
        setattr(
            network, f"layer{number}", nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
        )
        before = width
    return network


def _dilate(layer: nn.Module, dilation: int) -> None:
    """Replace the stride of a layer by dilation of its 3x3 convolutions.

    As ``replace_stride_with_dilation`` in torchvision, which supports bottlenecks only: the first
    convolution keeps the dilation of the previous layer.
    """
    first = True
    for module in layer.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        module.stride = (1, 1)
        if module.kernel_size == (3, 3):
            spread = dilation // 2 if first else dilation
            module.dilation = module.padding = (spread, spread)
            first = False
