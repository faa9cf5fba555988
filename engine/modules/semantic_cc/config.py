# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of Semantic-CC, without torch so that a system can be described quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ..settings import read_settings
from ..texts import ModulesTexts

#: What the embeddings of an image replace in an instruction.
_IMAGE = "<image>"
#: Section IV-C: one of them at random in training, the first one in use.
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
    """Sizes of Semantic-CC; the defaults are the paper's, but for the language model.

    The paper's Vicuna-7B and MiniGPT-4's trained Q-Former are no entries of the catalogue: any
    causal language model does, and the Q-Former is trained.

    Attributes:
        encoder: the ViT of a SAM, or any of :func:`..backbones.vit.build`.
        globals: numbers of the blocks, from 1, behind which a filter of both dates stands; empty:
            after every fourth part, where SAM's layers of global attention are.
        size: side of the images that the encoder sees, in pixels; others are scaled to it.
        rank: of LoRA in the encoder and the language model; 0 adds none.
        alpha: its scale is alpha / rank.
        dropout: of what LoRA reads, and in the Q-Former.
        reduced: channels of change detection.
        units: N, of the neck.
        heads: of the attention in the neck.
        pyramid: channels of SimpleFPN's maps.
        queries: of the Q-Former.
        query_width: of the Q-Former.
        query_layers: of the Q-Former; every second one looks at the image.
        query_heads: of the Q-Former.
        language: the language model, see :func:`..language.load`.
        precision: of the language model, see :data:`..language.PRECISIONS`.
        beams: sentences that are kept while one is written; the paper takes the likeliest word.
        object: what the labels of change mark, as an object phrase; empty: any change.
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
