# SPDX-License-Identifier: GPL-3.0-or-later
"""The Hiera image encoder of SAM 2.1, from the package sam2.

Sizes, blocks and windows come from the package's configurations
``sam2/configs/sam2.1/sam2.1_hiera_{t,s,b+,l}.yaml`` (section ``model.image_encoder.trunk``), with
the defaults of ``sam2.modeling.backbones.hieradet.Hiera``. LG-CD's "multi-scale pyramid features"
are taken to be the stages of the trunk, before SAM 2's own pyramid network: only they have strides
4 to 32 and different widths, as the paper describes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..weights import loading
from ..weights.store import WeightsStore
from .mobilenet import IMAGENET_MEAN, IMAGENET_STD
from .names import HIERA


class HieraPyramid(nn.Module):
    """Hiera with the normalisation of ``sam2.utils.transforms.SAM2Transforms``."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        #: Channels of the stages, fine to coarse: 96 to 768 (tiny, small), 112 to 896, 144 to 1152.
        self.channels = tuple(trunk.channel_list[::-1])
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("mean", mean.view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1) * 255, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features of images (B, 3, H, W), 0 to 255, at strides 4, 8, 16, 32."""
        return self.trunk((images - self.mean) / self.std)


def build(name: str, pretrained: bool = True, store: WeightsStore | None = None) -> HieraPyramid:
    """Return a Hiera encoder, one of :data:`.names.HIERA`; see :func:`.frozen.build`.

    Raises:
        WeightsError: the weights are missing.
        DependencyError: sam2 is not installed.
    """
    if not pretrained:
        return HieraPyramid(loading.hiera_architecture(HIERA[name]))
    path = (store or WeightsStore()).path(name)
    return HieraPyramid(loading.hiera_trunk(path, HIERA[name]))
