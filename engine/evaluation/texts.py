# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user about evaluation."""

from __future__ import annotations

from ..messages import Message


class EvaluationTexts:
    """Errors of this package; see :mod:`changescribe.engine.messages`."""

    no_captions = Message("There are no captions to evaluate.")
    needs_pycocoevalcap = Message(
        "The caption metrics need the package pycocoevalcap, which is not installed."
    )
    bad_scene_count = Message("{count} scenes cannot be evaluated.", "Choose 1 to {largest}.")
    bad_tile_size = Message("Tiles of {size} pixels are not possible.", "Use a multiple of 32.")
    weights_differ = Message('The weights of "{run}" do not fit its recipe.', "Train it again.")
    no_change_labels = Message("This data set has no labels of change.", "Choose another layout.")
    no_model = Message(
        '"{folder}" contains no model.', "Give a folder written by `changescribe build release`."
    )
    stage_saw_places = Message(
        "{recipe} builds on {stage}, which was trained on the places to leave out.",
        "Let it build on stages that were not trained on them.",
    )
    no_paper = Message('There are no tables of a paper "{paper}".', "Choose one of: {known}.")
    no_table = Message('{paper} has no table "{table}" here.', "Choose one of: {known}.")
    needs = Message("needs {what}")
    needs_files = Message("needs data or weights: {problem}")
    others = Message("published only")
    not_in_preset = Message("not in the preset {preset}")
    trained = Message("{steps} steps")
    replaced = Message("{part}: {ours} in place of {theirs}")
    run_started = Message("{method} on {dataset}: {run}")
    caption_convention = Message(
        "Sentences are measured as ids of words, as most remote-sensing programs do."
    )
