# SPDX-License-Identifier: GPL-3.0-or-later
"""Convolutional layers shared by several networks."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SeparableConv(nn.Sequential):
    """Depthwise 3x3 + pointwise 1x1 convolution, batch norm, ReLU: cheap on a CPU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class TopDown(nn.Module):
    """Top-down pathway of a feature pyramid network: adds each map to the next finer one."""

    def __init__(self, width: int, levels: int = 4) -> None:
        super().__init__()
        self.smooth = nn.ModuleList(SeparableConv(width, width) for _ in range(levels))

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Merge maps (B, width, h_i, w_i), fine to coarse; return the finest one."""
        merged = self.smooth[-1](pyramid[-1])
        for features, smooth in zip(pyramid[-2::-1], list(self.smooth)[-2::-1], strict=True):
            merged = smooth(features + resize_like(merged, features))
        return merged


def resize_like(features: Tensor, like: Tensor) -> Tensor:
    """Resize bilinearly to the height and width of ``like``."""
    return F.interpolate(features, size=like.shape[2:], mode="bilinear", align_corners=False)


def trained(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict without frozen parts.

    Those are parameters without gradient, and the buffers of modules that have parameters but none
    with one.
    """
    frozen = tuple(f"{name}." for name, part in model.named_modules() if _is_frozen(part))
    fixed = {name for name, value in model.named_parameters() if not value.requires_grad}
    state = model.state_dict().items()
    return {n: v for n, v in state if n not in fixed and not n.startswith(frozen)}


def _is_frozen(module: nn.Module) -> bool:
    learns = [p.requires_grad for p in module.parameters()]
    return bool(learns) and not any(learns)
