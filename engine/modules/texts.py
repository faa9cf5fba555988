# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user about the settings and files of the networks."""

from __future__ import annotations

from ..messages import Message

_EXPORT_AGAIN = "Export it again, or delete it: the head then runs on PyTorch."


class ModulesTexts:
    """Errors of this package; see :mod:`changescribe.engine.messages`."""

    unknown_setting = Message("{title} has no setting named {names}.")

    lgcd_heads = Message("LG-CD cannot divide 2 x {width} channels among {heads} heads.")

    mmchange_text_width = Message(
        "MMChange cannot divide a text embedding of {text_width} values into rows of {width}, or "
        "those into 8 groups."
    )
    mmchange_direction = Message(
        "MMChange learns the direction of an object: name the object, or switch the direction off."
    )

    textscd_classes = Message("TextSCD needs at least two classes with different names.")
    textscd_dropout = Message("The text dropout of TextSCD must lie between 0 and 1.")
    textscd_tower = Message(
        "The word embeddings of the text tower {tower} have {found} channels, but the model was "
        "built for {expected}.",
        "Set text_width in the section model of the recipe.",
    )

    kcfi_taps = Message("KCFI needs {count} taps in ascending order.")
    kcfi_residual = Message('KCFI has no residual "{residual}".', "Choose one of: {known}.")

    semantic_cc_globals = Message("Semantic-CC needs its global layers in ascending order.")
    semantic_cc_heads = Message(
        "A width of Semantic-CC is not a multiple of its number of attention heads."
    )
    semantic_cc_encoder = Message(
        "The encoder has {channels} channels, which is not a multiple of {heads} heads."
    )

    text_tower_unreadable = Message(
        "The text tower cannot be read: {path}.", "Train it with the recipe text_tower.yaml."
    )
    onnx_unreadable = Message('"{file}" cannot be read.', _EXPORT_AGAIN)
    onnx_outdated = Message('"{file}" was made from other weights.', _EXPORT_AGAIN)
