# SPDX-License-Identifier: GPL-3.0-or-later
"""Small models for tests of the zero-shot system, random or rule-based."""

from __future__ import annotations

import torch
from torch import Tensor

from changescribe.engine.device import Device
from changescribe.engine.zeroshot import segment

CPU = Device("cpu", "float32", "CPU (test)")


def tiny_clip(**vision):
    """Return an open_clip CLIP with random weights: windows of 32 pixels, patches of 8."""
    from open_clip.model import CLIP, set_model_preprocess_cfg

    torch.manual_seed(0)
    model = CLIP(
        embed_dim=16,
        vision_cfg={
            "image_size": 32,
            "layers": 2,
            "width": 32,
            "head_width": 16,
            "patch_size": 8,
            **vision,
        },
        text_cfg={"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    )
    set_model_preprocess_cfg(
        model, {"size": (32, 32), "mean": (0.5, 0.4, 0.3), "std": (0.3, 0.2, 0.1)}
    )
    return model.eval()


def tiny_sam2(size: int = 64):
    """Return a SAM 2.1 with random weights and narrow layers, built from its own configuration."""
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam2_base import SAM2Base

    torch.manual_seed(1)
    trunk = Hiera(
        embed_dim=8,
        num_heads=1,
        stages=(1, 1, 2, 1),
        global_att_blocks=(3,),
        window_pos_embed_bkg_spatial_size=(7, 7),
    )
    neck = FpnNeck(
        PositionEmbeddingSine(32, normalize=True),
        32,
        [64, 32, 16, 8],
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    model = SAM2Base(
        ImageEncoder(trunk, neck, scalp=1),
        None,
        None,
        image_size=size,
        directly_add_no_mem_embed=True,
        use_high_res_features_in_sam=True,
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        use_multimask_token_for_obj_ptr=True,
    )
    return model.eval()


class PlantedClip:
    """Classifies red as building, blue as water, and dark as another class."""

    def __init__(self) -> None:
        self.phrases: list[str] = []

    def encode_text(self, phrases):
        self.phrases = list(phrases)
        return torch.eye(len(phrases))

    def fit(self, image: Tensor, texts: Tensor) -> list[Tensor]:
        coarse = torch.nn.functional.avg_pool2d(image[None] / 255, 4)[0]
        red, _, blue = coarse
        other = 1 - torch.maximum(red, blue)
        planes = {"building": red, "buildings": red, "water": blue, "grass": other}
        fit = torch.stack([0.2 * planes.get(name, torch.zeros_like(red)) for name in self.phrases])
        return [fit, fit]


class PlantedSegmenter:
    """Segments the given boxes (x0, y0, x1, y1) that contain a point; features are colours."""

    def __init__(self, *boxes) -> None:
        self.boxes = boxes
        self.encodings = 0

    def encode(self, image: Tensor) -> segment.Encoded:
        self.encodings += 1
        coarse = torch.nn.functional.adaptive_avg_pool2d(image[None] / 255, (16, 16))[0]
        features = torch.cat([coarse, 1 - coarse.sum(0, keepdim=True)])
        return segment.Encoded(features, features[None], [])

    def outline(self, encoded, points, size):
        masks, quality = [], []
        for x, y in points.tolist():
            inside = [b for b in self.boxes if b[0] <= x < b[2] and b[1] <= y < b[3]]
            mask = torch.full(tuple(size), -9.0)
            for x0, y0, x1, y1 in inside[:1]:
                mask[y0:y1, x0:x1] = 9.0
            masks.append(mask)
            quality.append(0.9)
        return torch.stack(masks), torch.tensor(quality)
