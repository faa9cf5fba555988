# SPDX-License-Identifier: GPL-3.0-or-later
"""Outlines of objects at points by SAM 2, and the selection of good ones.

``sam2.sam2_image_predictor`` takes one image of one size at a time. Its steps are repeated here
with the modules of the model, with the same results.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..device import Device

#: Mean and deviation of ``sam2.utils.transforms.SAM2Transforms``, for values from 0 to 1.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
#: Minimum IoU that the model predicts for an outline.
MIN_QUALITY = 0.5
#: Minimum IoU of an outline at logits plus and minus the offset.
MIN_STABILITY = 0.9
STABILITY_OFFSET = 0.7
#: Outlines with a larger IoU are duplicates.
SAME_OUTLINE = 0.7
#: Maximum fraction of a tile covered by an object.
LARGEST_SHARE = 0.8
#: Points per batch.
_POINTS = 32


class Encoded(NamedTuple):
    """An image encoded by SAM 2.

    Attributes:
        features: (C, h, w) at stride 16, without the no-memory embedding.
        embedding: (1, C, h, w), the same with it, for the mask decoder.
        fine: maps at strides 4 and 8 for the mask decoder; empty if the model uses none.
    """

    features: Tensor
    embedding: Tensor
    fine: list[Tensor]


class Segmenter:
    """SAM 2 with point prompts."""

    def __init__(self, model: nn.Module, device: Device) -> None:
        self._model = model
        self._device = device
        self._mean = torch.tensor(_MEAN, device=device.name).view(1, 3, 1, 1)
        self._std = torch.tensor(_STD, device=device.name).view(1, 3, 1, 1)

    def encode(self, image: Tensor) -> Encoded:
        """Encode an image (3, H, W), 0 to 255, of any size."""
        side = self._model.image_size
        scaled = F.interpolate(
            image[None] / 255, (side, side), mode="bilinear", align_corners=False, antialias=True
        )
        with self._device.autocast():
            output = self._model.forward_image((scaled - self._mean) / self._std)
        *fine, features = output["backbone_fpn"][-self._model.num_feature_levels :]
        embedding = features
        if self._model.directly_add_no_mem_embed:
            embedding = features + self._model.no_mem_embed.reshape(1, -1, 1, 1)
        return Encoded(features[0].float(), embedding, fine)

    def outline(
        self, encoded: Encoded, points: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Return three candidate outlines per point: a part, the object, its surroundings.

        Args:
            encoded: the image.
            points: (N, 2) column and row in pixels of the image, N at least 1.
            size: height and width of the image.

        Returns:
            (3 N, m, m) logits, positive inside; and (3 N,) predicted IoU.
        """
        side = self._model.image_size
        scaled = points.float() * points.new_tensor([side / size[1], side / size[0]]).float()
        parts = [self._decode(encoded, some) for some in scaled.split(_POINTS)]
        masks, quality = (torch.cat(part) for part in zip(*parts))
        return masks.flatten(0, 1), quality.flatten()

    def _decode(self, encoded: Encoded, points: Tensor) -> tuple[Tensor, Tensor]:
        labels = torch.ones(len(points), 1, dtype=torch.int32, device=points.device)
        encoder, decoder = self._model.sam_prompt_encoder, self._model.sam_mask_decoder
        with self._device.autocast():
            sparse, dense = encoder(points=(points[:, None], labels), boxes=None, masks=None)
            masks, quality, _, _ = decoder(
                image_embeddings=encoded.embedding,
                image_pe=encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=True,
                repeat_image=True,
                high_res_features=encoded.fine or None,
            )
        return masks.float(), quality.float()


def stability(masks: Tensor) -> Tensor:
    """Return the IoU of each outline (M, h, w) at two thresholds of its logits; 0 if empty."""
    tight = (masks > STABILITY_OFFSET).flatten(1).sum(1)
    wide = (masks > -STABILITY_OFFSET).flatten(1).sum(1)
    return tight / wide.clamp(min=1)


def distinct(masks: Tensor, quality: Tensor) -> Tensor:
    """Return the indices of the best outlines without duplicates (mask NMS).

    Args:
        masks: (M, h, w) bool.
        quality: (M,) predicted IoU.

    Returns:
        (K,) by decreasing quality.
    """
    flat = masks.flatten(1).float()
    shared = flat @ flat.T
    area = flat.sum(1)
    overlap = shared / (area[:, None] + area[None] - shared).clamp(min=1)
    alike = (overlap > SAME_OUTLINE).cpu()
    kept: list[int] = []
    for index in quality.argsort(descending=True, stable=True).tolist():
        if not alike[index, kept].any():
            kept.append(index)
    return torch.tensor(kept, dtype=torch.long, device=masks.device)


def good_outlines(masks: Tensor, quality: Tensor, size: tuple[int, int]) -> Tensor:
    """Select good outlines and resize them to the image.

    Args:
        masks: (M, m, m) logits.
        quality: (M,) predicted IoU.
        size: height and width of the image.

    Returns:
        (K, H, W) bool, none of them empty or covering nearly the whole tile.
    """
    share = (masks > 0).flatten(1).float().mean(1)
    good = (quality >= MIN_QUALITY) & (stability(masks) >= MIN_STABILITY)
    good &= (share > 0) & (share <= LARGEST_SHARE)
    masks, quality = masks[good], quality[good]
    masks = masks[distinct(masks > 0, quality)]
    if not len(masks):
        return torch.zeros(0, *size, dtype=torch.bool, device=masks.device)
    fine = F.interpolate(masks[:, None], size, mode="bilinear", align_corners=False)[:, 0] > 0
    return fine[fine.flatten(1).any(1)]
