# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the frozen image encoders, for what must not import torch to name them."""

from __future__ import annotations

from ..weights import catalogue

#: Encoders of SAM 2.1, by their entry in the catalogue of weights -> size.
HIERA = {
    "sam2.1-hiera-tiny": "tiny",
    "sam2.1-hiera-small": "small",
    "sam2.1-hiera-base-plus": "base_plus",
    "sam2.1-hiera-large": "large",
}
#: Encoders of the ablation ("ResNet + FPN"), the same way -> torchvision's name.
RESNETS = {f"resnet{depth}-imagenet": f"resnet{depth}" for depth in (18, 34, 50)}
#: Encoders that installable packages carry, for machines that reach no hub -> title.
SUBSTITUTES = {
    "mobilenet_v2": "MobileNetV2 (ImageNet)",
    "efficientnet_lite0": "EfficientNet-Lite0 (ImageNet)",
}
#: For tests: random weights, a few thousand of them.
TINY = "tiny"


def encoders() -> tuple[str, ...]:
    """Return the names of all encoders, but for the one of the tests."""
    return (*HIERA, *RESNETS, *SUBSTITUTES)


def title(name: str) -> str:
    """Return the name of an encoder or text tower for the user, such as "SAM 2.1 Hiera tiny"."""
    known = catalogue.entries().get(name)
    return known.title if known else {**SUBSTITUTES, "shipped": "of ChangeScribe"}.get(name, name)
