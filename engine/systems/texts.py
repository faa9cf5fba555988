# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the systems for the user."""

from __future__ import annotations

from ..messages import Message

_REINSTALL = "Install the plugin again."


class SystemsTexts:
    """Texts of :mod:`changescribe.engine.systems`."""

    cannot_add = Message(
        '"{name}" cannot be added as "{entry}".',
        "Choose a new name, and give the class as module:Class.",
    )
    unknown_system = Message('There is no system named "{name}".', "Choose one of: {names}.")
    keeps_nothing = Message("The system {name} keeps nothing of a pair.")
    no_sentences = Message(
        'The system "{name}" writes no sentences of its own.',
        "Choose another one, or leave the captions to the facts of the detection.",
    )
    not_loaded = Message("not loaded")
    on_onnxruntime = Message("{device}; {part} on onnxruntime")
    head = Message("head")
    fusion_and_decoder = Message("fusion and decoder")
    terms = Message("The terms of the training data and of the pretrained weights apply.")

    bundled_title = Message("Bundled - fast, no download")
    bundled_description = Message(
        "A small language-guided model that ships with the plugin and runs on the CPU."
    )
    coarse = Message(
        "Pixels are coarse, or of unknown size: kinds and directions are guesses. Where the "
        "bundled model cannot recognise objects by their shape, it finds ground whose colour does "
        "not follow from the other date."
    )
    too_little_data = Message(
        "Where fewer than 64 x 64 pixels have data, unusual colours cannot be measured: no change "
        "of coarse pixels is found there."
    )
    bundled_guess = Message(
        'The bundled model was not trained to find "{phrase}": the result is a guess. It knows '
        "{classes} and {last}."
    )
    no_onnxruntime = Message(
        "The package onnxruntime is not installed.",
        "Install it from the dependencies panel of ChangeScribe.",
    )
    model_damaged = Message("The bundled model is missing or damaged.", _REINSTALL)
    model_unreadable = Message("The bundled model cannot be read: {file}.", _REINSTALL)
    model_file_missing = Message("A file of the bundled model is missing: {file}.", _REINSTALL)
    model_file_damaged = Message("A file of the bundled model is damaged: {file}.", _REINSTALL)
    captioner_damaged = Message("The bundled captioner is damaged.", _REINSTALL)
    captioner_file = Message(
        "A file of the bundled captioner is missing or damaged: {file}.", _REINSTALL
    )
    cpu_1_thread = Message("CPU (1 thread): {reason}")
    cpu_threads = Message("CPU ({threads} threads): {reason}")
    as_chosen = Message("as chosen")
    cannot_load = Message(
        'The system "{name}" ({entry}) could not be loaded.',
        "Check that the module is on Python's path and that the class is a ChangeSystem.",
    )
    other_name = Message(
        'The system registered as "{name}" calls itself "{stated}".',
        "Register it under its own name.",
    )
    old_manifest = Message(
        "The model was built by an earlier version of ChangeScribe.",
        "Build it again: changescribe build release.",
    )
    no_cuda_provider = Message("this onnxruntime has no CUDA provider")
    cuda_failed = Message("the CUDA provider could not be started")

    zero_shot_name = Message("The zero-shot system")
    zero_shot_title = Message("Zero-shot - any noun, no training")
    zero_shot_description = Message(
        "Finds any object that you can name, with the published SAM 2.1 and CLIP. It needs a "
        "graphics card to be fast."
    )
    remote_clip_title = Message("Zero-shot with RemoteCLIP - any noun")
    remote_clip_description = Message(
        "The zero-shot system with RemoteCLIP, which has seen more aerial and satellite images "
        "than CLIP but locates objects less precisely (ViT-B/32)."
    )
    competing_only_object = Message(
        'The competing classes name only "{phrase}": the default list of the system was used.'
    )

    lgcd_title = Message("LG-CD - {encoder}")
    lgcd_description = Message(
        "Finds the object in the prompt with the frozen encoder {encoder}, the text tower {tower} "
        "and a head that you have trained."
    )
    lgcd_guess = Message(
        'This LG-CD was not trained to find "{phrase}": the result is a guess. It was trained on: '
        "{objects}."
    )
    other_encoder = Message(
        "The head of LG-CD was trained with another encoder than the one that its file names.",
        "Train it again.",
    )

    any_change = Message("any change")
    mmchange_title = Message("MMChange - {target}")
    mmchange_description = Message(
        "Finds {target}, which it was trained on, whatever the prompt. Compares the images and "
        "descriptions of them."
    )
    textscd_title = Message("TextSCD - from class to class")
    textscd_description = Message(
        "Finds the class of the ground before and after the change: {classes}."
    )
    textscd_no_class = Message(
        'This TextSCD has no class "{phrase}" and did not look for it. It knows {classes} and '
        "{last}."
    )
    writer_title = Message("{label} - change in sentences")
    writer_description = Message(
        "Marks {target}, whatever the prompt, and describes it in a sentence of the language model "
        "{language}."
    )
    sentences_by = Message("{device}; sentences by {language}")
    other_object = Message('This {label} was trained on {target} and did not look for "{phrase}".')
    not_alone = Message('This {label} marks any change, not only "{phrase}".')
    no_direction = Message(
        "This {label} knows no direction: what it marked may have appeared or been removed."
    )

    few_labels = Message("CLIP needs at least two labels to choose from.")
    tower_width = Message(
        "The text tower {tower} has embeddings of {width} numbers, the model expects {expected}.",
        "Set text_width in the section model of the recipe.",
    )
    folder_not_writable = Message(
        'The descriptions cannot be saved in "{folder}".', "Choose another folder for them."
    )
    texts_unreadable = Message(
        'The texts "{file}" cannot be read.',
        'Write them first: "changescribe build descriptions RECIPE FILE".',
    )
    no_text = Message(
        '"{file}" has no text for one of the images.',
        'Write it again with "changescribe build descriptions", or name another source for such '
        "images in the recipe, such as otherwise: {{source: bundled}}.",
    )
    vlm_in_reader = Message(
        "A vision-language model cannot use the GPU while another model is trained on it.",
        'Describe the images first ("changescribe build descriptions RECIPE FILE") and set '
        "text_source to {{source: file, file: FILE}}.",
    )
    no_setting = Message('The text source "{source}" has no such setting.')
    no_source = Message(
        'There is no text source "{source}".', "Choose one of: none, bundled, labels, vlm, file."
    )
