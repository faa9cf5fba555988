# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of training pairs: one class per data source, held in memory.

Every source has ``draw(rng) -> PairSample``, without augmentation.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from osgeo import gdal
from PIL import Image
from scipy import ndimage

from ...classes import CLASSES
from ...errors import InputError
from ...wording.reading import crop_truth
from .. import augment
from ..texts import TrainingTexts
from .labels import BARE, BUILDING, GRASS, NUM_CLASSES, ROAD, TREE, UNKNOWN, WATER, state_table
from .roads import new_roads
from .sample import APPEARED, REMOVED, PairSample, no_sentences, nothing_known
from .scene_cache import check_scenes

CROP = 256

#: Words of LEVIR-CC sentences that name a class.
_SPOKEN = {
    ROAD: re.compile(r"\b(roads?|streets?|paths?|lanes?|driveways?|avenues?|highways?)\b"),
    WATER: re.compile(r"\b(water|ponds?|pools?|lakes?|rivers?)\b"),
}
#: Classes labelled by sentences only. Drawn lines are more reliable for roads: one in seven crops
#: whose sentences report a road has only a new path or a rebuilt road.
_REPORTED = [TREE]


class Source(Protocol):
    """A source of random pairs."""

    def draw(self, rng: np.random.Generator) -> PairSample:
        """Return a random pair of :data:`CROP` pixels."""


def open_raster(path: Path) -> gdal.Dataset:
    """Open a raster."""
    data = gdal.Open(str(path))
    if data is None:
        raise InputError(TrainingTexts.file_unreadable(file=path.name))
    return data


def geotransform(path: Path) -> tuple[float, ...]:
    """Return the geotransform of a raster."""
    return open_raster(path).GetGeoTransform()


def read_rgb(path: Path) -> np.ndarray:
    """Read a raster's first three bands as (H, W, 3) uint8."""
    array = open_raster(path).ReadAsArray()
    if array is None:
        raise InputError(TrainingTexts.file_damaged(file=path.name))
    bands = np.atleast_3d(array) if array.ndim == 2 else array[:3].transpose(1, 2, 0)
    return np.ascontiguousarray(bands)


def read_labels(path: Path) -> np.ndarray:
    """Read a label image as (H, W) uint8."""
    return np.asarray(Image.open(path)).astype(np.uint8)


def crop_scaled(
    arrays: list[np.ndarray], rng: np.random.Generator, low: float, high: float
) -> list[np.ndarray]:
    """Cut the same random window from all arrays and scale it to :data:`CROP` pixels.

    Args:
        arrays: the first is an image (bilinear), the others labels or images of equal size;
            three-channel ones are images too.
        rng: source of randomness.
        low: smallest magnification.
        high: largest magnification.
    """
    height, width = arrays[0].shape[:2]
    magnification = np.exp(rng.uniform(np.log(low), np.log(high)))
    side = int(min(round(CROP / magnification), height, width))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    windows = [a[top : top + side, left : left + side] for a in arrays]
    return [w if side == CROP else _resize(w) for w in windows]


def _resize(window: np.ndarray) -> np.ndarray:
    """Scale a square window to :data:`CROP`: bilinear for images, nearest for labels."""
    if window.ndim == 3 and window.shape[2] == 3:
        picture = Image.fromarray(np.ascontiguousarray(window))
        return np.asarray(picture.resize((CROP, CROP), Image.Resampling.BILINEAR))
    index = ((np.arange(CROP) + 0.5) * window.shape[0] / CROP).astype(int)
    return window[index][:, index]


