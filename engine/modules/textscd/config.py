# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of TextSCD, without torch so that a system can be described quickly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import InputError
from ..settings import read_settings
from ..texts import ModulesTexts

#: The six classes of SECOND, in the order of the label indices.
SECOND_CLASSES = ("water", "bare ground", "low vegetation", "trees", "buildings", "playgrounds")


@dataclass(frozen=True)
class TextSCDConfig:
    """Sizes of TextSCD, its ablations, and its training data.

    Attributes:
        classes: names as in prompts, in the order of the label indices.
        backbone: ``"resnet34"`` (the paper's), ``"resnet18"``, ``"resnet50"`` or
            ``"mobilenet_v2"``, whose weights come in a package.
        pretrained: start the backbone from ImageNet weights.
        text_width: D_t, channels of the word embeddings of ``text_tower``.
        text: use TGI; False is the paper's "Baseline".
        heads: number of attention heads; divides the channels of the backbone.
        text_tower: encoder of the captions, see :func:`..backbones.clip_text.build`.
        text_file: weights of a text tower that is not in the catalogue.
        text_source: source of captions in use, and in training if the data set has none; see
            :func:`...text_sources.create`.
        text_dropout: fraction of training pairs without their caption, so that the network also
            works without one.
    """

    classes: tuple[str, ...] = SECOND_CLASSES
    backbone: str = "resnet34"
    pretrained: bool = True
    text_width: int = 512
    text: bool = True
    heads: int = 8
    text_tower: str = "clip-vit-b-16-openai"
    text_file: str = ""
    text_source: dict[str, Any] = field(default_factory=dict)
    text_dropout: float = 0.3

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> TextSCDConfig:
        """Read the section ``model`` of a recipe, or the header of trained weights.

        Raises:
            InputError: a setting is unknown or out of its range.
        """
        config = read_settings("TextSCD", cls(), TINY, settings)
        config = replace(config, classes=tuple(str(name) for name in config.classes))
        if not 2 <= len(set(config.classes)) == len(config.classes) < 255:
            raise InputError(ModulesTexts.textscd_classes())
        if not 0 <= config.text_dropout <= 1:
            raise InputError(ModulesTexts.textscd_dropout())
        return config


#: For tests: needs no download and trains on a CPU within seconds.
TINY = TextSCDConfig(
    backbone="tiny", pretrained=False, text_width=128, heads=2, text_tower="shipped"
)
