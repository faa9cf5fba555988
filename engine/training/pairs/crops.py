# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs for the loop: random augmented crops for training, tiles in order for validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...errors import ChangeScribeError, InputError
from ...request import APPEARED, REMOVED
from ..captioner.targets import encoded
from ..recipe import AugmentSpec, DataSpec, Recipe
from ..texts import TrainingTexts
from . import open_pairs
from .base import PairSet, Window
from .pair import UNKNOWN, LabelledPair

Item = dict[str, np.ndarray]
#: Attempts to draw a crop with change.
TRIES = 8
#: Bytes of all sentences about a pair in a batch, one per line.
_CAPTIONS_BYTES = 4096
_OTHER = {APPEARED: REMOVED, REMOVED: APPEARED}


class TrainingCrops(Dataset):
    """Random crops of all sets of a recipe; item ``i`` depends on the seed and ``i`` alone.

    Raises:
        InputError: a set cannot be opened, or its images are smaller than the crops.
    """

    def __init__(
        self,
        recipe: Recipe,
        root: Path,
        sample: Callable[[LabelledPair, np.random.Generator], Item],
        specs: Sequence[DataSpec] | None = None,
    ) -> None:
        self.recipe = recipe
        self.sample = sample
        chosen = recipe.data if specs is None else specs
        self.sets = [open_pairs(spec, root) for spec in chosen]
        weights = np.array([spec.weight for spec in chosen], np.float64)
        self.shares = weights / weights.sum()

    def __getitem__(self, index: int) -> Item | ChangeScribeError:
        """Return the sample of crop number ``index``."""
        rng = np.random.default_rng((self.recipe.seed, index))
        try:
            pairs = self.sets[rng.choice(len(self.sets), p=self.shares)]
            pair = self._crop(pairs, rng)
            return self.sample(augmented(pair, self.recipe.augment, rng), rng)
        except ChangeScribeError as error:
            return error  # the loop raises it: torch would wrap it in the reader's traceback

    def _crop(self, pairs: PairSet, rng: np.random.Generator) -> LabelledPair:
        with_change = rng.random() < pairs.spec.changed
        for _ in range(TRIES if with_change else 1):
            index = pairs.draw(rng)
            pair = pairs.read(index, random_window(pairs, index, self.recipe.crop, rng))
            if pair.change is not None and (pair.change == 1).any():
                break
        return pair


class Tiles(Dataset):
    """Tiles that cover every pair of a set once, in order; the last ones may extend past it."""

    def __init__(
        self,
        pairs: PairSet,
        size: int,
        question: Callable[[LabelledPair], Item],
        truth: Callable[[LabelledPair], np.ndarray | None] = attrgetter("change"),
    ) -> None:
        self.pairs, self.size, self.question, self.truth = pairs, size, question, truth
        self.places = []
        for index in range(len(pairs)):
            height, width = pairs.size(index)
            corners = product(range(0, height, size), range(0, width, size))
            self.places += [(index, y, x) for y, x in corners]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> tuple[Item, Item] | ChangeScribeError:
        """Return the query sample of a tile, and its labels (unknown outside the image)."""
        try:
            pair = tile_of(self.pairs, *self.places[number], self.size)
            change = self.truth(pair)
            if change is None:
                change = np.full(pair.before.shape[:2], UNKNOWN, np.uint8)
            # Sentences are about whole pairs.
            whole = self.pairs.size(self.places[number][0]) == change.shape
            captions = "\n".join(pair.captions if whole else ())
            labels = {"change": change, "captions": encoded(captions, _CAPTIONS_BYTES)}
            for name in ("semantic_before", "semantic_after"):
                if getattr(pair, name) is not None:
                    labels[name] = getattr(pair, name)
            return self.question(pair), labels
        except ChangeScribeError as error:
            return error


def collate(items: Sequence[Any]) -> Any:
    """Stack samples to tensors, or return the first error among them."""
    for item in items:
        if isinstance(item, ChangeScribeError):
            return item
    if isinstance(items[0], tuple):
        return tuple(_stacked(column) for column in zip(*items, strict=True))
    return _stacked(items)


def _stacked(items: Sequence[Item]) -> dict[str, Tensor]:
    columns = {name: np.stack([item[name] for item in items]) for name in items[0]}
    # torch does not accept the negative strides of mirrored arrays.
    return {name: torch.from_numpy(np.ascontiguousarray(c)) for name, c in columns.items()}


def random_window(pairs: PairSet, index: int, crop: int, rng: np.random.Generator) -> Window:
    """Return a random square window of a pair; raise InputError if the pair is smaller."""
    height, width = pairs.size(index)
    if min(height, width) < crop:
        raise InputError(
            TrainingTexts.crop_too_large(
                name=pairs.names[index],
                layout=pairs.spec.layout,
                width=width,
                height=height,
                crop=crop,
                largest=min(height, width),
            )
        )
    y, x = rng.integers(height - crop + 1), rng.integers(width - crop + 1)
    return Window(int(y), int(x), crop, crop)


def tile_of(pairs: PairSet, index: int, y: int, x: int, size: int) -> LabelledPair:
    """Return a square tile of a pair, padded by reflection, with unknown labels there."""
    height, width = pairs.size(index)
    window = Window(y, x, min(size, height - y), min(size, width - x))
    pair = pairs.read(index, window)
    if (window.height, window.width) == (size, size):
        return pair
    margin = ((0, size - window.height), (0, size - window.width))

    def image(array: np.ndarray) -> np.ndarray:
        return np.pad(array, (*margin, (0, 0)), mode="symmetric")

    def label(array: np.ndarray) -> np.ndarray:
        return np.pad(array, margin, constant_values=UNKNOWN)

    return on_arrays(pair, image, label)


def augmented(pair: LabelledPair, settings: AugmentSpec, rng: np.random.Generator) -> LabelledPair:
    """Flip and rotate a crop and swap its dates, at random."""
    mirrored = settings.flip and rng.random() < 0.5
    upside_down = settings.flip and rng.random() < 0.5
    turns = int(rng.integers(4)) if settings.rotate else 0

    def move(array: np.ndarray) -> np.ndarray:
        array = array[:, ::-1] if mirrored else array
        array = array[::-1] if upside_down else array
        return np.ascontiguousarray(np.rot90(array, turns))

    pair = on_arrays(pair, move, move)
    return exchanged(pair) if rng.random() < settings.exchange else pair


def on_arrays(
    pair: LabelledPair,
    image: Callable[[np.ndarray], np.ndarray],
    label: Callable[[np.ndarray], np.ndarray],
) -> LabelledPair:
    """Return a pair with one function applied to its images and another to its labels."""

    def labelled(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else label(array)

    return LabelledPair(
        image(pair.before),
        image(pair.after),
        labelled(pair.change),
        labelled(pair.semantic_before),
        labelled(pair.semantic_after),
        pair.captions,
        {key: label(mask) for key, mask in pair.directions.items()},
        pair.images,
    )


def exchanged(pair: LabelledPair) -> LabelledPair:
    """Return a pair with its dates and directions swapped.

    Sentences describe the original order, so they are kept only if nothing changed.
    """
    unchanged = pair.change is not None and not (pair.change == 1).any()
    return LabelledPair(
        pair.after,
        pair.before,
        pair.change,
        pair.semantic_after,
        pair.semantic_before,
        pair.captions if unchanged else (),
        {(name, _OTHER[way]): mask for (name, way), mask in pair.directions.items()},
        (pair.images[1], pair.images[0]),
    )
