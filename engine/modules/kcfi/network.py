# SPDX-License-Identifier: GPL-3.0-or-later
"""KCFI (Yang et al., 2024): key change features for a frozen language model and a mask.

Names and equation numbers are those of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import vit
from ...backbones.causal import IMAGE, LanguageModel
from ...backbones.feature_cache import FeatureCache
from ...backbones.vit import ViTTaps
from ...weights.store import WeightsStore
from ..mmchange.network import restored
from .config import KcfiConfig

#: Table I: drawn at random in training; the first one is used for inference.
INSTRUCTIONS = (
    (
        f"{IMAGE} This represents the change features of geographic targets extracted from remote "
        "sensing images. Does this feature contain any information about changes in the geographic "
        "targets? If so, please describe the change information."
    ),
    (
        f"{IMAGE} These are the change characteristics of geographic targets derived from remote "
        "sensing images. Do these features reflect any changes in the geographic targets? If yes, "
        "please provide details on the changes."
    ),
    (
        f"{IMAGE} These are the geographic target change features extracted from remote sensing "
        "images. Do these features indicate any changes in the geographic targets? If so, please "
        "describe the changes."
    ),
    (
        f"{IMAGE} This is the change information of geographic targets extracted from remote "
        "sensing images. Does this information reveal any changes in the geographic targets? If "
        "so, please describe the changes."
    ),
    (
        f"{IMAGE} Here are the change features of geographic targets pulled from remote "
        "sensing images. Do these features suggest any changes in the geographic targets? If they "
        "do, please describe the nature of those changes."
    ),
)


class KcfiFeatures(NamedTuple):
    """Output of one forward pass.

    Attributes:
        key: F_kc (B, 4C, h, w), the key change features of all taps (eq. 3).
        change: Y (B, 2, H, W) logits of no change and of change (eq. 7).
    """

    key: Tensor
    change: Tensor


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """W (eq. 2): sample features bilinearly where the flow points.

    Args:
        features: (B, C, h, w).
        flow: (B, 2, h, w), to the right and down, in pixels of the features.

    Returns:
        (B, C, h, w); positions outside take the nearest border.
    """
    height, width = features.shape[2:]
    # Positions in single precision, whatever that of the features.
    right, down = flow.float().unbind(1)
    x = right + torch.arange(width, device=flow.device)
    y = down + torch.arange(height, device=flow.device)[:, None]
    # grid_sample counts from -1 to 1 across the whole map.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    moved = F.grid_sample(
        features.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return moved.to(features.dtype)


class FlowEstimator(nn.Module):
    """The flow estimation network (fig. 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        both = 2 * channels
        self.layers = nn.Sequential(
            nn.Conv2d(both, both, 5, padding=2, groups=both, bias=False),
            nn.InstanceNorm2d(both),
            nn.GELU(),
            nn.Conv2d(both, 4, 1),
        )

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Return the flows F_1 and F_2, (B, 2, h, w) each, for features (B, C, h, w)."""
        first, second = self.layers(torch.cat([before, after], dim=1)).chunk(2, dim=1)
        return first, second


class KeyChangePerceiver(nn.Module):
    """The key change perception module for one tap (eqs. 2 and 3).

    Eq. 3 as printed subtracts a date's own features from its warped ones (``"own"``), which hides
    every change that moves nothing. By default the other date's are subtracted.
    """

    def __init__(self, channels: int, residual: str = "other") -> None:
        super().__init__()
        self.flow = FlowEstimator(channels)
        self.residual = residual

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Return F_kc (B, C, h, w), non-negative, for features of both dates (B, C, h, w)."""
        flows = self.flow(before, after)
        aligned = warp(before, flows[0]), warp(after, flows[1])  # eq. 2
        originals = (before, after) if self.residual == "own" else (after, before)
        residuals = [part - original for part, original in zip(aligned, originals, strict=True)]
        return (residuals[0] - residuals[1]).abs()  # eq. 3


class ChangeFeatureExtractor(nn.Module):
    """One perceiver per tap, in parallel (fig. 3)."""

    def __init__(self, channels: int, taps: int, residual: str = "other") -> None:
        super().__init__()
        self.perceivers = nn.ModuleList(KeyChangePerceiver(channels, residual) for _ in range(taps))

    def forward(self, before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
        """Return F_kc of all taps, (B, 4C, h, w), for maps (B, C, h, w) per tap and date."""
        pairs = zip(self.perceivers, before, after, strict=True)
        return torch.cat([perceive(one, two) for perceive, one, two in pairs], dim=1)


class Projector(nn.Module):
    """f_linear (eq. 4): key change features to embeddings of the language model.

    Args:
        channels: 4C.
        width: length of the language model's embeddings.
        tokens: side of the grid that the features are averaged to; 0 for no averaging.
        standardise: see :class:`.kcfi_config.KcfiConfig`.
    """

    def __init__(
        self, channels: int, width: int, tokens: int = 0, *, standardise: bool = False
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels) if standardise else nn.Identity()
        self.linear = nn.Linear(channels, width)
        self.tokens = tokens

    def forward(self, key: Tensor) -> Tensor:
        """Return F_v2l (B, N, width) for F_kc (B, 4C, h, w); N is h w, or tokens squared."""
        if self.tokens:
            key = F.adaptive_avg_pool2d(key, self.tokens)
        return self.linear(self.norm(key).flatten(2).transpose(1, 2))


class ChangeDetectionBranch(nn.Module):
    """Predicts a mask from key change features (eqs. 5 to 7).

    Args:
        channels: 4C.
        width: c.
        standardise: see :class:`.kcfi_config.KcfiConfig`.
    """

    def __init__(self, channels: int, width: int, *, standardise: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels) if standardise else nn.Identity()
        self.linear = nn.Linear(channels, width)
        self.classify = nn.Conv2d(width, 2, 1)

    def forward(self, key: Tensor, height: int, width: int) -> Tensor:
        """Return Y (B, 2, height, width) for F_kc (B, 4C, h, w)."""
        narrow = self.linear(self.norm(key).movedim(1, -1)).movedim(-1, 1)  # eq. 5
        # Eq. 6
        wide = F.interpolate(narrow, (height, width), mode="bilinear", align_corners=False)
        return self.classify(wide)  # eq. 7


class Kcfi(nn.Module):
    """KCFI (fig. 2).

    Attributes:
        language: language model with its tokenizer; its network is registered as ``network``.
    """

    def __init__(self, config: KcfiConfig, encoder: ViTTaps, language: LanguageModel) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder if config.train_encoder else encoder.requires_grad_(False)
        remembers = config.remember and not config.train_encoder
        self._cache = FeatureCache(encoder, config.remember * 1_000_000) if remembers else None
        channels, taps = encoder.channels, len(encoder.taps)
        self.extractor = ChangeFeatureExtractor(channels, taps, config.residual)
        self.projector = Projector(
            taps * channels, language.width, config.tokens, standardise=config.standardise
        )
        self.detector = ChangeDetectionBranch(
            taps * channels, config.width, standardise=config.standardise
        )
        self.language = language
        self.network = language.model
        self.train()

    def train(self, mode: bool = True) -> Kcfi:
        """Keep the frozen parts in evaluation mode."""
        super().train(mode)
        self.network.eval()
        if not self.config.train_encoder:
            self.encoder.eval()
        return self

    def forward(self, before: Tensor, after: Tensor) -> KcfiFeatures:
        """Compare two dates, each (B, 3, H, W), 0 to 255."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.train_encoder):
            taps = (self._cache or self.encoder)(torch.cat([before, after]))  # eq. 1
        dates = zip(*(tap.chunk(2) for tap in taps), strict=True)
        key = self.extractor(*dates)
        return KcfiFeatures(key, self.detector(key, *before.shape[2:]))


def build(config: KcfiConfig, language: LanguageModel, store: WeightsStore | None = None) -> Kcfi:
    """Build KCFI for training.

    Raises:
        InputError: there is no such encoder.
        WeightsError: its weights are missing.
    """
    encoder = vit.build(config.encoder, config.taps, pretrained=config.pretrained, store=store)
    return Kcfi(config, encoder, language)


def load_trained(path: Path, language: LanguageModel, store: WeightsStore | None = None) -> Kcfi:
    """Load weights of "changescribe train" for KCFI; see :func:`restored`."""

    def start(settings: dict[str, Any]) -> Kcfi:
        config = KcfiConfig.from_settings(settings)
        # A trained encoder is in the file. The cache is of no use for inference.
        pretrained = config.pretrained and not config.train_encoder
        return build(replace(config, pretrained=pretrained, remember=0), language, store)

    return restored(path, start)
