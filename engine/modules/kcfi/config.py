# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of KCFI, without torch so that a system can be described quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ..settings import read_settings
from ..texts import ModulesTexts

#: What is subtracted from a warped date: itself, as in eq. 3, or the other date.
RESIDUALS = ("own", "other")
TAPS = 4


@dataclass(frozen=True)
class KcfiConfig:
    """Sizes of KCFI.

    The paper names neither its ViT nor its Qwen. The released program has CLIP's ViT-L/14 and
    Qwen2-1.5B-Instruct, a smaller one of each is the default here.

    Attributes:
        encoder: a ViT, see :func:`..backbones.vit.build`.
        taps: numbers of the blocks, from 1, whose output is used, four of them in ascending order;
            empty: after every fourth part of the blocks.
        train_encoder: the ViT learns too (table III: it should).
        residual: ``"own"``: eq. 3. It is zero wherever the flow is, whatever has changed there.
            ``"other"``: warped minus the other date, as in the released program.
        width: c, channels of the detection branch.
        language: the language model, see :func:`..language.load`.
        precision: of the language model, see :data:`..language.PRECISIONS`.
        tokens: side of the grid that the key change features are averaged to before the language
            model reads them, for slow computers; 0 leaves them as they are, as in the paper.
        standardise: a batch norm before the projector and one before the detection branch, with
            which they learn in hundreds of steps; the paper has none.
        beams: sentences that are kept while one is written.
        remember: megabytes for the features of a frozen encoder while it is trained, so that a
            crop which comes again, neither moved nor mirrored, is not encoded again.
        object: what the labels of change mark, as an object phrase; empty: any change.
        pretrained: start the encoder from its published weights; without them the model is only
            useful for measuring speed.
    """

    encoder: str = "clip-vit-b-16-openai"
    taps: tuple[int, ...] = ()
    train_encoder: bool = True
    residual: str = "own"
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
