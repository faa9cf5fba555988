# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the command line; the help of options stands in the parsers."""

from __future__ import annotations

from ..messages import Message


class CliTexts:
    """Errors of arguments, notes and printed lines; see :mod:`changescribe.engine.messages`."""

    # Detection

    bad_extent = Message(
        '"{extent}" is not an extent.',
        "Give xmin,ymin,xmax,ymax and, if it differs from that of BEFORE, the CRS.",
    )
    empty_extent = Message(
        'The extent "{extent}" is empty.',
        "Give xmin,ymin,xmax,ymax and, if it differs from that of BEFORE, the CRS.",
    )
    note = Message("Note: {warning}")
    run = Message("{explanation} - on {device} - {seconds:.1f} s")
    written = Message("Written: {path}")
    stopping = Message(
        "\nStopping; finished results are kept. Press Ctrl+C again to stop immediately."
    )
    reading = Message("reading")
    loading = Message("loading")
    detecting = Message("detecting")
    resampling = Message("resampling")
    outlining = Message("outlining")
    writing = Message("writing")
    captioning = Message("captioning")
    done = Message("done")
    tile = Message(" - tile {number} of {count}")
    seconds_left = Message(" - {seconds:.0f} s left")
    scene = Message("scene {number} of {count}")

    # Boxes

    boxes_unreadable = Message(
        'The boxes "{path}" cannot be read.',
        "The file holds a list of [x0, y0, x1, y1] in pixels of BEFORE.",
    )
    not_boxes = Message(
        '"{path}" is not a list of boxes.',
        "The file holds a list of [x0, y0, x1, y1] in pixels of BEFORE.",
    )
    box_not_numbers = Message(
        "The box {box} does not consist of numbers.",
        "Give boxes as [x0, y0, x1, y1] in pixels of BEFORE.",
    )
    box_empty = Message(
        "The box {box} is empty.", "Give boxes as [x0, y0, x1, y1] in pixels of BEFORE."
    )
    box_outside = Message(
        "The box {box} lies outside the raster of {width} x {height} pixels.",
        "Give boxes as [x0, y0, x1, y1] in pixels of BEFORE.",
    )
    box_cut = Message(
        "The box {box} reaches beyond the raster of {width} x {height} pixels: only the part "
        "inside is described."
    )

    # Models

    system = Message("{name}: {title}\n  {description}\n  terms: {terms}")
    needs = Message("  needs: {id} ({size}), {state}")
    weights_folder = Message("Folder: {folder}")
    no_licence = Message("no licence stated")
    import_only = Message("import only")
    fetching = Message("{title}, {size}. Terms: {terms}")
    no_terms = Message("none stated")
    removed = Message("Removed: {ids}")
    nothing = Message("nothing")
    nothing_to_verify = Message("There are no weights to verify.")
    sha256 = Message("SHA-256 {sha256}")
    computed_sha256 = Message("SHA-256 {sha256} (computed; none is published)")
    loaded = Message("{part}, {done} of {total}")

    # Training, evaluation, builds

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
    remembered = Message(
        "{count} pairs are remembered in {folder}: {size:.0f} of at most {limit:.0f} MB."
    )
    forgotten = Message("{count} pairs are forgotten.")
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
    no_table_named = Message(
        "No table of a paper is named.",
        "changescribe reproduce --list lists them, such as: changescribe reproduce lg-cd III",
    )
