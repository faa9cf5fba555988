# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of MMChange, without torch so that a system can be described quickly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...errors import InputError
from ..settings import read_settings
from ..texts import ModulesTexts


@dataclass(frozen=True)
class MMChangeConfig:
    """Sizes of MMChange, its ablations, and its training data.

    Attributes:
        backbone: ``"resnet18"``, ``"resnet34"``, ``"resnet50"`` (the paper's), or
            ``"mobilenet_v2"``, whose weights come in a package and whose channels are those of
            the reduced pyramid.
        pretrained: start the backbone from ImageNet weights.
        width: channels at each scale.
        reduced: channels of the backbone's maps at strides 4, 8, 16, 32 after reduction.
        text_width: length of the embeddings of ``text_tower``, a multiple of ``width``.
        text: use descriptions; without them there is neither TDE nor ITFF.
        ifr: use IFR, else a 1x1 convolution of the difference.
        tde: use TDE, else a 1x1 convolution of the difference of the embeddings.
        itff: use ITFF, else the sum of image and text.
        text_source: source of the descriptions, see :func:`...text_sources.create`.
        text_tower: encoder of the descriptions, see :func:`..backbones.clip_text.build`.
        text_file: weights of a text tower that is not in the catalogue.
        object: object phrase of the training labels; empty for any change.
        direction: learn that the object appeared, so that swapped dates score its removal. False,
            as in the paper, learns change in either direction.
    """

    backbone: str = "resnet50"
    pretrained: bool = True
    width: int = 64
    reduced: tuple[int, int, int, int] = (24, 32, 96, 320)
    text_width: int = 512
    text: bool = True
    ifr: bool = True
    tde: bool = True
    itff: bool = True
    text_source: dict[str, Any] = field(default_factory=dict)
    text_tower: str = "clip-vit-b-32-openai"
    text_file: str = ""
    object: str = "buildings"
    direction: bool = True

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> MMChangeConfig:
        """Read the section ``model`` of a recipe, or the header of trained weights.

        Raises:
            InputError: a setting is unknown, or the widths do not divide.
        """
        config = read_settings("MMChange", cls(), TINY, settings)
        if config.text_width % config.width or config.width % 8:
            raise InputError(
                ModulesTexts.mmchange_text_width(text_width=config.text_width, width=config.width)
            )
        if config.direction and not config.object:
            raise InputError(ModulesTexts.mmchange_direction())
        return config


#: For tests: needs no download and trains on a CPU within seconds.
TINY = MMChangeConfig(
    backbone="tiny",
    pretrained=False,
    width=16,
    reduced=(8, 8, 12, 16),
    text_width=128,
    text_tower="shipped",
)
