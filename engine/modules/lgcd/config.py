# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of LG-CD, without torch so that a system can be described quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ..settings import read_settings
from ..texts import ModulesTexts


@dataclass(frozen=True)
class LgcdConfig:
    """Sizes of LG-CD; the defaults are the paper's, with the smallest of its encoders.

    Attributes:
        encoder: see :func:`..backbones.frozen.build`.
        text: see :func:`..backbones.clip_text.build`.
        text_file: weights of a text tower that is not in the catalogue.
        width: d, channels of a date after its adapter; f_v has twice as many.
        heads: number of attention heads.
        objects: object phrases of the training labels, which "anything changed" looks for.
        tfam: False fuses the text in the decoder only (table III).
        vsfd: False replaces the decoder by a feature pyramid without text (table III).
        pretrained: load the published weights of the frozen parts; without them the model is only
            useful for measuring speed.
    """

    encoder: str = "sam2.1-hiera-tiny"
    text: str = "clip-vit-b-16-openai"
    text_file: str = ""
    width: int = 128
    heads: int = 8
    objects: tuple[str, ...] = ("buildings",)
    tfam: bool = True
    vsfd: bool = True
    pretrained: bool = True

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> LgcdConfig:
        """Read the section ``model`` of a recipe, or the header of trained weights.

        Raises:
            InputError: a setting is unknown, or the widths do not divide.
        """
        config = read_settings("LG-CD", cls(), TINY, settings)
        if config.width % 2 or 2 * config.width % config.heads:
            raise InputError(ModulesTexts.lgcd_heads(width=config.width, heads=config.heads))
        return config


#: For tests: needs no download and trains on a CPU within seconds.
TINY = LgcdConfig(encoder="tiny", text="shipped", width=16, heads=2)
