# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the command line."""

from __future__ import annotations

from ..messages import Message


class CommandTexts:
    """Errors of the commands' arguments."""

    no_data_folder = Message(
        "The data folder was not found.", "Set --data or the variable CHANGESCRIBE_DATA."
    )
    no_torch = Message("Training, evaluation and builds need PyTorch, which is not installed here.")
    no_generator = Message("The scene generator needs the packages scipy and Pillow.")
    not_key_value = Message('"{text}" is not an option.', "Write it as KEY=VALUE.")
    no_setting = Message('There is no setting "{name}".', "Choose one of: {names}.")
    not_a_number = Message('The setting "{name}" cannot be "{value}".', "Give a number.")
    part_not_first = Message(
        '"{part}" has options of its own.', "Put it first: changescribe {command} {part} ..."
    )
    no_data_set = Message(
        "There is no data set to measure on.", "Name its layout, such as --layout levir_cd."
    )
    no_validation = Message(
        "There is no data set to measure on: the recipe of the run has no validation.",
        "Name a layout, such as --layout levir_cd.",
    )
    nothing_to_measure = Message(
        "There is nothing to measure.", "Give either --system NAME, or --run FOLDER of a training."
    )
    option_without_layout = Message(
        "--option belongs to a layout, and none is named.", "Add --layout and --folder."
    )