def magnified(image: np.ndarray, factor: float) -> np.ndarray:
    """Resize an image (H, W, 3) uint8, bilinearly."""
    size = [math.ceil(side * factor) for side in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


class LevirPairs:
    """LEVIR-CD tiles: labelled building change, drawn new roads, and negatives from captions.

    A crop whose sentences report no change has none of any class; a crop whose sentences do not
    mention roads or water has no change of those. New roads are labelled near the drawn centre
    lines (``roads.py``), and absent elsewhere.
    """

    def __init__(
        self, root: Path, tiles: tuple[int, int], scales: tuple[float, float] = (0.7, 1.5)
    ) -> None:
        self.scales = scales
        self.pairs = _read_levir(root / "levir", *tiles)

    def draw(self, rng: np.random.Generator) -> PairSample:
        """Return a random crop; one time in four, parts of another replace it on both dates."""
        pair = self._crop(rng)
        if rng.random() < 0.25:
            pair = pair.with_parts_of(self._crop(rng), blobs(pair.before.shape[:2], rng))
        return pair

    def _crop(self, rng: np.random.Generator) -> PairSample:
        """Return a random crop, four times in five around a change."""
        arrays = self.pairs[rng.integers(len(self.pairs))]
        if rng.random() < 0.8:
            arrays = self._around_change(arrays, rng)
        return self.sample(*crop_scaled(list(arrays), rng, *self.scales))

    def _around_change(
        self, arrays: tuple[np.ndarray, ...], rng: np.random.Generator
    ) -> tuple[np.ndarray, ...]:
        """Cut a larger window around a random changed pixel, if any."""
        label, roads = arrays[2], arrays[4]
        changed = np.argwhere(((roads if rng.random() < 0.3 else label) == 1)[::8, ::8]) * 8
        if not len(changed):
            return arrays
        centre = changed[rng.integers(len(changed))]
        size = 384
        top, left = (int(np.clip(c - rng.integers(size), 0, 1024 - size)) for c in centre)
        return tuple(a[top : top + size, left : left + size] for a in arrays)

    @staticmethod
    def sample(
        before: np.ndarray,
        after: np.ndarray,
        label: np.ndarray,
        quiet: np.ndarray,
        roads: np.ndarray,
    ) -> PairSample:
        """Return the pair of a crop read by :func:`_read_levir`."""
        was, is_now = nothing_known(*label.shape), nothing_known(*label.shape)
        new_road = roads == 1
        was[new_road, ROAD], is_now[new_road, ROAD] = 0, 1
        changed = label == 1
        was[changed, BUILDING] = 0
        is_now[changed] = 0
        is_now[changed, BUILDING] = 1
        pair = PairSample.from_states(before, after, was, is_now)
        pair.changes[quiet] = 0
        pair.changes[..., ROAD, APPEARED] = roads
        pair.changes[..., ROAD, REMOVED] = 0
        pair.changes[..., BUILDING, APPEARED] = label
        pair.changes[..., BUILDING, REMOVED] = 0
        return pair


@functools.lru_cache(maxsize=2)
def _read_levir(folder: Path, first: int, last: int) -> list[tuple[np.ndarray, ...]]:
    """Return before, after, label, negatives from captions, and new roads, of each tile.

    The tiles are cached for several sources of a mix, so they must not be modified.
    """
    captions = read_captions(folder)
    tiles = []
    for number in range(first, last + 1):
        name = f"test_{number}"
        label = read_rgb(folder / "label" / f"{name}.tif")[..., 0]
        quiet = np.zeros((*label.shape, NUM_CLASSES), bool)
        for caption in (c for c in captions if c["tile"] == name):
            _read_caption(caption, quiet)
        images = [read_rgb(folder / date / f"{name}.tif") for date in ("before", "after")]
        roads = new_roads(number, label.shape, geotransform(folder / "after" / f"{name}.tif"))
        tiles.append((*images, (label > 0).astype(np.uint8), quiet, roads))
    return tiles


def read_captions(folder: Path) -> list[dict]:
    """Return the captioned crops of all LEVIR tiles: tile, box, captions, changed."""
    return json.loads((folder / "captions.json").read_text(encoding="utf-8"))


def _read_caption(caption: dict, quiet: np.ndarray) -> None:
    """Mark the unchanged classes of a captioned crop."""
    left, top, right, bottom = caption["box"]
    window = quiet[top:bottom, left:right]
    if not caption["changed"]:
        window[...] = True
        return
    for index, words in _SPOKEN.items():
        window[..., index] |= not any(words.search(s) for s in caption["captions"])


class CaptionedPairs:
    """Whole crops of LEVIR with sentences, and the changes that these report.

    If three of five sentences report "trees removed", the change is somewhere in the crop; if none
    does, there is hardly any.

    Raises:
        InputError: no crop has sentences.
    """

    def __init__(self, root: Path, tiles: tuple[int, int]) -> None:
        read = _read_levir(root / "levir", *tiles)
        pairs = {f"test_{number}": pair for number, pair in enumerate(read, tiles[0])}
        self.crops = [
            (pairs[crop["tile"]], crop["box"], _reported(crop["captions"]))
            for crop in read_captions(root / "levir")
            if crop["tile"] in pairs and crop["captions"]
        ]
        if not self.crops:
            raise InputError(TrainingTexts.no_sentences())
        report = np.array([(reported == 1).any() for *_, reported in self.crops])
        self.groups = [np.flatnonzero(some) for some in (report, ~report) if some.any()]

    def draw(self, rng: np.random.Generator) -> PairSample:
        """Return a crop, half of the time one whose sentences report a change of trees."""
        number = rng.choice(self.groups[0 if rng.random() < 0.5 else -1])
        arrays, (left, top, right, bottom), reported = self.crops[number]
        pair = LevirPairs.sample(*(array[top:bottom, left:right] for array in arrays))
        pair.sentences = reported.copy()
        return pair


def _reported(sentences: list[str]) -> np.ndarray:
    """Return the changes that the sentences of a crop report, (6, 2) uint8."""
    reported = no_sentences()
    for index in _REPORTED:
        for direction, name in ((APPEARED, "appeared"), (REMOVED, "removed")):
            truth = crop_truth(sentences, (CLASSES[index].name, name))
            reported[index, direction] = UNKNOWN if truth is None else truth
    return reported


class SameImage:
    """The same image twice: every answer is empty."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def draw(self, rng: np.random.Generator) -> PairSample:
        """Return a pair of equal images with the states of the source."""
        pair = self.source.draw(rng)
        dates = ((pair.before, pair.state_before), (pair.after, pair.state_after))
        image, state = dates[int(rng.integers(2))]
        return PairSample(
            image, image, state, state, np.zeros((*image.shape[:2], NUM_CLASSES, 2), np.uint8)
        )


class PseudoPairs:
    """Pairs made from single-date labelled images, as in ChangeStar (Zheng et al. 2021).

    Args:
        mosaic: for sets of small tiles, join this many times this many, reduced to a third.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        labelled: tuple[int, ...],
        scales: tuple[float, float],
        mosaic: int = 0,
    ) -> None:
        folder = root / "segmentation" / name
        self.table = state_table(labelled)
        self.labelled = labelled
        self.scales = scales
        self.mosaic = mosaic
        self.scenes = []
        for path in sorted((folder / "images").glob("*.jpg")):
            image = np.asarray(Image.open(path).convert("RGB"))
            self.scenes.append((image, read_labels(folder / "labels" / f"{path.stem}.png")))
        if not self.scenes:
            raise InputError(TrainingTexts.no_images(name=name))

    def _scene(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return a random crop and its label codes."""
        if self.mosaic:
            image, label = self._mosaic(rng)
        else:
            image, label = self.scenes[rng.integers(len(self.scenes))]
        image, label = crop_scaled([image, label], rng, *self.scales)
        image, label = augment.symmetry([image, label], rng)
        return image, label

    def _mosaic(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return a mosaic of random, reduced tiles."""
        rows = []
        side = 100
        for _ in range(self.mosaic**2):
            image, label = self.scenes[rng.integers(len(self.scenes))]
            small = Image.fromarray(image).resize((side, side), Image.Resampling.BOX)
            step = image.shape[0] // side
            codes = label[step // 2 :: step, step // 2 :: step][:side, :side]
            rows.append((np.asarray(small), codes))
        images, labels = zip(*rows, strict=True)
        return _lay_out(images, self.mosaic), _lay_out(labels, self.mosaic)

    def two_scenes(self, rng: np.random.Generator) -> PairSample:
        """Return two scenes as two dates."""
        (before, was), (after, is_now) = self._scene(rng), self._scene(rng)
        return PairSample.from_states(before, after, self.table[was], self.table[is_now])

    def draw(self, rng: np.random.Generator) -> PairSample:
        """Return two scenes as two dates, or one scene and itself with parts of another."""
        image, label = self._scene(rng)
        other, other_label = self._scene(rng)
        kind = rng.random()
        if kind < 0.3:
            moved = np.ones(label.shape, bool)
        elif kind < 0.6:
            moved = blobs(label.shape, rng)
        else:
            moved = self._objects(other_label, rng)
        after = np.where(moved[..., None], other, image)
        after_label = np.where(moved, other_label, label)
        return PairSample.from_states(image, after, self.table[label], self.table[after_label])

    def _objects(self, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the objects of one labelled class, with a rim, inside random blobs."""
        index = self.labelled[rng.integers(len(self.labelled))]
        rim = int(rng.integers(1, 7))
        objects = ndimage.maximum_filter(label == index + 1, size=2 * rim + 1)
        return objects & (blobs(label.shape, rng) | (rng.random() < 0.3))


def _lay_out(tiles: Sequence[np.ndarray], side: int) -> np.ndarray:
    """Arrange tiles in a square of ``side`` by ``side``."""
    rows = range(0, side * side, side)
    return np.concatenate([np.concatenate(tiles[i : i + side], 1) for i in rows])


def blobs(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return a random union of one to four rotated rectangles and ellipses, (H, W) bool."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    mask = np.zeros(shape, bool)
    for _ in range(int(rng.integers(1, 5))):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        half_long, half_short = rng.uniform(15, 110), rng.uniform(12, 60)
        angle = rng.uniform(0, np.pi)
        u = ((columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)) / half_long
        v = ((rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)) / half_short
        if rng.random() < 0.5:
            mask |= (np.abs(u) < 1) & (np.abs(v) < 1)
        else:
            mask |= u * u + v * v < 1
    return mask


class NaipTrees:
    """NAIP places of 2016 and 2020 with weak tree and grass labels for each date.

    Borders of the labels jitter between the years, so differences that an opening of 5 x 5 pixels
    removes are unknown.
    """

    def __init__(self, root: Path) -> None:
        table = state_table((TREE, GRASS))
        self.pairs = []
        for folder in sorted((root / "naip_trees").iterdir()):
            if not (folder / "before.tif").exists():
                continue
            dates = ("before", "after")
            images = [read_rgb(folder / f"{date}.tif") for date in dates]
            states = [table[read_labels(folder / f"{date}_label.png")] for date in dates]
            self.pairs.append((*images, *states))
        if not self.pairs:
            raise InputError(TrainingTexts.no_tree_places())

    def draw(self, rng: np.random.Generator) -> PairSample:
        """Return a place or, one time in three, two places as two dates."""
        before, after, was, is_now = self.pairs[rng.integers(len(self.pairs))]
        if rng.random() < 0.33:
            after, is_now = self.pairs[rng.integers(len(self.pairs))][1::2]
            return PairSample.from_states(before, after, was, is_now)
        pair = PairSample.from_states(before, after, was, is_now)
        for index in (TREE, GRASS):
            for direction in (APPEARED, REMOVED):
                plane = pair.changes[..., index, direction]
                kept = ndimage.binary_opening(plane == 1, np.ones((5, 5)))
                plane[(plane == 1) & ~kept] = UNKNOWN
        return pair


class GeneratedPairs:
    """Scenes of the project's own generator, from a cache of ``.npz`` files.

    Args:
        folder: of files with ``before``, ``after`` (H, W, 3) and their label codes
            ``label_before``, ``label_after`` (H, W).
        scales: smallest and largest magnification.

    Raises:
        InputError: there are none, or they are from another version of the generator.
    """

    def __init__(self, folder: Path, scales: tuple[float, float] = (0.8, 1.25)) -> None:
        self.scales = scales
        self.files = sorted(folder.glob("*.npz"))
        if not self.files:
            raise InputError(TrainingTexts.no_scenes(folder=folder))
        check_scenes(folder)
        self.table = state_table((BUILDING, ROAD, TREE, GRASS, WATER, BARE))

    def draw(self, rng: np.random.Generator) -> PairSample:
        """Return a crop of a scene pair."""
        with np.load(self.files[rng.integers(len(self.files))]) as scene:
            arrays = [scene[k] for k in ("before", "after", "label_before", "label_after")]
        before, after, was, is_now = crop_scaled(arrays, rng, *self.scales)
        return PairSample.from_states(before, after, self.table[was], self.table[is_now])
