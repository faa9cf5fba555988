# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptions of a recipe's images, made before the training and written to a file.

The readers of a training run are forks of a process that may already use the GPU, where a
vision-language model cannot run. Texts that were made elsewhere are matched with the images here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import InputError
from ..systems import text_sources
from ..systems.text_file import read_texts
from ..weights.files import write_text
from .pairs import open_pairs
from .pairs.base import Window, read_image
from .recipe import Recipe
from .texts import TrainingTexts

#: Systems that read descriptions: whether of a pair, in both orders, or of each image.
_OF_PAIRS = {"mmchange": False, "textscd": True}
#: Descriptions between two saves.
_SAVE_EVERY = 50


def describe(recipe: Recipe, data: Path, out: Path, given: Path | None = None) -> int:
    """Describe all images of a recipe's training and validation pairs; go on with an earlier file.

    Args:
        recipe: of MMChange or TextSCD; its ``text_source`` describes.
        data: folder that the data sets' folders are relative to.
        out: JSON file for ``text_source: {source: file, file: OUT}``.
        given: JSON file of texts made elsewhere, by file name: "A/1.png" for an image; for a pair,
            the name of its images is enough. Pairs with swapped dates get an empty text.

    Returns:
        The number of texts in the file.

    Raises:
        InputError: the system reads no descriptions, or an image has no text among the given ones.
    """
    if recipe.task not in _OF_PAIRS:
        known = ", ".join(_OF_PAIRS)
        raise InputError(TrainingTexts.reads_no_text(system=recipe.task, known=known))
    of_pairs = _OF_PAIRS[recipe.task]
    texts = read_texts(out) if out.exists() else {}
    names = _given(given) if given else None
    source = None
    scenes = list(_scenes(recipe, data, of_pairs=of_pairs))
    for number, (paths, swapped) in enumerate(tqdm(scenes, "texts", disable=None)):
        scene = [read_image(Path(path)) for path in paths]
        key = text_sources.content_key(scene)
        if key in texts:
            continue
        if names is not None:
            texts[key] = "" if swapped else _matching(names, paths)
        else:
            source = source or _source(recipe, of_pairs=of_pairs)
            texts[key] = source.describe(scene)
        if number % _SAVE_EVERY == 0:
            write_text(out, json.dumps({"texts": texts}))
    write_text(out, json.dumps({"texts": texts}, indent=1))
    return len(texts)


def _source(recipe: Recipe, *, of_pairs: bool) -> text_sources.TextSource:
    question = text_sources.PAIR_QUESTION if of_pairs else text_sources.IMAGE_QUESTION
    return text_sources.create(dict(recipe.model.get("text_source") or {}), question)


def _scenes(
    recipe: Recipe, data: Path, *, of_pairs: bool
) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Return the files of every scene once, and whether its dates are swapped."""
    seen = set()
    for spec in (*recipe.data, *([recipe.validation] if recipe.validation else [])):
        pairs = open_pairs(spec, data)
        for index in range(len(pairs)):
            images = pairs.read(index, Window(0, 0, 1, 1)).images
            # Dates are swapped in training, and TextSCD compares them in both orders.
            scenes = (images, images[::-1]) if of_pairs else ((image,) for image in images)
            for number, scene in enumerate(scenes):
                if scene not in seen:
                    seen.add(scene)
                    yield scene, of_pairs and number == 1


def _given(path: Path) -> dict[str, str]:
    """Read texts by file names."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(TrainingTexts.texts_by_name(file=path), details=repr(error)) from error
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise InputError(TrainingTexts.texts_by_name(file=path))
    return content


def _matching(names: dict[str, str], paths: tuple[str, ...]) -> str:
    """Return the text of an image or a pair."""
    path = Path(paths[0])
    parent = f"{path.parent.name}/"
    alone = () if len(paths) == 1 else (path.name, path.stem)
    for name in (str(path), parent + path.name, parent + path.stem, *alone):
        if name in names:
            return names[name]
    raise InputError(TrainingTexts.no_text_by_name(name=parent + path.name))
