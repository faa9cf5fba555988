# SPDX-License-Identifier: GPL-3.0-or-later
"""A frozen encoder that computes no image twice, for training on a slow computer."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from .vit import ViTTaps


class FeatureCache:
    """Answers for a frozen encoder, and keeps the features of every image that it has seen.

    It pays where the same crops come again and again, neither moved nor mirrored. It is no
    module: what trains registers the encoder itself.

    Args:
        encoder: in evaluation mode, without gradient.
        limit: bytes to keep; images that come later are computed each time.
    """

    def __init__(self, encoder: ViTTaps, limit: int) -> None:
        self._encoder = encoder
        self._left = limit
        self._kept: dict[bytes, list[Tensor]] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """Return features of images (B, 3, H, W), rounded to half precision each time.

        Returns:
            A map (B, C, h, w) per tap.
        """
        rows = [self._features(image) for image in images]
        # First single: a CPU's autocast knows nothing of half precision.
        return [
            torch.stack([one.float() for one in part]).to(images.device)
            for part in zip(*rows, strict=True)
        ]

    def _features(self, image: Tensor) -> list[Tensor]:
        """Return features of an image (3, H, W) on the CPU, a map (C, h, w) per tap."""
        key = hashlib.blake2b(image.cpu().numpy().tobytes()).digest()
        if key in self._kept:
            return self._kept[key]
        # One by one: a batch of another size each time makes a CPU prepare itself anew.
        found = [part[0].half().cpu() for part in self._encoder(image[None])]
        size = sum(part.numel() * part.element_size() for part in found)
        if size <= self._left:
            self._kept[key] = found
            self._left -= size
        return found
