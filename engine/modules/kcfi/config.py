# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of KCFI, without torch so that a system can be described quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ..settings import read_settings
from ..texts import ModulesTexts

#: Date subtracted from a warped date: the other one, or the same one as eq. 3 is printed.
RESIDUALS = ("other", "own")
TAPS = 4


@dataclass(frozen=True)
class KcfiConfig:
    """Sizes of KCFI.

    The paper names neither its ViT nor its Qwen. The released code has CLIP's ViT-L/14 and
    Qwen2-1.5B-Instruct; the defaults here are smaller models of both kinds.

    Attributes:
        encoder: a ViT, see :func:`..backbones.vit.build`.
        taps: numbers of four blocks, from 1, in ascending order; empty for after each quarter.
        train_encoder: train the ViT too (better, by table III).
        residual: ``"other"`` for warped minus the other date, as in the released code; ``"own"``
            for eq. 3 as printed, which is zero wherever the flow is, even where the ground changed.
        width: c, channels of the detection branch.
        language: language model, see :func:`..language.load`.
        precision: of the language model, see :data:`..language.PRECISIONS`.
        tokens: side of the grid that the key change features are averaged to for the language
            model, for slow computers; 0 for no averaging, as in the paper.
        standardise: add a batch norm before the projector and before the detection branch, with
            which they train in hundreds of steps; the paper has none.
        beams: number of beams of the language model.
        remember: megabytes to cache the features of a frozen encoder in training; useful if the
            same crops recur without shifts or flips.
        object: object phrase of the labels of change; empty for any change.
        pretrained: start the encoder from its published weights; without them the model is only
            useful for measuring speed.
    """

    encoder: str = "clip-vit-b-16-openai"
    taps: tuple[int, ...] = ()
    train_encoder: bool = True
    residual: str = "other"
    width: int = 256
    language: str = "qwen2-0.5b-instruct"
    precision: str = "auto"
    tokens: int = 0
    standardise: bool = False
    beams: int = 1
    remember: int = 0
    object: str = "buildings"
    pretrained: bool = True

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> KcfiConfig:
        """Read the section ``model`` of a recipe, or the header of trained weights.

        Raises:
            InputError: a setting is unknown or out of its range.
        """
        config = read_settings("KCFI", cls(), TINY, settings)
        if config.taps and (len(config.taps) != TAPS or sorted(set(config.taps)) != [*config.taps]):
            raise InputError(ModulesTexts.kcfi_taps(count=TAPS))
        if config.residual not in RESIDUALS:
            known = ", ".join(RESIDUALS)
            raise InputError(ModulesTexts.kcfi_residual(residual=config.residual, known=known))
        return config


#: For tests: needs no download and trains on a CPU within seconds.
TINY = KcfiConfig(encoder="tiny", width=8, language="tiny", pretrained=False)
