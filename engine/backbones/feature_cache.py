# SPDX-License-Identifier: GPL-3.0-or-later
"""A cache of the features of a frozen encoder, for training on slow computers."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from .vit import ViTTaps


class FeatureCache:
    """Wraps a frozen encoder and caches its features by image.

    Useful if the same crops recur without shifts or flips. It is not a module; the network
    registers the encoder itself.

    Args:
        encoder: in evaluation mode, without gradients.
        limit: bytes to keep; once they are used up, further images are not cached.
    """

    def __init__(self, encoder: ViTTaps, limit: int) -> None:
        self._encoder = encoder
        self._left = limit
        self._kept: dict[bytes, list[Tensor]] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """Return one map (B, C, h, w) per tap of images (B, 3, H, W), rounded to half precision."""
        rows = [self._features(image) for image in images]
        # To single precision first: autocast on the CPU does not support half precision.
        return [
            torch.stack([one.float() for one in part]).to(images.device)
            for part in zip(*rows, strict=True)
        ]

    def _features(self, image: Tensor) -> list[Tensor]:
        """Return features of an image (3, H, W) on the CPU, one map (C, h, w) per tap."""
        key = hashlib.blake2b(image.cpu().numpy().tobytes()).digest()
        if key in self._kept:
            return self._kept[key]
        # One by one: CPU kernels are prepared anew for every batch size.
        found = [part[0].half().cpu() for part in self._encoder(image[None])]
        size = sum(part.numel() * part.element_size() for part in found)
        if size <= self._left:
            self._kept[key] = found
            self._left -= size
        return found
