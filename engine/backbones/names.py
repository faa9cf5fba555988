# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the frozen image encoders, without importing torch."""

from __future__ import annotations

from ..weights import catalogue

#: Sizes of SAM 2.1's encoders by catalogue entry.
HIERA = {
    "sam2.1-hiera-tiny": "tiny",
    "sam2.1-hiera-small": "small",
    "sam2.1-hiera-base-plus": "base_plus",
    "sam2.1-hiera-large": "large",
}
#: torchvision's names of the encoders of the ablation ("ResNet + FPN") by catalogue entry.
RESNETS = {f"resnet{depth}-imagenet": f"resnet{depth}" for depth in (18, 34, 50)}
#: Titles of encoders whose weights come in installable packages.
SUBSTITUTES = {
    "mobilenet_v2": "MobileNetV2 (ImageNet)",
    "efficientnet_lite0": "EfficientNet-Lite0 (ImageNet)",
}
#: For tests: a few thousand random weights.
TINY = "tiny"


def encoders() -> tuple[str, ...]:
    """Return the names of all encoders, except for :data:`TINY`."""
    return (*HIERA, *RESNETS, *SUBSTITUTES)


def title(name: str) -> str:
    """Return the title of an encoder or text tower, such as "SAM 2.1 Hiera tiny"."""
    known = catalogue.entries().get(name)
    return known.title if known else {**SUBSTITUTES, "shipped": "of ChangeScribe"}.get(name, name)
