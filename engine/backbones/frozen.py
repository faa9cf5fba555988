# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen image encoders with four stages, by name: the foundation model, or what stands in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..weights.store import WeightsStore
from . import hiera, mobilenet
from .efficientnet import EfficientNetPyramid

#: Encoders that installable packages carry, for machines that reach no hub -> title.
SUBSTITUTES = {
    "mobilenet_v2": "MobileNetV2 (ImageNet)",
    "efficientnet_lite0": "EfficientNet-Lite0 (ImageNet)",
}
#: For tests: random weights, a few thousand of them.
TINY = "tiny"


class FrozenEncoder(nn.Module):
    """An encoder that training leaves as it is: no gradient, no new batch statistics.

    Args:
        pyramid: with ``channels`` and, for images (B, 3, H, W), maps at strides 4 to 32; a map
            at stride 2 before them is left out.
    """

    def __init__(self, pyramid: nn.Module) -> None:
        super().__init__()
        self.pyramid = pyramid.requires_grad_(False).eval()
        self.channels: tuple[int, ...] = tuple(pyramid.channels[-4:])

    def train(self, mode: bool = True) -> FrozenEncoder:
        """Stay in evaluation mode, whatever is asked."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features of images.

        Args:
            images: (B, 3, H, W) float, 0 to 255, H and W multiples of 32.

        Returns:
            Four maps (B, C_i, H/s, W/s) with strides s = 4, 8, 16, 32, without gradient.
        """
        return self.pyramid(images)[-4:]


def names() -> tuple[str, ...]:
    """Return the names that :func:`build` knows, but for the one of the tests."""
    return (*hiera.SIZES, *SUBSTITUTES)


def title(name: str) -> str:
    """Return an encoder's name for the user, such as "SAM 2.1 Hiera tiny"."""
    if name in hiera.SIZES:
        return WeightsStore().entry(name).title
    return SUBSTITUTES.get(name, name)


def build(name: str, pretrained: bool = True, store: WeightsStore | None = None) -> FrozenEncoder:
    """Return a frozen encoder.

    Args:
        name: one of :func:`names`, or :data:`TINY`.
        pretrained: False leaves the weights random, which is good for measuring only.
        store: of the weights of SAM 2.1; None is the usual place.

    Raises:
        InputError: there is no such encoder.
        WeightsError: the weights of SAM 2.1 are missing.
        DependencyError: a package is missing.
    """
    if name in hiera.SIZES:
        pyramid: nn.Module = hiera.build(name, pretrained, store)
    elif name == "efficientnet_lite0":
        pyramid = EfficientNetPyramid(pretrained)
    elif name in {"mobilenet_v2", TINY}:
        pyramid = mobilenet.build(name, pretrained)
    else:
        raise InputError(
            f'There is no image encoder named "{name}".', f"Choose one of: {', '.join(names())}."
        )
    return FrozenEncoder(pyramid)
