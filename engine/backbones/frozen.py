# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen image encoders with four stages, by name: SAM 2.1 or a substitute."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..weights.store import WeightsStore
from . import hiera, mobilenet
from .efficientnet import EfficientNetPyramid
from .names import HIERA, RESNETS, TINY, encoders
from .resnet import ResNetPyramid
from .texts import BackbonesTexts


class FrozenEncoder(nn.Module):
    """An encoder without gradients and without updates of batch statistics.

    Args:
        pyramid: module with ``channels`` that returns maps at strides 4 to 32 of images
            (B, 3, H, W); a map at stride 2 before them is dropped.
    """

    def __init__(self, pyramid: nn.Module) -> None:
        super().__init__()
        self.pyramid = pyramid.requires_grad_(False).eval()
        self.channels: tuple[int, ...] = tuple(pyramid.channels[-4:])

    def train(self, mode: bool = True) -> FrozenEncoder:
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features of images (B, 3, H, W), 0 to 255, at strides 4 to 32; no gradient."""
        return self.pyramid(images)[-4:]


def build(name: str, pretrained: bool = True, store: WeightsStore | None = None) -> FrozenEncoder:
    """Return a frozen encoder.

    Args:
        name: one of :func:`.names.encoders`, or :data:`.names.TINY`.
        pretrained: False for random weights, which are only useful for measuring speed.
        store: store of weights; None for the default store.

    Raises:
        InputError: there is no such encoder.
        WeightsError: those weights are missing.
        DependencyError: a package is missing.
    """
    if name in HIERA:
        pyramid: nn.Module = hiera.build(name, pretrained, store)
    elif name in RESNETS:
        weights = (store or WeightsStore()).path(name) if pretrained else None
        pyramid = ResNetPyramid(RESNETS[name], weights=weights)
    elif name == "efficientnet_lite0":
        pyramid = EfficientNetPyramid(pretrained)
    elif name == "mobilenet_v2":
        pyramid = mobilenet.build(name, pretrained)
    elif name == TINY:
        # Frozen weights are not saved with the trained ones, so they must be reproducible.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            pyramid = mobilenet.build(name)
    else:
        raise InputError(BackbonesTexts.no_encoder(name=name, known=", ".join(encoders())))
    return FrozenEncoder(pyramid)
