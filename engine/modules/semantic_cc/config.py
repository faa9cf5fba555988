# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of Semantic-CC, without torch so that a system can be described quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ..settings import read_settings
from ..texts import ModulesTexts

#: Stands for the embeddings of an image in an instruction.
_IMAGE = "<image>"
#: Section IV-C: drawn at random in training; the first one is used for inference.
INSTRUCTIONS = tuple(
    f"{_IMAGE} {text}"
    for text in (
        "Describe the difference between the new remote sensing image and the old one in detail.",
        "What is the main change between the two remote sensing scenes? Describe it in detail.",
        (
            "Please provide a detailed description of the difference between these two remote "
            "sensing pictures."
        ),
        (
            "Can you describe what has been changed between these two remote sensing pictures for "
            "me?"
        ),
    )
)


@dataclass(frozen=True)
class SemanticCcConfig:
    """Sizes of Semantic-CC; the defaults are the paper's, except for the language model.

    The paper's Vicuna-7B and MiniGPT-4's trained Q-Former are not in the catalogue. Any causal
    language model can be used, and the Q-Former is trained.

    Attributes:
        encoder: ViT of a SAM, or any of :func:`..backbones.vit.build`.
        globals: numbers of the blocks, from 1, followed by a filter of both dates; empty for after
            each quarter, where SAM has its layers of global attention.
        size: side in pixels that images are resized to for the encoder.
        rank: rank of LoRA in the encoder and the language model; 0 for no LoRA.
        alpha: LoRA is scaled by alpha / rank.
        dropout: rate at the input of LoRA, and in the Q-Former.
        reduced: channels of change detection.
        units: N, number of units of the neck.
        heads: number of attention heads in the neck.
        pyramid: channels of SimpleFPN's maps.
        queries: number of queries of the Q-Former.
        query_width: channels of the Q-Former.
        query_layers: number of layers of the Q-Former; every second one attends to the image.
        query_heads: number of attention heads of the Q-Former.
        language: language model, see :func:`..language.load`.
        precision: of the language model, see :data:`..language.PRECISIONS`.
        beams: number of beams; the paper decodes greedily.
        object: object phrase of the labels of change; empty for any change.
        pretrained: start the encoder from its published weights; without them the model is only
            useful for measuring speed.
    """

    encoder: str = "sam-vit-l"
    globals: tuple[int, ...] = ()
    size: int = 256
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    reduced: int = 256
    units: int = 3
    heads: int = 8
    pyramid: int = 512
    queries: int = 32
    query_width: int = 768
    query_layers: int = 12
    query_heads: int = 12
    language: str = "qwen2.5-0.5b-instruct"
    precision: str = "auto"
    beams: int = 1
    object: str = "buildings"
    pretrained: bool = True

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> SemanticCcConfig:
        """Read the section ``model`` of a recipe, or the header of trained weights.

        Raises:
            InputError: a setting is unknown or out of its range.
        """
        config = read_settings("Semantic-CC", cls(), TINY, settings)
        if list(config.globals) != sorted(set(config.globals)):
            raise InputError(ModulesTexts.semantic_cc_globals())
        if config.query_width % config.query_heads or config.reduced % config.heads:
            raise InputError(ModulesTexts.semantic_cc_heads())
        return config


#: For tests: needs no download and trains on a CPU within seconds.
TINY = SemanticCcConfig(
    encoder="tiny",
    size=32,
    rank=2,
    alpha=4,
    dropout=0.0,
    reduced=8,
    units=1,
    heads=2,
    pyramid=8,
    queries=4,
    query_width=16,
    query_layers=2,
    query_heads=2,
    language="tiny",
    pretrained=False,
)
