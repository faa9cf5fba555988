# SPDX-License-Identifier: GPL-3.0-or-later
"""Interface and common parts of sets of labelled pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...errors import InputError
from ..recipe import DataSpec
from ..texts import TrainingTexts
from .pair import LabelledPair

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}


class Window(NamedTuple):
    """A rectangle of pixels inside the image."""

    y: int
    x: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return the index of its pixels."""
        return np.s_[self.y : self.y + self.height, self.x : self.x + self.width]


class PairSet(ABC):
    """A set of labelled pairs of images.

    Attributes:
        names: names of the pairs, in alphabetical order.
        classes: names of the classes of the semantic labels.
        prompt: prompt for systems evaluated on this data set.
    """

    classes: tuple[str, ...] = ()
    prompt: str = "anything changed"
    #: Options of the layout.
    options: tuple[str, ...] = ()

    def __init__(self, spec: DataSpec, folder: Path) -> None:
        self.spec = spec
        self.folder = folder
        if not folder.is_dir():
            raise InputError(TrainingTexts.folder_missing(folder=folder, layout=spec.layout))
        unknown = sorted(set(spec.options) - set(self.options))
        if unknown:
            raise InputError(
                TrainingTexts.no_data_option(
                    layout=spec.layout,
                    options=", ".join(unknown),
                    known=", ".join(self.options) or "none",
                )
            )
        self.names: list[str] = []

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of a pair in pixels."""

    @abstractmethod
    def read(self, index: int, window: Window | None = None) -> LabelledPair:
        """Return a pair, or a window of it.

        Raises:
            InputError: a file is damaged, its size differs from that of the others, or a label
                has an undefined value.
        """

    def draw(self, rng: np.random.Generator) -> int:
        """Return the index of a random pair."""
        return int(rng.integers(len(self)))

    def _keep(self, names: list[str]) -> None:
        """Select names by the recipe's ``names`` and ``folds``, in order."""
        names = sorted(names)
        if self.spec.names:
            path = self.folder / self.spec.names
            if not path.is_file():
                raise InputError(TrainingTexts.list_missing(path=path))
            listed = {Path(line).stem for line in path.read_text(encoding="utf-8").split()}
            missing = sorted(listed - set(names))
            if missing:
                raise InputError(
                    TrainingTexts.listed_image_missing(file=path.name, image=missing[0])
                )
            names = [name for name in names if name in listed]
        if self.spec.folds:
            folds, fold = self.spec.folds, set(self.spec.fold)
            names = [name for number, name in enumerate(names) if number % folds in fold]
        if not names:
            raise InputError(
                TrainingTexts.no_pairs(
                    folder=self.folder, layout=type(self).__doc__.splitlines()[0]
                )
            )
        self.names = names


class ImagePairs(PairSet):
    """Pairs of image files with equal names in parallel folders.

    Subclasses set :attr:`parts` and read the labels.

    Attributes:
        parts: folders of the two dates and of the labels.
        base: their parent folder.
        keeps: number of decoded files to cache per date, for windows read in sequence.
    """

    parts: tuple[str, ...] = ()
    keeps = 1

    def __init__(self, spec: DataSpec, folder: Path) -> None:
        super().__init__(spec, folder)
        self.base = self._base()
        self._files = [files_by_name(self.base / part) for part in self.parts]
        for part, files in zip(self.parts[1:], self._files[1:], strict=True):
            for name in sorted(set(self._files[0]) ^ set(files))[:1]:
                raise InputError(
                    TrainingTexts.unpaired(
                        name=name, first=self.parts[0], second=part, base=self.base
                    )
                )
        self._keep(list(self._files[0]))
        self._decoded: dict[Path, list[np.ndarray]] = {}

    def _base(self) -> Path:
        """Return the folder that holds :attr:`parts`."""
        return self.folder / self.spec.split

    def paths(self, index: int) -> list[Path]:
        """Return the files of a pair, in the order of :attr:`parts`."""
        return [files[self.names[index]] for files in self._files]

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of a pair in pixels."""
        with open_image(self.paths(index)[0]) as image:
            return image.height, image.width

    def read(self, index: int, window: Window | None = None) -> LabelledPair:
        """Return a pair, or a window of it; see :meth:`PairSet.read`."""
        before, after, *labels = self._arrays(index)
        if window is not None:
            before, after = before[window.slices], after[window.slices]
            labels = [label[window.slices] for label in labels]
        pair = LabelledPair(before, after)
        pair.images = (str(self.paths(index)[0]), str(self.paths(index)[1]))
        self._label(pair, labels, index)
        return pair

    def _arrays(self, index: int) -> list[np.ndarray]:
        """Return the decoded files of a pair, cached."""
        paths = self.paths(index)
        if paths[0] not in self._decoded:
            arrays = [read_image(path) for path in paths[:2]]
            arrays += [self._read_label(path) for path in paths[2:]]
            for path, array in zip(paths, arrays, strict=True):
                if array.shape[:2] != arrays[0].shape[:2]:
                    raise InputError(
                        TrainingTexts.size_differs(
                            path=path, size=_size(array), expected=_size(arrays[0])
                        )
                    )
            if len(self._decoded) == self.keeps:
                self._decoded.pop(next(iter(self._decoded)))  # the oldest
            self._decoded[paths[0]] = arrays
        return self._decoded[paths[0]]

    def _read_label(self, path: Path) -> np.ndarray:
        """Return a label image as (H, W) uint8, or in the layout's own form."""
        return read_binary(path)

    @abstractmethod
    def _label(self, pair: LabelledPair, labels: list[np.ndarray], index: int) -> None:
        """Set the labels of a pair."""


def files_by_name(folder: Path) -> dict[str, Path]:
    """Return the images of a folder by their names without suffix."""
    if not folder.is_dir():
        raise InputError(TrainingTexts.subfolder_missing(folder=folder, parent=folder.parent))
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


def open_image(path: Path) -> Image.Image:
    """Open an image file."""
    try:
        return Image.open(path)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(TrainingTexts.image_unreadable(path=path), details=str(error)) from error


def read_image(path: Path, mode: str = "RGB") -> np.ndarray:
    """Read an image as (H, W, 3) uint8, or (H, W) with the mode ``"L"``."""
    with open_image(path) as image:
        try:
            return np.asarray(image.convert(mode))
        except OSError as error:
            raise InputError(
                TrainingTexts.image_unreadable(path=path), details=str(error)
            ) from error


def read_binary(path: Path) -> np.ndarray:
    """Read a change mask, stored as 0/1 or 0/255, as (H, W) uint8 of 0 and 1."""
    values = read_image(path, "L")
    return (values >= (128 if values.max(initial=0) > 1 else 1)).astype(np.uint8)


def both_directions(pair: LabelledPair, phrase: str, appeared: np.ndarray) -> None:
    """Add the masks of an object that appeared and was removed nowhere to a pair."""
    pair.directions[phrase, "appeared"] = appeared
    pair.directions[phrase, "removed"] = np.zeros_like(appeared)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
